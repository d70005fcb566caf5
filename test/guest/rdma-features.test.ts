import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { useGuest } from "../lab/guest-session.ts";
import { succeeded } from "../lab/pods.ts";
import { callRdma, pod, previousResult, rdmaDevices, rdmaState, sysfsDevices } from "../lab/rdma.ts";
import { createRdmaDevices, createVfs, type Vf } from "../lab/sriov.ts";

const guest = useGuest();
let vfs: Vf[];
let before: string;

const call = (verb: string, more: Partial<Parameters<typeof callRdma>[2]> = {}) =>
	callRdma(guest(), verb, { pod: "pod1", deviceID: vfs[0]!.pci, ...more });
const inPod = (...argv: string[]) => guest().run(["ip", "netns", "exec", "pod1", ...argv]);

beforeAll(async () => {
	vfs = await createVfs(guest(), "eth0", 3);
	await createRdmaDevices(guest(), vfs);
	await guest().run(["sh", "-c", "mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config"]);
	before = await rdmaState(guest());
});
beforeEach(async () => expect(await rdmaState(guest())).toBe(before));

test.each(["0.3.1", "0.4.0", "1.0.0", "1.1.0"])(
	"prevResult comes out as it went in, in version %s",
	async (cniVersion) => {
		const { routes, ips, interfaces } = previousResult("pod1");
		const old = cniVersion.startsWith("0.");
		const prevResult = {
			cniVersion,
			interfaces: old ? interfaces.map(({ mtu: _, ...rest }) => rest) : interfaces,
			ips: old ? ips.map((ip) => ({ version: "4", ...ip })) : ips,
			routes,
			dns: { nameservers: ["10.1.1.1"], search: ["example.org"] },
		};
		await using _pod = await pod(guest(), "pod1");
		const { json } = succeeded(await call("ADD", { more: { cniVersion, prevResult } }));
		expect(json).toEqual(prevResult);
		succeeded(await call("DEL", { more: { cniVersion, prevResult } }));
	},
);

describe("the device of an attachment without deviceID", () => {
	const added = async (call: Promise<unknown>, pod: string, device: string) => {
		succeeded((await call) as Awaited<ReturnType<typeof callRdma>>);
		expect(await rdmaDevices(guest(), pod)).toEqual([device]);
	};
	const without = { deviceID: "" };

	test("is that of pciID in prevResult, of pciBusID, of runtimeConfig.deviceID", async () => {
		await using _pod = await pod(guest(), "pod1");
		const prevResult = { ...previousResult("pod1") };
		const { pci } = vfs[1]!;
		for (const more of [
			{ prevResult: { ...prevResult, interfaces: [{ name: "net1", pciID: pci }] } },
			{ pciBusID: pci },
			{ runtimeConfig: { deviceID: pci.toUpperCase() } },
		]) {
			await added(call("ADD", { ...without, more }), "pod1", "mlx5_1");
			succeeded(await call("DEL", { ...without, more }));
		}
	});

	test("is that of the interface in the pod, by name and MAC, wherever the netdev went first", async () => {
		await using _pod = await pod(guest(), "pod1");
		const { netdev } = vfs[1]!;
		await guest().run(["ip", "link", "set", netdev!, "netns", "pod1", "name", "net1"]);
		const [{ address }] = await guest().json(["ip", "-n", "pod1", "-j", "link", "show", "net1"]);
		for (const name of ["net1", "other"]) {
			const more = { prevResult: { ...previousResult("pod1"), interfaces: [{ name, mac: address.toUpperCase() }] } };
			await added(call("ADD", { ...without, more }), "pod1", "mlx5_1");
			succeeded(await call("DEL", { ...without, more }));
		}
		await guest().run(["ip", "netns", "attach", "host", "1"]);
		await inPod("ip", "link", "set", "net1", "netns", "host", "name", netdev!);
		await guest().run(["sh", "-c", "umount /run/netns/host && rm /run/netns/host"]);
	});

	test("is that of the VF with the MAC as its administrative one", async () => {
		await using _pod = await pod(guest(), "pod1");
		await guest().run(["ip", "link", "set", "eth0", "vf", "2", "mac", "02:00:5e:10:00:01"]);
		await added(call("ADD", without), "pod1", "mlx5_2");
		succeeded(await call("DEL", without));
	});
});

