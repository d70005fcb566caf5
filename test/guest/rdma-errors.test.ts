import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { useGuest } from "../lab/guest-session.ts";
import { binaries, succeeded } from "../lab/pods.ts";
import { callRdma, pod, previousResult, rdmaDevices, rdmaState } from "../lab/rdma.ts";
import { createRdmaDevices, createVfs, until, type Vf } from "../lab/sriov.ts";

const guest = useGuest();
let vfs: Vf[];
let before: string;
let podOfTest: AsyncDisposable;

const call = (verb: string, more: Partial<Parameters<typeof callRdma>[2]> = {}) =>
	callRdma(guest(), verb, { pod: "pod1", deviceID: vfs[0]!.pci, ...more });

beforeAll(async () => {
	vfs = await createVfs(guest(), "eth0", 3);
	await createRdmaDevices(guest(), vfs.slice(0, 2));
	before = await rdmaState(guest());
	podOfTest = await pod(guest(), "pod1");
});
beforeEach(async () => expect(await rdmaState(guest())).toBe(before));
afterAll(() => podOfTest[Symbol.asyncDispose]());

/** A failed ADD has said so, and changed nothing. */
async function refused(answer: ReturnType<typeof call>, code: number, ...words: (string | RegExp)[]): Promise<void> {
	const { status, json } = await answer;
	expect({ status, code: json.code }).toEqual({ status: 1, code });
	for (const each of words) expect(`${json.msg}; ${json.details ?? ""}`).toMatch(each);
	expect(await rdmaState(guest())).toBe(before);
}

test("an answer that cannot be written: the device comes home, and stderr says why", async () => {
	const { status, stderr } = await call("ADD", { stdout: "/dev/full" });
	expect({ status, stderr }).toMatchObject({
		status: 1,
		stderr: expect.stringContaining("rdma: the answer cannot be written to stdout: write: no space left on device"),
	});
	expect(await rdmaState(guest())).toBe(before);
});

describe("ADD refuses", () => {
	test("a call that is not part of a chain", () =>
		refused(
			call("ADD", { more: { prevResult: undefined } }),
			7,
			"RDMA-CNI is expected to be called as part of a plugin chain",
		));

	test("a device that is not there", () =>
		refused(call("ADD", { deviceID: "0000:ff:1f.7" }), 100, "no RDMA devices found", "0000:ff:1f.7 does not exist"));

	test("an auxiliary device that is not there", () =>
		refused(
			call("ADD", { deviceID: "mlx5_core.sf.4" }),
			100,
			"no RDMA devices found",
			"/sys/bus/auxiliary/devices/mlx5_core.sf.4",
		));

	test("a device without an RDMA device", () =>
		refused(
			call("ADD", { deviceID: vfs[2]!.pci }),
			100,
			`device ID ${vfs[2]!.pci}: no RDMA devices found`,
			"driver offers none",
		));

	test.each(["../0000:01:10.0", "a/b", ".", "0000:01:10", "eth0 x"])("the deviceID %j", (deviceID) =>
		refused(call("ADD", { deviceID }), 7, /deviceID ".*" is neither a PCI address such as/),
	);

	test("a device with two RDMA devices", async () => {
		const directory = `/sys/bus/pci/devices/${vfs[0]!.pci}/infiniband`;
		await guest().run([
			"sh",
			"-c",
			`mount -t tmpfs none ${directory} && mkdir ${directory}/mlx5_0 ${directory}/mlx5_9`,
		]);
		const answer = await call("ADD");
		await guest().run(["umount", directory]);
		expect(answer).toMatchObject({ status: 1, json: { code: 100 } });
		expect(answer.json.msg).toContain("discovered more than one RDMA device [mlx5_0 mlx5_9]. Unsupported state");
	});

	test("a device that is busy in another namespace, and says whose it is", async () => {
		await using _other = await pod(guest(), "pod2");
		succeeded(await call("ADD", { pod: "pod2" }));
		const { status, json } = await call("ADD");
		expect({ status, code: json.code }).toEqual({ status: 1, code: 11 });
		expect(json.msg).toContain(
			"RDMA device mlx5_0 is busy in another network namespace (container c-pod2, interface net1)",
		);
		// As Multus does after a failed ADD.
		succeeded(await call("DEL"));
		expect(await rdmaDevices(guest(), "pod2")).toEqual(["mlx5_0"]);
		succeeded(await call("DEL", { pod: "pod2" }));
	});

	test("a device that was moved into a namespace by hand", async () => {
		await using _other = await pod(guest(), "pod2");
		await guest().run(["rdma", "dev", "set", "mlx5_0", "netns", "pod2"]);
		const { json } = await call("ADD");
		expect(json).toMatchObject({
			code: 11,
			msg: expect.stringContaining("mlx5_0 is busy in another network namespace"),
		});
		await guest().run(["ip", "netns", "attach", "host", "1"]);
		await guest().run(["ip", "netns", "exec", "pod2", "rdma", "dev", "set", "mlx5_0", "netns", "host"]);
		await guest().run(["sh", "-c", "umount /run/netns/host && rm /run/netns/host"]);
	});

	test("a sandbox that is no network namespace", () =>
		refused(call("ADD", { netns: "/etc/hostname" }), 4, '"/etc/hostname" is not a network namespace'));

	test("a name that another device has", () =>
		refused(call("ADD", { more: { rdmaDeviceName: "mlx5_1" } }), 100, "mlx5_0 cannot be called mlx5_1", "{index}"));

	test.each(["a/b", "..", "x".repeat(64), "{pod}"])("the name %j", (rdmaDeviceName) =>
		refused(call("ADD", { more: { rdmaDeviceName } }), 7, `rdmaDeviceName "${rdmaDeviceName}" must be`),
	);

	test("a type of service that is no octet", () =>
		refused(call("ADD", { more: { rdmaQoS: { tos: 256 } } }), 7, "rdmaQoS.tos must be at most 255, not 256"));

	test("CNI_ARGS of someone else without IgnoreUnknown", () =>
		refused(call("ADD", { args: "K8S_POD_NAME=x" }), 4, "ARGS: unknown args"));

	test("no deviceID and two interfaces", () => {
		const prevResult = { ...previousResult("pod1"), interfaces: [{ name: "net1" }, { name: "net2" }] };
		return refused(
			call("ADD", { deviceID: "", more: { prevResult } }),
			7,
			'"DeviceID" network configuration attribute is required for rdma CNI',
		);
	});

	test("no deviceID and a MAC that nothing has", () =>
		refused(call("ADD", { deviceID: "" }), 7, 'failed to derive PCI device ID from mac "02:00:5e:10:00:01"'));

	test.each([{ deviceID: "" }, { deviceID: "12" }])("macvlan, by its name: %j", async (more) => {
		await guest().run(["ip", "link", "add", "link", "eth0", "name", "mv1", "type", "macvlan"]);
		await guest().run(["ip", "link", "set", "mv1", "netns", "pod1", "name", "net1", "address", "02:00:5e:10:00:01"]);
		try {
			await refused(
				call("ADD", more),
				7,
				"net1 is a macvlan interface: it has no RDMA device of its own",
				"shared mode",
			);
		} finally {
			await guest().run(["ip", "-n", "pod1", "link", "delete", "net1"]);
		}
	});

	test("a state directory that cannot be written, with the device still on the host", async () => {
		await guest().run(["sh", "-c", "mkdir -p /var/lib/cni/rdma && mount -t tmpfs -o ro none /var/lib/cni/rdma"]);
		const answer = await call("ADD");
		await guest().run(["umount", "/var/lib/cni/rdma"]);
		expect(answer).toMatchObject({ status: 1, json: { code: 5, msg: expect.stringContaining("EROFS") } });
	});
});

