/**
 * Nobody gets another's RDMA device: names that two attachments share, state that makes no sense, directories where
 * records are meant.
 */
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { useGuest } from "../lab/guest-session.ts";
import { callPlugin, createPod, succeeded } from "../lab/pods.ts";
import { previousResult, rdmaDevices, rdmaState } from "../lab/rdma.ts";
import { createRdmaDevices, createVfs, type Vf } from "../lab/sriov.ts";

const guest = useGuest();
const STATE = "/var/lib/cni/rdma";
let vfs: Vf[];
let before: string;

interface Who {
	readonly network: string;
	readonly container: string;
	readonly pod: string;
	readonly vf: number;
}
const one: Who = { network: "net", container: "one", pod: "pa", vf: 0 };
const sh = (script: string) => guest().run(["sh", "-ec", script]);
const asBefore = async () => expect(await rdmaState(guest())).toBe(before);
const call = (verb: string, { network, container, pod, vf }: Who, more: Record<string, unknown> = {}) =>
	callPlugin(
		guest(),
		"rdma",
		verb,
		{
			cniVersion: "1.1.0",
			name: network,
			type: "rdma",
			...(verb !== "GC" && verb !== "STATUS" && { deviceID: vfs[vf]!.pci, prevResult: previousResult(pod) }),
			...more,
		},
		{ containerId: container, netns: `/run/netns/${pod}` },
	);
const gc = (...valid: Who[]) =>
	call("GC", one, {
		"cni.dev/valid-attachments": valid.map(({ container }) => ({ containerID: container, ifname: "net1" })),
	});

beforeAll(async () => {
	vfs = await createVfs(guest(), "eth0", 2);
	await createRdmaDevices(guest(), vfs);
	before = await rdmaState(guest());
});
beforeEach(async () => {
	for (const pod of ["pa", "pb"]) await createPod(guest(), pod);
});
afterEach(async () => {
	await sh("for pod in pa pb; do ip netns delete $pod 2>/dev/null || true; done");
});

const left: Who = { network: "a", container: "b-c", pod: "pa", vf: 0 };
const right: Who = { network: "a-b", container: "c", pod: "pb", vf: 1 };

test.each([
	["first", left, right],
	["second", right, left],
])(
	"two attachments whose records have one name both work, and DEL of the %s leaves the other alone",
	async (_, first, second) => {
		succeeded(await call("ADD", left));
		succeeded(await call("ADD", right));
		succeeded(await call("CHECK", left));
		succeeded(await call("CHECK", right));
		succeeded(await call("DEL", first));
		expect(await rdmaDevices(guest(), second.pod)).toEqual([`mlx5_${second.vf}`]);
		succeeded(await call("DEL", second));
		await asBefore();
	},
);

test("one attachment with two devices: the second is refused, and the first returns to the host", async () => {
	succeeded(await call("ADD", one));
	const { json } = await call("ADD", { ...one, vf: 1 });
	expect(json).toMatchObject({ code: 11, msg: expect.stringContaining(vfs[0]!.pci) });
	expect(await rdmaDevices(guest(), "pa")).toEqual(["mlx5_0"]);
	succeeded(await call("DEL", one));
	await asBefore();
});

test("a record of an earlier attachment is there again: DEL brings back the device of the present one", async () => {
	const two = { ...one, container: "two", pod: "pb" };
	succeeded(await call("ADD", two));
	await sh(`cp -a ${STATE}/net-two-net1 /run/earlier`);
	succeeded(await call("DEL", two));
	succeeded(await call("ADD", one));
	await sh(`mv /run/earlier ${STATE}/net-two-net1`);
	succeeded(await call("DEL", one));
	expect(await rdmaDevices(guest(), "pa")).toEqual([]);
	succeeded(await call("DEL", two));
	await asBefore();
});

test("a record of another device is there again: DEL brings back the present one", async () => {
	succeeded(await call("ADD", one));
	await sh(`cp -a ${STATE}/net-one-net1 /run/earlier`);
	succeeded(await call("DEL", one));
	succeeded(await call("ADD", { ...one, vf: 1 }));
	await sh(`mv /run/earlier ${STATE}/net-one-net1`);
	succeeded(await call("DEL", { ...one, vf: 1 }));
	expect(await rdmaDevices(guest(), "pa")).toEqual([]);
	await asBefore();
});