describe("a name of its own in the pod", () => {
	test("comes from args.cni before the configuration, with its placeholders filled", async () => {
		await using _pod = await pod(guest(), "pod1");
		const more = { rdmaDeviceName: "unused", args: { cni: { rdmaDeviceName: "rdma_{ifname}" } } };
		succeeded(await call("ADD", { more }));
		expect(await sysfsDevices(guest(), "pod1")).toEqual(["rdma_net1"]);
		succeeded(await call("CHECK", { more }));
		succeeded(await call("DEL", { more }));
	});

	test("two pods of one network get different ones with {index}", async () => {
		await using _first = await pod(guest(), "pod1");
		await using _second = await pod(guest(), "pod2");
		const more = { rdmaDeviceName: "rdma_{ifname}_{index}" };
		succeeded(await call("ADD", { more }));
		succeeded(await call("ADD", { pod: "pod2", deviceID: vfs[1]!.pci, more }));
		const [one] = await rdmaDevices(guest(), "pod1");
		const [two] = await rdmaDevices(guest(), "pod2");
		expect([one, two]).toEqual([expect.stringMatching(/^rdma_net1_\d+$/), expect.stringMatching(/^rdma_net1_\d+$/)]);
		expect(one).not.toBe(two);
		succeeded(await call("DEL", { more }));
		succeeded(await call("DEL", { pod: "pod2", deviceID: vfs[1]!.pci, more }));
	});
});

describe("RoCE quality of service", () => {
	/** Of a device, wherever it is: as cma_roce_tos reads it. */
	async function tos(device: string, value?: number): Promise<string> {
		const directory = `/sys/kernel/config/rdma_cm/${device}`;
		const write = value === undefined ? "" : `echo ${value} > ${directory}/ports/1/default_roce_tos;`;
		const script = `mkdir ${directory} && { ${write} cat ${directory}/ports/1/default_roce_tos; rmdir ${directory}; }`;
		return (await guest().run(["sh", "-c", script])).stdout.trim();
	}

	test.each([
		["of the configuration", { rdmaQoS: { tos: 96 } }, "96"],
		["of the host, which the kernel forgets at the move", {}, "32"],
		["0, where the configuration says so", { rdmaQoS: { tos: 0 } }, "0"],
	])("the pod has the type of service %s; after DEL the host's is back", async (_, more, expected) => {
		await tos("mlx5_0", 32);
		await using _pod = await pod(guest(), "pod1");
		succeeded(await call("ADD", { more }));
		expect(await tos("mlx5_0")).toBe(expected);
		succeeded(await call("CHECK", { more }));
		await tos("mlx5_0", 8);
		expect((await call("CHECK", { more })).json).toMatchObject({
			code: 102,
			msg: `type of service of RDMA device mlx5_0 is 8, not ${expected}`,
		});
		succeeded(await call("DEL", { more }));
		expect(await tos("mlx5_0")).toBe("32");
		await tos("mlx5_0", 0);
	});

	test("a directory of the administrator's in configfs stays", async () => {
		await guest().run(["mkdir", "/sys/kernel/config/rdma_cm/mlx5_0"]);
		await using _pod = await pod(guest(), "pod1");
		succeeded(await call("ADD", { more: { rdmaQoS: { tos: 96 } } }));
		succeeded(await call("DEL"));
		await guest().run(["rmdir", "/sys/kernel/config/rdma_cm/mlx5_0"]);
	});

	test("a traffic class that the driver does not offer is a warning", async () => {
		await using _pod = await pod(guest(), "pod1");
		const { stderr } = succeeded(await call("ADD", { more: { rdmaQoS: { tc: 96 } } }));
		expect(stderr).toContain("rdmaQoS.tc 96 is not set: the driver of RDMA device mlx5_0 offers no");
		succeeded(await call("DEL"));
	});

	test.each([
		["32\n", "96\n", "32\n"],
		["Global tclass=32\nmore\n", "96", ""],
		["", "96", "0"],
	])("a traffic class is set where the driver offers one, and put back (file %j)", async (content, during, after) => {
		// Nothing in the guest offers one: the file is that of another file system.
		const file = "/sys/class/infiniband/mlx5_0/tc/1/traffic_class";
		await using _pod = await pod(guest(), "pod1");
		await guest().run([
			"sh",
			"-c",
			`mount -t tmpfs none /sys/class/infiniband && mkdir -p ${file.replace(/\/[^/]*$/, "")}`,
		]);
		try {
			await guest().run(["sh", "-c", `printf '%s' '${content}' >${file}`]);
			succeeded(await call("ADD", { more: { rdmaQoS: { tc: 96 } } }));
			expect(await guest().readFile(file)).toMatch(new RegExp(`^${during}`));
			const record = JSON.parse(await guest().readFile("/var/lib/cni/rdma/sriov-network-c-pod1-net1"));
			expect(record.rdmaQoS).toEqual({ tos: 0, tc: content === "" ? 0 : 32 });
			succeeded(await call("DEL"));
			if (after !== "") expect(await guest().readFile(file)).toMatch(new RegExp(`^${after}`));
		} finally {
			await guest().run(["umount", "/sys/class/infiniband"]);
		}
	});

	test("a type of service without configfs is refused, with the device still on the host", async () => {
		await using _pod = await pod(guest(), "pod1");
		await guest().run(["umount", "/sys/kernel/config"]);
		const { status, json } = await call("ADD", { more: { rdmaQoS: { tos: 96 } } });
		await guest().run(["mount", "-t", "configfs", "none", "/sys/kernel/config"]);
		expect({ status, code: json.code }).toEqual({ status: 1, code: 100 });
		expect(json.msg).toContain("rdmaQoS.tos 96 cannot be set for RDMA device mlx5_0");
		expect(json.details).toContain("mount -t configfs");
	});
});

