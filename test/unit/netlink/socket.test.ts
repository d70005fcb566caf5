import { beforeEach, expect, test, vi } from "vitest";
import { NETLINK_ROUTE } from "../../../lib/netlink/constants.ts";
import { NetlinkError } from "../../../lib/netlink/error.ts";
import { type LinkIndex, linkMessage } from "../../../lib/netlink/link.ts";
import { setLink } from "../../../lib/netlink/link-change.ts";
import type { Message, MessageWriter } from "../../../lib/netlink/message.ts";
import { NetlinkSocket } from "../../../lib/netlink/socket.ts";
import { errorBody, fakeKernel, messageAttribute } from "./fake-kernel.ts";

vi.mock("native:sys", async (original) => (await import("./fake-kernel.ts")).nativeModule(await original<object>()));

const NAME = { request: "RTM_GETLINK", subject: '"eth0"' };
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const DUMP_INTR = 0x10;
const CAPPED = 0x100;
const ACK_TLVS = 0x200;
const EXT_ACK = 11;
const STRICT = 12;

let socket: NetlinkSocket;
beforeEach(() => {
	fakeKernel.reset();
	socket = NetlinkSocket.open(NETLINK_ROUTE);
});

const question = (): MessageWriter => linkMessage(18, 0, 1);
const number = (value: number): Uint8Array => new Uint8Array(new Uint32Array([value]).buffer);
const readNumber = (message: Message): number => message.u32(0);
const done = (flags = 0, errno = 0) => ({ type: NLMSG_DONE, flags, body: number(-errno >>> 0) });

function thrown(run: () => unknown): NetlinkError {
	try {
		run();
	} catch (error) {
		expect(error).toBeInstanceOf(NetlinkError);
		return error as NetlinkError;
	}
	throw new Error("nothing was thrown");
}

test("a refusal names request, link and error, and quotes the kernel", () => {
	socket.linkNames.set(5, "eth0");
	const body = errorBody(1, messageAttribute("not with this driver"));
	fakeKernel.queue.push([{ type: NLMSG_ERROR, flags: CAPPED | ACK_TLVS, body }]);
	const error = thrown(() => setLink(socket, 5 as LinkIndex, { up: true }));
	expect(error.message).toBe('RTM_SETLINK on "eth0": operation not permitted (EPERM): not with this driver');
	expect(error).toMatchObject({ errno: 1, code: "EPERM", call: "RTM_SETLINK", request: "RTM_SETLINK" });
	expect(error.kernelMessage).toBe("not with this driver");
});

test("the kernel's words are found after the whole refused request, which comes back without NLM_F_CAPPED", () => {
	const request = new Uint8Array(40);
	new DataView(request.buffer).setUint32(0, request.length, true);
	const body = errorBody(22, messageAttribute("mtu greater than device maximum"), request);
	fakeKernel.queue.push([{ type: NLMSG_ERROR, flags: ACK_TLVS, body }]);
	const error = thrown(() => setLink(socket, 5 as LinkIndex, { up: true }));
	expect(error.message).toBe("RTM_SETLINK on link 5: invalid argument (EINVAL): mtu greater than device maximum");
});

test("an error without a name of ours is told by its number", () => {
	fakeKernel.queue.push([{ type: NLMSG_ERROR, body: errorBody(250) }]);
	expect(thrown(() => socket.get(question(), NAME)).message).toBe('RTM_GETLINK on "eth0": error 250 (E250)');
});

test("late answers to earlier requests and messages from other processes are passed over", () => {
	fakeKernel.queue.push([{ type: 16, body: number(1), sequenceOffset: -1 }]);
	fakeKernel.queue.push([
		{ type: 16, body: number(2), sequenceOffset: 7 },
		{ type: 16, body: number(3) },
	]);
	expect(readNumber(socket.get(question(), NAME))).toBe(3);

	fakeKernel.senderPort = 9;
	fakeKernel.queue.push([{ type: 16, body: number(4) }], () => {
		fakeKernel.senderPort = 0;
		fakeKernel.queue.push([{ type: 16, body: number(5) }]);
	});
	expect(readNumber(socket.get(question(), NAME))).toBe(5);
});

test("sequence numbers differ from request to request", () => {
	for (const _ of [1, 2, 3]) {
		fakeKernel.queue.push([{ type: 16, body: number(0) }]);
		socket.get(question(), NAME);
	}
	expect(fakeKernel.sent.map((each) => new DataView(each.buffer).getUint32(8, true))).toEqual([1, 2, 3]);
});

test("no answer within 5 s is an error that says what it waited for", () => {
	const error = thrown(() => socket.get(question(), NAME));
	expect(error.message).toBe('RTM_GETLINK on "eth0": no answer from the kernel within 5 s (ETIMEDOUT)');
	expect(fakeKernel.polls).toEqual([5000]);
});

test("an answer that is longer than the buffer is an error, not half an answer", () => {
	fakeKernel.queue.push(new Uint8Array(300_000));
	expect(thrown(() => socket.get(question(), NAME)).message).toBe(
		'RTM_GETLINK on "eth0": the answer has 300000 bytes, our buffer 131072 (EMSGSIZE)',
	);
});

