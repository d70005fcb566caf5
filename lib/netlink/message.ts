/**
 * Netlink messages: a writer and a reader of headers and attributes. Nothing here knows what the numbers mean to a
 * family.
 *
 * Wire format: linux/netlink.h. Integers are in the byte order of the host; every header and attribute starts at a
 * multiple of 4 bytes.
 */
import { attributeRows, attributeValues, decodeUtf8, encodeUtf8, formatAddress } from "../sys/sys.ts";
import * as nl from "./constants.ts";

/** `value`, which must be a whole number of that range: one that does not fit is a bug, and never cut. */
function fitting(value: number, least: number, most: number): number {
	if (value >= least && value <= most && value % 1 === 0) return value;
	throw new RangeError(`${value} does not fit a field of a netlink message (${least} to ${most})`);
}

/**
 * Integers lie at multiples of their size, as all of the kernel's do, and within the message: one that does not is a
 * bug, and never moved.
 */
function refuseField(at: number, size: number): never {
	throw new RangeError(`a field of ${size} bytes at ${at} of a netlink message`);
}

const align = (length: number): number => (length + 3) & ~3;

/**
 * Builds one message: header, a fixed struct written field by field, then attributes. Numbers are at multiples of their
 * size, as they are in all structs of the kernel's: as elements of typed arrays they take the engine a fifth of what a
 * DataView does. Its fields are private by TypeScript's word: the engine takes several times as long for those that are
 * private by JavaScript's (`#name`).
 */
export class MessageWriter {
	readonly type: number;
	private buffer = new Uint8Array(256);
	private halves = new Uint16Array(this.buffer.buffer);
	private words = new Uint32Array(this.buffer.buffer);
	private length = nl.NLMSG_HDRLEN;

	constructor(type: number, flags: number) {
		this.type = type;
		this.halves[2] = type;
		this.halves[3] = flags | nl.NLM_F_REQUEST;
	}

	/** Makes room for `size` bytes and gives the offset of the first. */
	private grow(size: number): number {
		const at = this.length;
		this.length += size;
		if (this.length > this.buffer.length) {
			const larger = new Uint8Array(Math.max(align(this.length), this.buffer.length * 2));
			larger.set(this.buffer);
			this.buffer = larger;
			this.halves = new Uint16Array(larger.buffer);
			this.words = new Uint32Array(larger.buffer);
		}
		return at;
	}

	u8(value: number): this {
		const at = this.grow(1);
		this.buffer[at] = fitting(value, 0, 0xff);
		return this;
	}

	u16(value: number): this {
		const at = this.grow(2);
		if (at % 2 !== 0) refuseField(at, 2);
		this.halves[at >> 1] = fitting(value, 0, 0xffff);
		return this;
	}

	/** Also for signed fields: -1 becomes 0xffffffff. */
	u32(value: number): this {
		const at = this.grow(4);
		if (at % 4 !== 0) refuseField(at, 4);
		this.words[at >> 2] = fitting(value, -0x8000_0000, 0xffff_ffff);
		return this;
	}

	bytes(data: Uint8Array): this {
		const at = this.grow(data.length);
		this.buffer.set(data, at);
		return this;
	}

	zeros(count: number): this {
		this.grow(count);
		return this;
	}

	/** Opens an attribute; what is written until `end` is its payload. */
	begin(type: number): number {
		const at = this.grow(nl.NLA_HDRLEN);
		if (at % 4 !== 0) refuseField(at, 4);
		this.halves[(at >> 1) + 1] = type;
		return at;
	}

	/** Closes the attribute that `begin` opened at `at`. Its length field leaves the padding out. */
	end(at: number): this {
		const length = this.length - at;
		if (length > 0xffff) throw new RangeError(`netlink attribute of ${length} bytes, the most is 65535`);
		this.halves[at >> 1] = length;
		this.grow(align(length) - length);
		return this;
	}

	attributeU32(type: number, value: number): this {
		const at = this.grow(nl.NLA_HDRLEN + 4);
		if (at % 4 !== 0) refuseField(at, 4);
		this.halves[at >> 1] = nl.NLA_HDRLEN + 4;
		this.halves[(at >> 1) + 1] = type;
		this.words[(at >> 2) + 1] = fitting(value, -0x8000_0000, 0xffff_ffff);
		return this;
	}

