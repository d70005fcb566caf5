/**
 * sriov with `"rdma": true`: the RDMA device goes and comes with the interface, on one record. What it has of rdma is
 * tested in rdma*.test.ts; here is what is its own.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Answer, binaries, type Configuration, callPlugin, createPod, hostState, succeeded } from "../lab/pods.ts";
import { previousResult, rdmaDevices, rdmaState, sysfsDevices } from "../lab/rdma.ts";
import { createRdmaDevices, createVfs, until, type Vf } from "../lab/sriov.ts";
import { PF, STATE, useSriov } from "../lab/sriov-session.ts";

const { guest, sh, inPod } = useSriov();
let vfs: Vf[];
let before: unknown;

const state = async () => ({ host: await hostState(guest()), rdma: await rdmaState(guest()) });
const berth = (...args: string[]) => guest().run([`${binaries}/berth`, ...args], { ok: false });
const call = (verb: string, more: Record<string, unknown> = {}, pod = "pod1", vf = vfs[0]!): Promise<Answer> => {
	const configuration: Configuration = {
		...{ cniVersion: "1.1.0", name: "net", type: "sriov", rdma: true },
		...(verb !== "GC" && verb !== "STATUS" && { deviceID: vf.pci }),
		...(verb === "CHECK" && {
			prevResult: { cniVersion: "1.1.0", interfaces: [{ name: "net1", sandbox: `/run/netns/${pod}` }] },
		}),
		...{ vlan: 100, mtu: 1400 },
		...more,
	};
	return callPlugin(guest(), "sriov", verb, configuration, { containerId: `c-${pod}`, netns: `/run/netns/${pod}` });
};
const rdma = (verb: string) =>
	callPlugin(
		guest(),
		"rdma",
		verb,
		{
			...{ cniVersion: "1.1.0", name: "net", type: "rdma" },
			deviceID: vfs[0]!.pci,
			prevResult: previousResult("pod1"),
		},
		{ containerId: "c-pod1", netns: "/run/netns/pod1" },
	);
async function isAttached(name = "mlx5_0"): Promise<void> {
	expect(await rdmaDevices(guest(), "pod1")).toEqual([name]);
	expect(await inPod("pod1")).toContain("net1");
}
/** What the kernel brings back of a pod that ends. */
const isHome = () =>
	until("the device on the host", async () => (await sysfsDevices(guest())).length === vfs.length || undefined);

beforeAll(async () => {
	vfs = await createVfs(guest(), PF, 2);
	await createRdmaDevices(guest(), vfs);
	await sh("mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config");
	before = await state();
});
beforeEach(() => createPod(guest(), "pod1"));
afterEach(async () => {
	await sh("for pod in pod1 pod2; do ip netns delete $pod 2>/dev/null || true; done");
	expect(await state()).toEqual(before);
});

const TOS = "/sys/kernel/config/rdma_cm/mlx5_0";
/** Of the device mlx5_0, wherever it is. */
const setTos = (tos: number) => sh(`mkdir ${TOS}; echo ${tos} > ${TOS}/ports/1/default_roce_tos; rmdir ${TOS}`);
const tos = async () => (await sh(`mkdir ${TOS}; cat ${TOS}/ports/1/default_roce_tos; rmdir ${TOS}`)).stdout.trim();

test("the pod has interface and RDMA device with what was asked for; DEL puts all back", async () => {
	await setTos(32);
	const more = { rdmaDeviceName: "roce_{ifname}", rdmaQoS: { tos: 96 } };
	const { json } = succeeded(await call("ADD", more));
	expect(json.interfaces).toMatchObject([{ name: "net1", mtu: 1400, pciID: vfs[0]!.pci }]);
	await isAttached("roce_net1");
	const record = JSON.parse(await guest().readFile(`${STATE}/c-pod1-net1`));
	expect(record.berth.rdma).toMatchObject({ hostName: "mlx5_0", podName: "roce_net1", hostQoS: { tos: 32 } });
	succeeded(await call("CHECK", more));
	succeeded(await call("DEL", more));
	expect(await tos()).toBe("32");
	await setTos(0);
});

test("CHECK fails where the RDMA device is not as ADD left it, or never came", async () => {
	const failed = async (...words: string[]) => {
		const { json } = await call("CHECK");
		expect(json?.code).toBe(102);
		for (const each of words) expect(json.msg).toContain(each);
	};
	succeeded(await call("ADD"));
	succeeded(await call("CHECK"));
	await sh("ip netns exec pod1 rdma dev set mlx5_0 name other");
	await failed("is called other, not mlx5_0");
	succeeded(await call("DEL"));
	succeeded(await call("ADD", { rdma: false }));
	await failed(`VF ${vfs[0]!.pci} without its RDMA device`);
	succeeded(await call("CHECK", { rdma: false }));
	succeeded(await call("DEL"));
});

test("an ADD that fails after the move has left nothing", async () => {
	const ipam = {
		type: "static",
		addresses: [{ address: "10.1.1.1/24" }],
		routes: [{ dst: "10.9.0.0/16", gw: "10.8.8.8" }],
	};
	const { json } = await call("ADD", { ipam });
	expect(json).toMatchObject({ code: 100 });
	expect(await state()).toEqual(before);
});

test("a VF without an RDMA device is refused, and nothing is changed", async () => {
	await sh("rdma link delete mlx5_0");
	const without = await state();
	const { json } = await call("ADD");
	expect(json).toMatchObject({ code: 100, msg: expect.stringContaining("no RDMA devices found") });
	expect(await state()).toEqual(without);
	await createRdmaDevices(guest(), vfs.slice(0, 1));
	before = await state();
});