test("STATUS is 50 with a sentence where the state directory cannot be written, and silent otherwise", async () => {
	expect(await call("STATUS")).toMatchObject({ status: 0, stdout: "" });
	await guest().run(["sh", "-c", "mkdir -p /var/lib/cni/rdma && mount -t tmpfs -o ro none /var/lib/cni/rdma"]);
	const answer = await call("STATUS");
	await guest().run(["umount", "/var/lib/cni/rdma"]);
	expect(answer).toMatchObject({ status: 1, json: { code: 50, msg: expect.stringContaining("EROFS") } });
});

test("the version flag prints what the Go plugin's prints", async () => {
	for (const flag of ["-v", "--version"]) {
		const { stdout } = await guest().run([`${binaries}/rdma`, flag]);
		expect(stdout).toMatch(/^rdma-cni cni version:\d+\.\d+\.\d+, commit:.+, date:.+\n$/);
	}
});

describe("an RDMA subsystem in shared mode", () => {
	const setMode = async (mode: string) => {
		// Refused while there is another network namespace, and deleted ones take their time.
		await until(`RDMA in ${mode} mode`, async () => {
			const { status } = await guest().run(["rdma", "system", "set", "netns", mode], { ok: false });
			return status === 0;
		});
	};

	beforeAll(async () => {
		await podOfTest[Symbol.asyncDispose]();
		await setMode("shared");
	});
	afterAll(() => setMode("exclusive"));

	test.each(["ADD", "CHECK"])("%s refuses, and says how to change it, and when", (verb) =>
		refused(
			call(verb),
			100,
			"RDMA subsystem namespace awareness mode is set to shared, expecting it to be set to exclusive, invalid system configurations",
			"before there is any network namespace",
			"options ib_core netns_mode=0",
			'"sharedMode": "skip"',
		),
	);

	test("STATUS is 50 with the same sentence", async () => {
		const { status, json } = await call("STATUS");
		expect({ status, code: json.code }).toEqual({ status: 1, code: 50 });
		expect(json.msg).toContain("namespace awareness mode is set to shared");
	});

	test("DEL succeeds", async () => {
		expect(await call("DEL")).toMatchObject({ status: 0, stdout: "" });
	});

	test('"sharedMode": "skip" passes prevResult on in the configuration\'s version and leaves nothing', async () => {
		const more = {
			sharedMode: "skip",
			cniVersion: "0.4.0",
			prevResult: { ...previousResult("pod1"), cniVersion: "0.4.0" },
		};
		const { json } = succeeded(await call("ADD", { more }));
		expect(json).toEqual({
			cniVersion: "0.4.0",
			interfaces: [{ name: "net1", mac: "02:00:5e:10:00:01", sandbox: "/run/netns/pod1" }],
			ips: [{ version: "4", interface: 0, address: "10.56.217.2/24", gateway: "10.56.217.1" }],
			routes: [{ dst: "0.0.0.0/0" }],
			dns: {},
		});
		for (const verb of ["CHECK", "DEL"]) succeeded(await call(verb, { more }));
		succeeded(await call("STATUS", { more: { sharedMode: "skip" } }));
	});
});
