import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { useGuest } from "../lab/guest-session.ts";
import { binaries, succeeded } from "../lab/pods.ts";
import { callRdma, pod, previousResult, rdmaDevices, rdmaState, sysfsDevices } from "../lab/rdma.ts";
import { createRdmaDevices, createVfs, until, type Vf } from "../lab/sriov.ts";

const guest = useGuest();
let vfs: Vf[];
let before: string;

const RECORD = "/var/lib/cni/rdma/sriov-network-c-pod1-net1";
const call = (verb: string, more: Partial<Parameters<typeof callRdma>[2]> = {}) =>
	callRdma(guest(), verb, { pod: "pod1", deviceID: vfs[0]!.pci, ...more });
const inPod = (...argv: string[]) => guest().run(["ip", "netns", "exec", "pod1", ...argv]);
const asBefore = async () => expect(await rdmaState(guest())).toBe(before);
const deviceHome = (name: string) =>
	until(`${name} on the host`, async () => (await sysfsDevices(guest())).includes(name));

beforeAll(async () => {
	vfs = await createVfs(guest(), "eth0", 2);
	await createRdmaDevices(guest(), vfs);
	before = await rdmaState(guest());
});
beforeEach(asBefore);

describe.each([
	["rdma", "under the host's name", {}, "mlx5_0"],
	["rdma", "under a name of its own", { rdmaDeviceName: "roce_{ifname}_{index}" }, undefined],
	["sriov", "under a name of its own", { rdmaDeviceName: "roce_{ifname}_{index}" }, undefined],
])("DEL of %s brings a device home that the pod has %s", (plugin, _, more, hostName) => {
	const call = (verb: string, which: Partial<Parameters<typeof callRdma>[2]> = {}) =>
		callRdma(guest(), verb, { pod: "pod1", deviceID: vfs[0]!.pci, alone: plugin === "sriov", ...which });
	const added = async (): Promise<string> => {
		succeeded(await call("ADD", { more }));
		const [name] = await rdmaDevices(guest(), "pod1");
		expect(name).toMatch(hostName ?? /^roce_net1_\d+$/);
		expect(await sysfsDevices(guest())).toEqual(["mlx5_1"]);
		return name!;
	};

	test("from the pod", async () => {
		await using _pod = await pod(guest(), "pod1");
		await added();
		succeeded(await call("DEL", { more }));
		await asBefore();
		succeeded(await call("DEL", { more }));
		await asBefore();
	});

	test("from a namespace that was deleted just before", async () => {
		await using _pod = await pod(guest(), "pod1");
		await added();
		await guest().run(["ip", "netns", "delete", "pod1"]);
		succeeded(await call("DEL", { more }));
		await asBefore();
	});

	test("from a namespace that a process of the pod outlives for a moment", async () => {
		await using _pod = await pod(guest(), "pod1");
		await added();
		const outliving = guest().start(["ip", "netns", "exec", "pod1", "sleep", "600"], { ok: false });
		const isRunning = (name: string) =>
			until(name, async () => (await guest().run(["pgrep", "-x", name], { ok: false })).status === 0);
		await isRunning("sleep");
		await guest().run(["ip", "netns", "delete", "pod1"]);
		const deletion = call("DEL", { more });
		await isRunning(plugin);
		outliving.kill("SIGKILL");
		succeeded(await deletion);
		await asBefore();
		await outliving.result;
	});

	test("where CNI_NETNS is empty", async () => {
		await using _pod = await pod(guest(), "pod1");
		const name = await added();
		await guest().run(["ip", "netns", "delete", "pod1"]);
		await deviceHome(name);
		succeeded(await call("DEL", { netns: "", more }));
		await asBefore();
	});

	test("where the namespace's file is left, without a namespace", async () => {
		await using _pod = await pod(guest(), "pod1");
		await added();
		await guest().run(["umount", "/run/netns/pod1"]);
		succeeded(await call("DEL", { more }));
		await asBefore();
	});

	test("from a container that was killed", async () => {
		// The namespace has no name of its own; it is that of its process.
		const container = guest().start(["unshare", "-n", "sleep", "600"], { ok: false });
		const pid = await until("the container", async () => {
			const { stdout } = await guest().run(["pgrep", "-nx", "sleep"], { ok: false });
			return stdout.trim() || undefined;
		});
		const netns = `/proc/${pid}/ns/net`;
		succeeded(await call("ADD", { netns, more }));
		expect(await sysfsDevices(guest())).toEqual(["mlx5_1"]);
		container.kill("SIGKILL");
		await container.result;
		succeeded(await call("DEL", { netns, more }));
		await asBefore();
	});

	test("renamed in the pod behind our back", async () => {
		await using _pod = await pod(guest(), "pod1");
		const name = await added();
		await inPod("rdma", "dev", "set", name, "name", "other");
		succeeded(await call("DEL", { more }));
		await asBefore();
	});

	test("renamed in a pod that is gone", async () => {
		await using _pod = await pod(guest(), "pod1");
		const name = await added();
		await inPod("rdma", "dev", "set", name, "name", "other");
		await guest().run(["ip", "netns", "delete", "pod1"]);
		succeeded(await call("DEL", { more }));
		await asBefore();
	});

	test("that was taken home by hand", async () => {
		await using _pod = await pod(guest(), "pod1");
		const name = await added();
		await guest().run(["ip", "netns", "attach", "host", "1"]);
		await inPod("rdma", "dev", "set", name, "netns", "host");
		await guest().run(["umount", "/run/netns/host"]);
		await guest().run(["rm", "/run/netns/host"]);
		succeeded(await call("DEL", { more }));
		await asBefore();
	});

	test("from a pod that was added again after one which died without a DEL", async () => {
		await using _pod = await pod(guest(), "pod1");
		const name = await added();
		await guest().run(["ip", "netns", "delete", "pod1"]);
		await deviceHome(name);
		await using _second = await pod(guest(), "pod2");
		succeeded(await call("ADD", { pod: "pod2", more }));
		const [now] = await rdmaDevices(guest(), "pod2");
		expect(now).toBe(name);
		// Late, and without anything of its own left.
		succeeded(await call("DEL", { more }));
		expect(await rdmaDevices(guest(), "pod2")).toEqual([name]);
		succeeded(await call("DEL", { pod: "pod2", more }));
		await asBefore();
	});
});