test("a chain with rdma as well: rdma says what is wrong, and DEL of the chain brings all back", async () => {
	succeeded(await call("ADD"));
	expect((await rdma("ADD")).json).toMatchObject({
		code: 7,
		msg: `RDMA device mlx5_0 of ${vfs[0]!.pci} is in the sandbox already`,
		details: expect.stringContaining("take rdma out of the chain"),
	});
	await isAttached();
	succeeded(await rdma("DEL"));
	succeeded(await call("DEL"));
});

test.each([
	["GC", () => call("GC", { "cni.dev/valid-attachments": [] })],
	["berth heal", () => berth("heal")],
	[
		"ADD of another pod",
		async () => {
			await createPod(guest(), "pod2");
			succeeded(await call("ADD", {}, "pod2"));
			expect(await rdmaDevices(guest(), "pod2")).toEqual(["mlx5_0"]);
			return call("DEL", {}, "pod2");
		},
	],
	["DEL", () => call("DEL")],
])("%s puts right what a pod has left that is gone", async (_, heal) => {
	await setTos(32);
	succeeded(await call("ADD", { rdmaDeviceName: "roce" }));
	await sh("ip netns delete pod1");
	await isHome();
	expect((await heal()).status).toBe(0);
	expect(await state()).toEqual(before);
	expect(await tos()).toBe("32");
	await setTos(0);
});

test("ADD puts right what rdma of a chain has left, whose pod is gone", async () => {
	succeeded(await call("ADD", { rdma: false }));
	const { status } = await callPlugin(
		guest(),
		"rdma",
		"ADD",
		{
			...{ cniVersion: "1.1.0", name: "net", type: "rdma", deviceID: vfs[0]!.pci, rdmaDeviceName: "roce" },
			prevResult: previousResult("pod1"),
		},
		{ containerId: "c-pod1", netns: "/run/netns/pod1" },
	);
	expect(status).toBe(0);
	await sh("ip netns delete pod1");
	await isHome();
	await createPod(guest(), "pod2");
	succeeded(await call("ADD", {}, "pod2"));
	expect(await rdmaDevices(guest(), "pod2")).toEqual(["mlx5_0"]);
	succeeded(await call("DEL", {}, "pod2"));
});

test("berth node shows where the RDMA device is, and marks one that its pod has lost", async () => {
	succeeded(await call("ADD"));
	const look = async () => JSON.parse((await berth("node", "--json")).stdout).pfs[0].vfs[0];
	expect(await look()).toMatchObject({ rdma: { name: "mlx5_0", place: "pod" }, marks: [] });
	await sh(
		"ip netns attach host 1; ip netns exec pod1 rdma dev set mlx5_0 netns host; umount /run/netns/host; rm /run/netns/host",
	);
	expect(await look()).toMatchObject({
		rdma: { name: "mlx5_0", place: "host" },
		marks: ["its RDMA device is on the host, and a pod has it on record"],
	});
	succeeded(await call("DEL"));
});

test("a record that is lost, or truncated anywhere, does not leave the RDMA device in the pod", async () => {
	const more = { rdmaDeviceName: "roce" };
	const path = `${STATE}/c-pod1-net1`;
	/** What the record alone knew. */
	const repair = () =>
		sh(`rdma dev show mlx5_0 >/dev/null 2>&1 || rdma dev set roce name mlx5_0
name=$(ls /sys/bus/pci/devices/${vfs[0]!.pci}/net)
ip link set ${PF} vf 0 vlan 0
ip link set $name down
ip link set $name name ${vfs[0]!.netdev} mtu 1500`);
	succeeded(await call("ADD", more));
	const text = await guest().readFile(path);
	const lengths = Array.from({ length: 9 }, (_, eighths) => Math.floor((text.length * eighths) / 8));
	for (const length of lengths.toReversed()) {
		if (length > 0) await guest().writeFile(path, text.slice(0, length));
		else await sh(`rm ${path}`);
		succeeded(await call("DEL", more));
		expect(await rdmaDevices(guest(), "pod1"), `${length} bytes`).toEqual([]);
		await repair();
		expect(await state(), `${length} bytes`).toEqual(before);
		succeeded(await call("ADD", more));
	}
	succeeded(await call("DEL", more));
});

describe("an RDMA subsystem in shared mode", () => {
	const setMode = async (mode: string) => {
		await sh("ip netns delete pod1 2>/dev/null || true");
		// Refused while there is another network namespace, and deleted ones take their time.
		await until(`RDMA in ${mode} mode`, async () => {
			const { status } = await guest().run(["rdma", "system", "set", "netns", mode], { ok: false });
			return status === 0;
		});
	};
	beforeAll(() => setMode("shared"));
	afterAll(() => setMode("exclusive"));

	test('ADD is refused before any change, STATUS is 50; "sharedMode": "skip" leaves the device where it is', async () => {
		const { json } = await call("ADD");
		expect(json).toMatchObject({ code: 100, msg: expect.stringContaining("mode is set to shared") });
		expect(await state()).toEqual(before);
		expect((await call("STATUS")).json).toMatchObject({ code: 50, msg: expect.stringContaining("set to shared") });
		const more = { sharedMode: "skip" };
		for (const verb of ["STATUS", "ADD", "CHECK", "DEL"]) succeeded(await call(verb, more));
	});
});