	attributeBytes(type: number, data: Uint8Array): this {
		const at = this.begin(type);
		return this.bytes(data).end(at);
	}

	/** A string with its final NUL. */
	attributeText(type: number, text: string): this {
		const at = this.begin(type);
		return this.bytes(encodeUtf8(text)).u8(0).end(at);
	}

	/**
	 * The finished message. Port number 0: the kernel puts in the socket's own. `unacknowledged`: it is only answered
	 * where it is refused, whatever its flags were.
	 */
	finish(sequence: number, unacknowledged = false): Uint8Array {
		if (unacknowledged) this.halves[3]! &= ~nl.NLM_F_ACK;
		this.words[0] = this.length;
		this.words[2] = sequence;
		return this.buffer.subarray(0, this.length);
	}
}

/**
 * A part of a datagram, read as numbers of 16 and of 32 bits, too: dumps are long, and for the engine a DataView is ten
 * times the work.
 */
class Reader {
	/** The whole datagram, to be read directly where there are thousands of messages. */
	readonly datagram: Uint8Array;
	readonly halves: Uint16Array;
	readonly words: Uint32Array;
	/** Where in `datagram` that begins which the readers count from. */
	start = 0;
	/** Bytes from there on. */
	length = 0;
	type = 0;
	/** Of the next one. */
	protected at: number;

	constructor(datagram: Uint8Array, halves: Uint16Array, words: Uint32Array, at: number) {
		this.datagram = datagram;
		this.halves = halves;
		this.words = words;
		this.at = at;
	}

	/** Integers at `offset`. Throw RangeError past the end of the datagram, and for one that is not aligned. */
	u8(offset = 0): number {
		return this.datagram[this.start + offset] ?? refuseField(this.start + offset, 1);
	}
	u16(offset = 0): number {
		const at = this.start + offset;
		return (at % 2 === 0 ? this.halves[at >> 1] : undefined) ?? refuseField(at, 2);
	}
	u32(offset = 0): number {
		const at = this.start + offset;
		return (at % 4 === 0 ? this.words[at >> 2] : undefined) ?? refuseField(at, 4);
	}

	/** A string from `offset` up to its NUL, or the `length` bytes where there is none. */
	text(offset = 0, length = this.length - offset): string {
		const start = this.start + offset;
		const nul = this.datagram.indexOf(0, start);
		return decodeUtf8(this.datagram.subarray(start, nul < 0 || nul > start + length ? start + length : nul));
	}
}

/**
 * A cursor over the messages of a received datagram: `while (message.next()) switch (message.type) ...`. The readers
 * count from the end of the current one's header, where its fixed struct begins.
 */
export class Message extends Reader {
	flags = 0;
	sequence = 0;

	constructor(received: Uint8Array) {
		const bytes = received.byteOffset % 4 === 0 ? received : received.slice();
		const { buffer, byteOffset, length } = bytes;
		super(bytes, new Uint16Array(buffer, byteOffset, length >> 1), new Uint32Array(buffer, byteOffset, length >> 2), 0);
	}

	/** False at the end. Throws RangeError where a length is less than a header or more than what is there. */
	next(): boolean {
		const { at, datagram, halves, words } = this;
		if (at + nl.NLMSG_HDRLEN > datagram.length) return false;
		const length = words[at >> 2]!;
		if (length < nl.NLMSG_HDRLEN || at + length > datagram.length) {
			throw new RangeError(`netlink message of ${length} bytes at ${at} of a datagram of ${datagram.length} bytes`);
		}
		this.type = halves[(at >> 1) + 2]!;
		this.flags = halves[(at >> 1) + 3]!;
		this.sequence = words[(at >> 2) + 2]!;
		this.length = length - nl.NLMSG_HDRLEN;
		this.start = at + nl.NLMSG_HDRLEN;
		this.at = at + align(length);
		return true;
	}

	i32(offset: number): number {
		return this.u32(offset) | 0;
	}