test("DEL leaves a device alone that another pod has by now", async () => {
	await using _first = await pod(guest(), "pod1");
	succeeded(await call("ADD"));
	const record = await guest().readFile(RECORD);
	succeeded(await call("DEL"));
	await using _second = await pod(guest(), "pod2");
	succeeded(await call("ADD", { pod: "pod2" }));
	// As a plugin leaves it that was killed at the end of DEL.
	await guest().writeFile(RECORD, record);
	for (const netns of ["/run/netns/pod1", "/run/netns/pod2", ""]) {
		await guest().writeFile(RECORD, record);
		succeeded(await call("DEL", { netns }));
		expect(await rdmaDevices(guest(), "pod2")).toEqual(["mlx5_0"]);
	}
	succeeded(await call("DEL", { pod: "pod2" }));
	await asBefore();
});

test("DEL without a record takes home what is in the pod, and touches no other pod's device", async () => {
	await using _first = await pod(guest(), "pod1");
	await using _second = await pod(guest(), "pod2");
	succeeded(await call("ADD"));
	succeeded(await call("ADD", { pod: "pod2", deviceID: vfs[1]!.pci }));
	await guest().run(["rm", RECORD]);
	succeeded(await call("DEL", { deviceID: vfs[1]!.pci }));
	expect(await rdmaDevices(guest(), "pod1")).toEqual(["mlx5_0"]);
	expect(await rdmaDevices(guest(), "pod2")).toEqual(["mlx5_1"]);
	succeeded(await call("DEL"));
	succeeded(await call("DEL", { pod: "pod2", deviceID: vfs[1]!.pci }));
	await asBefore();
});

