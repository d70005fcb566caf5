import fc from "fast-check";
import { expect, test } from "vitest";
import { type Attributes, Message, MessageWriter } from "../../../lib/netlink/message.ts";

/** A datagram of one message with these bytes after its header. */
function datagram(body: number[]): Uint8Array {
	const bytes = new Uint8Array(16 + body.length);
	new DataView(bytes.buffer).setUint32(0, bytes.length, true);
	bytes.set(body, 16);
	return bytes;
}

function only(bytes: Uint8Array): Message {
	const message = new Message(bytes);
	expect(message.next()).toBe(true);
	return message;
}

function walk(attribute: Attributes): [number, number[]][] {
	const found: [number, number[]][] = [];
	while (attribute.next()) found.push([attribute.type, [...attribute.bytes()]]);
	return found;
}

test("an attribute that says to be longer than the message ends the walk", () => {
	expect(walk(only(datagram([5, 0, 1, 0, 9, 0, 0, 0, 200, 0, 2, 0, 1, 2, 3, 4])).attributes(0))).toEqual([[1, [9]]]);
});

test("an attribute shorter than its own header ends the walk", () => {
	expect(walk(only(datagram([3, 0, 1, 0, 5, 0, 1, 0, 9, 0, 0, 0])).attributes(0))).toEqual([]);
});

test("a final attribute without its padding is read", () => {
	expect(walk(only(datagram([5, 0, 1, 0, 9])).attributes(0))).toEqual([[1, [9]]]);
});

test("the flags of a nested attribute are not part of its type", () => {
	expect(walk(only(datagram([4, 0, 52, 0x80])).attributes(0))).toEqual([[52, []]]);
});

test("text ends at its NUL, or with the attribute", () => {
	const attribute = only(datagram([7, 0, 3, 0, 97, 0, 98, 0, 6, 0, 3, 0, 99, 100, 0, 0])).attributes(0);
	attribute.next();
	expect(attribute.text()).toBe("a");
	attribute.next();
	expect(attribute.text()).toBe("cd");
});

test("the place of an attribute, of the first where there are two, and its text up to its own end", () => {
	const message = only(datagram([8, 0, 3, 0, 97, 98, 99, 100, 8, 0, 3, 0, 101, 0, 0, 0, 9, 0, 5, 0]));
	expect(message.place(3)).toBe(4);
	expect(message.text(4, 4)).toBe("abcd");
	expect(message.place(4)).toBeUndefined();
	expect(message.place(5)).toBeUndefined();
});

test("what does not lie at a multiple of its size is an error, not written or read elsewhere", () => {
	const odd = () => new MessageWriter(1, 0).u8(1);
	for (const write of [
		() => odd().u16(2),
		() => odd().u8(1).u32(2),
		() => odd().begin(3),
		() => odd().attributeU32(3, 4),
	]) {
		expect(write).toThrow(RangeError);
	}
	const message = only(datagram([1, 0, 2, 0, 3, 0, 4, 0]));
	for (const read of [() => message.u16(1), () => message.u32(2), () => message.u32(8), () => message.u8(8)]) {
		expect(read).toThrow(RangeError);
	}
});

test("a message that grows keeps what was written", () => {
	const message = new MessageWriter(1, 0).zeros(238).u16(0x0102);
	const at = message.begin(7);
	const bytes = message.u32(0x03040506).end(at).u16(0x0708).finish(9);
	expect(bytes.length).toBe(266);
	expect(Array.from(bytes.subarray(254))).toEqual([2, 1, 8, 0, 7, 0, 6, 5, 4, 3, 8, 7]);
});

test("a message that says to be longer than the datagram is an error", () => {
	const bytes = datagram([1, 2, 3, 4]);
	new DataView(bytes.buffer).setUint32(0, 21, true);
	expect(() => new Message(bytes).next()).toThrow("netlink message of 21 bytes at 0 of a datagram of 20 bytes");
	new DataView(bytes.buffer).setUint32(0, 15, true);
	expect(() => new Message(bytes).next()).toThrow("netlink message of 15 bytes");
});

test("an attribute of more than 65535 bytes is an error, not one of a wrong length", () => {
	const message = new MessageWriter(1, 0);
	const at = message.begin(1);
	message.zeros(65536);
	expect(() => message.end(at)).toThrow("65540 bytes");
});

test("whatever is written is read back, aligned to 4 bytes, also past the first 256 bytes", () => {
	const attributes = fc.array(fc.tuple(fc.integer({ min: 0, max: 0x3fff }), fc.uint8Array({ maxLength: 400 })));
	fc.assert(
		fc.property(attributes, (list) => {
			const message = new MessageWriter(9, 4).u32(0xdeadbeef);
			for (const [type, data] of list) message.attributeBytes(type, data);
			const bytes = message.finish(77);
			expect(bytes.length % 4).toBe(0);
			const read = only(bytes);
			expect([read.type, read.flags, read.sequence, read.u32(0)]).toEqual([9, 5, 77, 0xdeadbeef]);
			expect(walk(read.attributes(4))).toEqual(list.map(([type, data]) => [type, [...data]]));
		}),
	);
});

test("random bytes never make the reader leave the datagram or loop", () => {
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
			const found = walk(only(datagram([...bytes])).attributes(0));
			expect(found.length).toBeLessThanOrEqual(bytes.length / 4);
		}),
	);
});