describe("CHECK", () => {
	const failed = async (...words: string[]) => {
		const { status, json } = await call("CHECK");
		expect({ status, code: json?.code }).toEqual({ status: 1, code: 102 });
		for (const each of words) expect(json.msg).toContain(each);
	};

	test("succeeds after ADD, and names what is different", async () => {
		await using _pod = await pod(guest(), "pod1");
		await failed("there is no record of an RDMA device of container c-pod1, interface net1");
		succeeded(await call("ADD"));
		expect(await call("CHECK")).toMatchObject({ status: 0, stdout: "" });

		await inPod("rdma", "dev", "set", "mlx5_0", "name", "other");
		await failed(`the RDMA device of ${vfs[0]!.pci} is called other, not mlx5_0`);
		await inPod("rdma", "dev", "set", "other", "name", "mlx5_0");

		await guest().run(["ip", "netns", "attach", "host", "1"]);
		await inPod("rdma", "dev", "set", "mlx5_0", "netns", "host");
		await guest().run(["sh", "-c", "umount /run/netns/host && rm /run/netns/host"]);
		await failed(`RDMA device mlx5_0 of ${vfs[0]!.pci} is not in /run/netns/pod1: it is on the host, as mlx5_0`);
		succeeded(await call("DEL"));
	});

	test("names a device node that another device has by now; ADD warned of it", async () => {
		// Without the first device its number is free, and each move takes the lowest.
		await guest().run(["rdma", "link", "delete", "mlx5_0"]);
		await using _pod = await pod(guest(), "pod1");
		const attachment = { deviceID: vfs[1]!.pci };
		const { stderr } = succeeded(await call("ADD", attachment));
		expect(stderr).toContain(`the device node of ${vfs[1]!.pci} was uverbs1 and is uverbs0 now`);
		const { json } = await call("CHECK", attachment);
		expect(json).toMatchObject({
			code: 102,
			msg: expect.stringContaining("was uverbs1 when the pod was given it and is uverbs0 now"),
		});
		succeeded(await call("DEL", attachment));
		await guest().run(["rdma", "link", "delete", "mlx5_1"]);
		await createRdmaDevices(guest(), vfs.slice(0, 2));
		before = await rdmaState(guest());
	});
});

describe("GC", () => {
	const gc = (valid: string[] | undefined, name = "sriov-network") => {
		const attachments = valid?.map((each) => ({ containerID: `c-${each}`, ifname: "net1" }));
		return call("GC", { more: { name, ...(attachments && { "cni.dev/valid-attachments": attachments }) } });
	};

	test("brings home what is not valid, and nothing else", async () => {
		const pods = ["pod1", "pod2", "pod3"];
		for (const each of pods) await guest().run(["ip", "netns", "add", each]);
		const add = (index: number, more = {}) =>
			call("ADD", { pod: pods[index]!, deviceID: vfs[index]!.pci, more: { rdmaDeviceName: `gc_${index}`, ...more } });
		succeeded(await add(0));
		succeeded(await add(1));
		succeeded(await add(2, { name: "sriov-network-2" }));

		succeeded(await gc(undefined));
		succeeded(await gc([], "sriov"));
		expect(await sysfsDevices(guest())).toEqual([]);
		succeeded(await gc(["pod2"]));
		expect(await sysfsDevices(guest())).toEqual(["mlx5_0"]);
		expect(await rdmaDevices(guest(), "pod2")).toEqual(["gc_1"]);
		expect(await rdmaDevices(guest(), "pod3")).toEqual(["gc_2"]);
		succeeded(await call("CHECK", { pod: "pod2", deviceID: vfs[1]!.pci }));

		// Those whose namespace is gone, too.
		for (const each of pods) await guest().run(["ip", "netns", "delete", each]);
		succeeded(await gc([]));
		succeeded(await gc([], "sriov-network-2"));
	});
});