test("DEL works from a record of the Go plugin, also when the configuration names no device", async () => {
	await using _pod = await pod(guest(), "pod1");
	succeeded(await call("ADD"));
	const { version, deviceID, sandboxRdmaDevName, containerRdmaDevName } = JSON.parse(await guest().readFile(RECORD));
	expect({ version, deviceID, sandboxRdmaDevName, containerRdmaDevName }).toEqual({
		version: "1.0",
		deviceID: vfs[0]!.pci,
		sandboxRdmaDevName: "mlx5_0",
		containerRdmaDevName: "mlx5_0",
	});
	await guest().writeFile(
		RECORD,
		JSON.stringify({ version, deviceID, sandboxRdmaDevName, containerRdmaDevName: "mlx5_0" }),
	);
	succeeded(await call("DEL", { more: { deviceID: "" } }));
	await asBefore();
});

test("DEL of a record of NVIDIA's fork puts name and type of service back", async () => {
	await guest().run(["sh", "-c", "mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config"]);
	await using _pod = await pod(guest(), "pod1");
	succeeded(await call("ADD", { more: { rdmaDeviceName: "custom" } }));
	await guest().writeFile(
		RECORD,
		`{"version":"1.0","deviceID":"${vfs[0]!.pci}","sandboxRdmaDevName":"mlx5_0","containerRdmaDevName":"custom","rdmaQoS":{"tos":32,"tc":0}}`,
	);
	succeeded(await call("DEL"));
	await asBefore();
	const directory = "/sys/kernel/config/rdma_cm/mlx5_0";
	await guest().run(["mkdir", directory]);
	expect(await guest().readFile(`${directory}/ports/1/default_roce_tos`)).toBe("32\n");
	await guest().writeFile(`${directory}/ports/1/default_roce_tos`, "0");
	await guest().run(["rmdir", directory]);
});

test("DEL of a VF that is gone succeeds and forgets it", async () => {
	await using _pod = await pod(guest(), "pod1");
	succeeded(await call("ADD"));
	await guest().writeFile("/sys/class/net/eth0/device/sriov_numvfs", "0");
	succeeded(await call("DEL"));
	expect(await guest().run(["ls", "-A", "/var/lib/cni/rdma"])).toMatchObject({ stdout: "move.lock\n" });
	vfs = await createVfs(guest(), "eth0", 2);
	await createRdmaDevices(guest(), vfs);
	before = await rdmaState(guest());
});

test("a record that was cut off after its names still gives the device its old name back", async () => {
	await using _pod = await pod(guest(), "pod1");
	const more = { rdmaDeviceName: "custom" };
	succeeded(await call("ADD", { more }));
	const record = await guest().readFile(RECORD);
	await guest().writeFile(RECORD, record.slice(0, record.indexOf("containerRdmaDevName")));
	succeeded(await call("DEL", { more }));
	await asBefore();
});

test("a record that was cut off after any of its bytes does not leave the device in the pod", {
	timeout: 900_000,
}, async () => {
	await using _pod = await pod(guest(), "pod1");
	succeeded(await call("ADD"));
	const text = await guest().readFile(RECORD);
	succeeded(await call("DEL"));
	const configuration = JSON.stringify({
		cniVersion: "1.1.0",
		name: "sriov-network",
		type: "rdma",
		deviceID: vfs[0]!.pci,
		prevResult: previousResult("pod1"),
	});
	// In the guest, since each call from here takes as long as all that a round does.
	const script = `export CNI_CONTAINERID=c-pod1 CNI_IFNAME=net1 CNI_NETNS=/run/netns/pod1 CNI_PATH=/
length=0
while [ $length -lt ${text.length} ]; do
	CNI_COMMAND=ADD "$1" <<-END >/dev/null || { echo "$length: ADD failed"; exit 1; }
	${configuration}
	END
	[ -e /sys/class/infiniband/mlx5_0 ] && { echo "$length: ADD left it"; exit 1; }
	printf "%.*s" $length "$2" >${RECORD}
	CNI_COMMAND=DEL "$1" <<-END || echo "$length: DEL failed"
	${configuration}
	END
	[ -e /sys/class/infiniband/mlx5_0 ] || echo "$length: not home"
	[ -e ${RECORD} ] && echo "$length: record left"
	length=$((length + 1))
done
echo "$length lengths"`;
	const { stdout } = await guest().run(["sh", "-c", script, "sh", `${binaries}/rdma`, text], { timeoutMs: 900_000 });
	expect(stdout).toBe(`${text.length} lengths\n`);
	await asBefore();
});