test("the node's number of a record is a sibling's by now: DEL brings back the attachment's device, and only that", async () => {
	const other = { ...one, container: "two", pod: "pb", vf: 1 };
	succeeded(await call("ADD", one));
	succeeded(await call("ADD", other));
	const record = JSON.parse(await guest().readFile(`${STATE}/net-one-net1`));
	const { uverbs } = JSON.parse(await guest().readFile(`${STATE}/net-two-net1`)).berth;
	expect(record.berth.uverbs).toEqual(expect.any(Number));
	expect(uverbs).not.toBe(record.berth.uverbs);
	record.berth.uverbs = uverbs;
	await guest().writeFile(`${STATE}/net-one-net1`, JSON.stringify(record));
	succeeded(await call("DEL", one));
	expect(await rdmaDevices(guest(), "pa")).toEqual([]);
	expect(await rdmaDevices(guest(), "pb")).toEqual(["mlx5_1"]);
	succeeded(await call("DEL", other));
	await asBefore();
});

test("what somebody put into the state directory stops no verb", async () => {
	await sh(`mkdir -p ${STATE}/old-records-2026; mkfifo ${STATE}/a-b-fifo; ln -s l-o-op ${STATE}/l-o-op`);
	try {
		succeeded(await call("ADD", one));
		expect(succeeded(await gc(one)).stderr.match(/passed over/g)).toHaveLength(1);
		expect(await rdmaDevices(guest(), "pa")).toEqual(["mlx5_0"]);
		succeeded(await call("DEL", one));
		succeeded(await gc());
	} finally {
		await sh(`rm -r ${STATE}/old-records-2026 ${STATE}/a-b-fifo ${STATE}/l-o-op`);
	}
	await asBefore();
});

test.each([
	[
		"names that lead elsewhere",
		{ deviceID: "0000:01:10.0", sandboxRdmaDevName: "../../x", containerRdmaDevName: ".." },
	],
	["a device that leads elsewhere", { deviceID: "../../victim", sandboxRdmaDevName: "mlx5_0" }],
	[
		"an attachment that leads elsewhere",
		{ berth: { network: "../x", containerID: "../y", ifname: "z", index: -1, uverbs: 1e30 } },
	],
])("a record with %s: DEL and GC get over it", async (_, record) => {
	for (const verb of ["DEL", "GC"]) {
		await sh(`mkdir -p ${STATE}`);
		await guest().writeFile(`${STATE}/net-one-net1`, JSON.stringify(record));
		succeeded(verb === "DEL" ? await call("DEL", one) : await gc());
		await sh(`rm -f ${STATE}/net-one-net1`);
		await asBefore();
	}
});

test("a record of an earlier boot whose namespace has the same path and number keeps nobody out", async () => {
	succeeded(await call("ADD", one));
	await sh(
		`sed -i 's/"bootId":"[^"]*"/"bootId":"another"/' ${STATE}/net-one-net1; ip netns exec pa rdma dev set mlx5_0 netns 1 || true`,
	);
	// The kernel has taken it home at the boot.
	const record = await guest().readFile(`${STATE}/net-one-net1`);
	succeeded(await call("DEL", one));
	await asBefore();
	await guest().writeFile(`${STATE}/net-one-net1`, record);
	succeeded(await call("ADD", { ...one, container: "two" }));
	succeeded(await call("DEL", { ...one, container: "two" }));
	await asBefore();
});

test("an interface's name becomes a part of the device's name as it is", async () => {
	const named = (verb: string) =>
		callPlugin(
			guest(),
			"rdma",
			verb,
			{
				cniVersion: "1.1.0",
				name: "net",
				type: "rdma",
				deviceID: vfs[0]!.pci,
				rdmaDeviceName: "r_{ifname}",
				prevResult: previousResult("pa"),
			},
			{ containerId: "one", netns: "/run/netns/pa", ifName: "n$&x" },
		);
	succeeded(await named("ADD"));
	expect(await rdmaDevices(guest(), "pa")).toEqual(["r_n$&x"]);
	succeeded(await named("DEL"));
	await asBefore();
});

test.each([
	[{ rdmaDeviceName: "no/such" }, 7],
	[{ rdmaQoS: { tos: 999 } }, 7],
	[{ deviceID: 5 }, 6],
])("STATUS refuses %j", async (more, code) => {
	expect((await call("STATUS", one, more)).json).toMatchObject({ code });
});
