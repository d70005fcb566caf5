import { beforeAll, beforeEach, expect, test, vi } from "vitest";
import { NETLINK_RDMA } from "../../../lib/netlink/constants.ts";
import {
	findRdmaDevice,
	getRdmaNetnsMode,
	listRdmaDevices,
	moveRdmaDevice,
	type RdmaIndex,
	renameRdmaDevice,
} from "../../../lib/netlink/rdma.ts";
import { NetlinkSocket } from "../../../lib/netlink/socket.ts";
import { errorBody, fakeKernel } from "./fake-kernel.ts";
import { compileVectors } from "./kernel-vectors.ts";

vi.mock("native:sys", async (original) => (await import("./fake-kernel.ts")).nativeModule(await original<object>()));

let vectors: Map<string, Uint8Array>;
let socket: NetlinkSocket;
const device = { index: 7 as RdmaIndex, name: "mlx5_7" };
const ACK = { type: 2, body: errorBody(0) };

beforeAll(() => {
	vectors = compileVectors("rdma-vectors.c");
});
beforeEach(() => {
	fakeKernel.reset();
	socket = NetlinkSocket.open(NETLINK_RDMA);
});

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const expectSent = (name: string) => expect(hex(fakeKernel.sent[0]!)).toBe(hex(vectors.get(name)!));

test("rename and move are the messages that C makes of the kernel's headers", () => {
	fakeKernel.queue.push([ACK]);
	renameRdmaDevice(socket, device, "rdma_net1_7");
	expectSent("rename");

	fakeKernel.reset();
	fakeKernel.queue.push([ACK]);
	moveRdmaDevice(NetlinkSocket.open(NETLINK_RDMA), device, 9);
	expectSent("move");
});

test.each([
	["shared", "shared"],
	["exclusive", "exclusive"],
	["no-mode", undefined],
])("the answer %s means the mode %s", (answer, mode) => {
	fakeKernel.queue.push(vectors.get(answer)!);
	expect(getRdmaNetnsMode(socket)).toBe(mode);
	expectSent("get-mode");
});

test("devices are read with index and name, past the attributes that nobody asked for", () => {
	const both = [...vectors.get("device-0")!, ...vectors.get("device-7")!];
	fakeKernel.queue.push(Uint8Array.from(both), [{ type: 3, body: new Uint8Array(4) }]);
	expect(listRdmaDevices(socket)).toEqual([
		{ index: 0, name: "mlx5_0" },
		{ index: 7, name: "rdma_net1_7" },
	]);
	expectSent("list");
});

test("a device is asked for at its likely index, and else looked for in the list", () => {
	const found = { index: 7, name: "rdma_net1_7" };
	fakeKernel.queue.push(vectors.get("device-7")!);
	expect(findRdmaDevice(socket, ["other", "rdma_net1_7"], 7)).toEqual(found);
	expectSent("get");

	// Another device has the index, or none: the list is the socket's second request.
	const list = [vectors.get("device-0")!, vectors.get("device-7")!].map((device) => {
		const second = device.slice();
		new DataView(second.buffer).setUint32(8, 2, true);
		return second;
	});
	for (const answer of [vectors.get("device-0")!, [{ type: 2, body: errorBody(22) }]]) {
		fakeKernel.reset();
		fakeKernel.queue.push(answer, ...list, [{ type: 3, body: new Uint8Array(4) }]);
		expect(findRdmaDevice(NetlinkSocket.open(NETLINK_RDMA), ["rdma_net1_7"], 0)).toEqual(found);
		expect(fakeKernel.sent).toHaveLength(2);
	}
});

test("a refusal names the request and the device", () => {
	fakeKernel.queue.push([{ type: 2, body: errorBody(95) }]);
	expect(() => moveRdmaDevice(socket, device, 9)).toThrow(
		'RDMA_NLDEV_CMD_SET on "mlx5_7": operation not supported (EOPNOTSUPP)',
	);
});