	/**
	 * The values of the attributes of these types after a fixed struct of `skip` bytes (a multiple of 4), in the order
	 * of `wanted`: for messages of which there are thousands. Of a type that comes twice the last. Throws SystemError
	 * EINVAL for one of a wrong length.
	 */
	values(skip: number, wanted: WantedAttributes): readonly (number | string | undefined)[] {
		return attributeValues(this.datagram, this.start, skip, this.length, wanted.pairs);
	}

	/**
	 * The values of this message and of those right after it that are of its type, flags, request and family (the first
	 * byte of the struct), over which the cursor is moved: flat, for each where its struct begins in `datagram`, then
	 * its values.
	 */
	rows(skip: number, wanted: WantedAttributes): readonly (number | string | undefined)[] {
		const rows = attributeRows(this.datagram, this.start - nl.NLMSG_HDRLEN, skip, wanted.pairs);
		this.at = rows.pop() as number;
		return rows;
	}

	/**
	 * Where the payload of the first attribute of `type` begins, as the readers count, in a message without a fixed
	 * struct: for those of which little is wanted. Undefined where there is none.
	 */
	place(type: number): number | undefined {
		const { halves, start, length } = this;
		for (let at = 0; at + nl.NLA_HDRLEN <= length; ) {
			const half = (start + at) >> 1;
			const size = halves[half]!;
			if (size < nl.NLA_HDRLEN || at + size > length) return undefined;
			if ((halves[half + 1]! & nl.NLA_TYPE_MASK) === type) return at + nl.NLA_HDRLEN;
			at += align(size);
		}
		return undefined;
	}

	/** The attributes after a fixed struct of `skip` bytes. */
	attributes(skip: number): Attributes {
		return new Attributes(this, this.start + align(skip), this.start + this.length);
	}
}

/**
 * What `Message.values` is to give of an attribute: a number (u32), an address in canonical text, or where its payload
 * begins, as the readers count.
 */
const KINDS = ["number", "address", "place"] as const;

/** Types of attributes, below 256, and what is wanted of each. */
export class WantedAttributes {
	readonly pairs: Uint8Array;
	readonly count: number;

	constructor(wanted: readonly (readonly [type: number, kind: (typeof KINDS)[number]])[]) {
		this.count = wanted.length;
		this.pairs = new Uint8Array(wanted.flatMap(([type, kind]) => [type, KINDS.indexOf(kind)]));
	}
}

/**
 * A cursor over attributes: `while (attribute.next()) switch (attribute.type) ...`. After `next()` the readers give the
 * payload of the current attribute. An attribute that says to be longer than what is there ends the walk.
 */
export class Attributes extends Reader {
	private readonly end: number;

	constructor({ datagram, halves, words }: Reader, at: number, end: number) {
		super(datagram, halves, words, at);
		this.end = end;
	}

	next(): boolean {
		const { at, end, halves } = this;
		if (at + nl.NLA_HDRLEN > end) return false;
		const length = halves[at >> 1]!;
		if (length < nl.NLA_HDRLEN || at + length > end) return false;
		// Without the flags NLA_F_NESTED and NLA_F_NET_BYTEORDER.
		this.type = halves[(at >> 1) + 1]! & nl.NLA_TYPE_MASK;
		this.start = at + nl.NLA_HDRLEN;
		this.length = length - nl.NLA_HDRLEN;
		this.at = at + align(length);
		return true;
	}

	/** The payload as a view into the datagram: `slice()` it to keep it. */
	bytes(): Uint8Array {
		return this.datagram.subarray(this.start, this.start + this.length);
	}

	/** An IP address in canonical text: 4 bytes, or 16, from `from` on. SystemError EINVAL for any other length. */
	address(from = 0): string {
		return formatAddress(this.datagram, this.start + from, Math.max(0, this.length - from));
	}

	/** Network byte order, whatever the host's is. */
	u16be(offset: number): number {
		return this.u8(offset) * 256 + this.u8(offset + 1);
	}

	/** The payload, or its bytes from `from` up to `to`, as attributes of their own. */
	nested(from = 0, to = this.length): Attributes {
		return new Attributes(this, this.start + from, this.start + to);
	}
}