test("a dump is gathered from several datagrams, and asks for strict filters once", () => {
	for (const _ of [1, 2]) {
		fakeKernel.queue.push([
			{ type: 16, body: number(1) },
			{ type: 16, body: number(2) },
		]);
		fakeKernel.queue.push([{ type: 16, body: number(3) }, done()]);
		expect(socket.dump(question(), NAME, readNumber)).toEqual([1, 2, 3]);
	}
	expect(fakeKernel.options).toEqual([EXT_ACK, STRICT]);
});

test("an interrupted dump is read to its end and made again", () => {
	fakeKernel.queue.push([{ type: 16, body: number(1), flags: DUMP_INTR }], [{ type: 16, body: number(2) }, done()]);
	fakeKernel.queue.push([{ type: 16, body: number(7) }], [done()]);
	expect(socket.dump(question(), NAME, readNumber)).toEqual([7]);
	expect(fakeKernel.sent).toHaveLength(2);
});

test("a dump whose last message alone says that it was interrupted is made again, too", () => {
	fakeKernel.queue.push([{ type: 16, body: number(1) }, done(DUMP_INTR)], [{ type: 16, body: number(7) }, done()]);
	expect(socket.dump(question(), NAME, readNumber)).toEqual([7]);
});

test("a dump that is interrupted five times is given up", () => {
	for (let attempt = 0; attempt < 5; attempt++) fakeKernel.queue.push([done(DUMP_INTR)]);
	expect(thrown(() => socket.dump(question(), NAME, readNumber)).message).toBe(
		'RTM_GETLINK on "eth0": the list kept changing while it was read, 5 times (EAGAIN)',
	);
	expect(fakeKernel.sent).toHaveLength(5);
});

test("a dump that fails in its middle throws what its last message says", () => {
	fakeKernel.queue.push([{ type: 16, body: number(1) }, done(0, 105)]);
	expect(thrown(() => socket.dump(question(), NAME, readNumber)).code).toBe("ENOBUFS");
});

test("a kernel that lacks an option is served without it", () => {
	fakeKernel.refusedOptions = [EXT_ACK, STRICT];
	const old = NetlinkSocket.open(NETLINK_ROUTE);
	fakeKernel.queue.push([{ type: 16, body: number(1) }, done()]);
	expect(old.dump(question(), NAME, readNumber)).toEqual([1]);
});

/** Header of the message at `at` of a datagram. */
function header(datagram: Uint8Array, at: number) {
	const view = new DataView(datagram.buffer, datagram.byteOffset + at);
	return { length: view.getUint32(0, true), flags: view.getUint16(6, true), sequence: view.getUint32(8, true) };
}

const change = (subject: string) => ({ message: linkMessage(19, 4, 1), name: { request: "RTM_SETLINK", subject } });
const refusal = (errno: number, sequenceOffset = 0) => ({ type: NLMSG_ERROR, body: errorBody(errno), sequenceOffset });

test("changes go together in one datagram, of which the last alone asks for an acknowledgement", () => {
	fakeKernel.queue.push([refusal(0, 2)]);
	expect(socket.changeAll([change("a"), change("b"), change("c")])).toBeUndefined();
	expect(fakeKernel.sent).toHaveLength(1);
	const [datagram] = fakeKernel.sent;
	expect(datagram).toHaveLength(3 * 32);
	expect([0, 32, 64].map((at) => header(datagram!, at))).toEqual([
		{ length: 32, flags: 1, sequence: 1 },
		{ length: 32, flags: 1, sequence: 2 },
		{ length: 32, flags: 5, sequence: 3 },
	]);
	expect(socket.changeAll([])).toBeUndefined();
	expect(fakeKernel.sent).toHaveLength(1);
});

test("of changes that go together the first refusal counts, and all answers are read", () => {
	fakeKernel.queue.push([refusal(17, 1)], [refusal(22, 2)]);
	const refused = socket.changeAll([change("a"), change("b"), change("c")]);
	expect(refused).toMatchObject({ index: 1, error: { message: "RTM_SETLINK on b: file exists (EEXIST)" } });
	fakeKernel.queue.push([{ type: 16, body: number(3) }]);
	expect(readNumber(socket.get(question(), NAME))).toBe(3);
});

test("a question tells of what it is asked after", () => {
	fakeKernel.queue.push([{ type: 16, body: number(3), sequenceOffset: 1 }]);
	expect(readNumber(socket.get(question(), NAME, change("a")))).toBe(3);
	fakeKernel.queue.push([refusal(16)], [{ type: 16, body: number(4), sequenceOffset: 1 }]);
	expect(thrown(() => socket.get(question(), NAME, change("a"))).code).toBe("EBUSY");
	fakeKernel.queue.push([refusal(16)], [refusal(19, 1)]);
	expect(thrown(() => socket.get(question(), NAME, change("a"))).code).toBe("EBUSY");
	fakeKernel.queue.push([refusal(19, 1)]);
	expect(thrown(() => socket.get(question(), NAME, change("a"))).code).toBe("ENODEV");
	expect(fakeKernel.queue).toEqual([]);
});
