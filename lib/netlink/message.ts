/**
 * Netlink messages: a writer and a reader of headers and attributes. Nothing here knows what the numbers mean to a family.
 *
 * Wire format: linux/netlink.h. Integers are in the byte order of the host unless a function says otherwise; every header and
 * attribute starts at a multiple of 4 bytes.
 */
import { decodeUtf8, encodeUtf8 } from "../sys/sys.ts";
import { NLA_HDRLEN, NLA_TYPE_MASK, NLM_F_ACK, NLM_F_REQUEST, NLMSG_HDRLEN } from "./constants.ts";

const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** `value`, which must be a whole number of that range: one that does not fit is a bug, and never cut. */
function fitting(value: number, least: number, most: number): number {
	if (value >= least && value <= most && Math.trunc(value) === value) return value;
	throw new RangeError(`${value} does not fit a field of a netlink message (${least} to ${most})`);
}

const align = (length: number): number => (length + 3) & ~3;

/** Builds one message: header, a fixed struct written field by field, then attributes. */
export class MessageWriter {
	readonly type: number;
	#bytes = new Uint8Array(256);
	#view = new DataView(this.#bytes.buffer);
	#length = NLMSG_HDRLEN;

	constructor(type: number, flags: number) {
		this.type = type;
		this.#view.setUint16(4, type, LITTLE_ENDIAN);
		this.#view.setUint16(6, flags | NLM_F_REQUEST, LITTLE_ENDIAN);
	}

	/** Makes room for `size` bytes and gives the offset of the first. */
	#grow(size: number): number {
		const at = this.#length;
		this.#length += size;
		if (this.#length > this.#bytes.length) {
			const larger = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2));
			larger.set(this.#bytes);
			this.#bytes = larger;
			this.#view = new DataView(larger.buffer);
		}
		return at;
	}

	u8(value: number): this {
		const at = this.#grow(1);
		this.#view.setUint8(at, fitting(value, 0, 0xff));
		return this;
	}

	u16(value: number): this {
		const at = this.#grow(2);
		this.#view.setUint16(at, fitting(value, 0, 0xffff), LITTLE_ENDIAN);
		return this;
	}

	/** Network byte order, whatever the host's is. */
	u16be(value: number): this {
		const at = this.#grow(2);
		this.#view.setUint16(at, fitting(value, 0, 0xffff), false);
		return this;
	}

	/** Also for signed fields: -1 becomes 0xffffffff. */
	u32(value: number): this {
		const at = this.#grow(4);
		this.#view.setUint32(at, fitting(value, -0x8000_0000, 0xffff_ffff), LITTLE_ENDIAN);
		return this;
	}

	bytes(data: Uint8Array): this {
		const at = this.#grow(data.length);
		this.#bytes.set(data, at);
		return this;
	}

	zeros(count: number): this {
		this.#grow(count);
		return this;
	}

	/** Opens an attribute; what is written until `end` is its payload. */
	begin(type: number): number {
		const at = this.#grow(NLA_HDRLEN);
		this.#view.setUint16(at + 2, type, LITTLE_ENDIAN);
		return at;
	}

	/** Closes the attribute that `begin` opened at `at`. Its length field leaves the padding out. */
	end(at: number): this {
		const length = this.#length - at;
		if (length > 0xffff) throw new RangeError(`netlink attribute of ${length} bytes, the most is 65535`);
		this.#view.setUint16(at, length, LITTLE_ENDIAN);
		this.#grow(align(length) - length);
		return this;
	}

	attributeU32(type: number, value: number): this {
		const at = this.begin(type);
		return this.u32(value).end(at);
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
	 * The finished message. Port number 0: the kernel puts in the socket's own. `unacknowledged`: it is only answered where it is
	 * refused, whatever its flags were.
	 */
	finish(sequence: number, unacknowledged = false): Uint8Array {
		if (unacknowledged) this.#view.setUint16(6, this.#view.getUint16(6, LITTLE_ENDIAN) & ~NLM_F_ACK, LITTLE_ENDIAN);
		this.#view.setUint32(0, this.#length, LITTLE_ENDIAN);
		this.#view.setUint32(8, sequence, LITTLE_ENDIAN);
		return this.#bytes.subarray(0, this.#length);
	}
}

/** One message of a received datagram. The readers count from the end of its header; past the datagram they throw RangeError. */
export class Message {
	readonly type: number;
	readonly flags: number;
	readonly sequence: number;
	/** Bytes after the header. */
	readonly length: number;
	readonly #bytes: Uint8Array;
	readonly #view: DataView;
	readonly #start: number;

	constructor(bytes: Uint8Array, view: DataView, at: number, length: number) {
		this.type = view.getUint16(at + 4, LITTLE_ENDIAN);
		this.flags = view.getUint16(at + 6, LITTLE_ENDIAN);
		this.sequence = view.getUint32(at + 8, LITTLE_ENDIAN);
		this.length = length - NLMSG_HDRLEN;
		this.#bytes = bytes;
		this.#view = view;
		this.#start = at + NLMSG_HDRLEN;
	}

	u8(offset: number): number {
		return this.#view.getUint8(this.#start + offset);
	}
	u16(offset: number): number {
		return this.#view.getUint16(this.#start + offset, LITTLE_ENDIAN);
	}
	u32(offset: number): number {
		return this.#view.getUint32(this.#start + offset, LITTLE_ENDIAN);
	}
	i32(offset: number): number {
		return this.#view.getInt32(this.#start + offset, LITTLE_ENDIAN);
	}

	/** The attributes after a fixed struct of `skip` bytes. */
	attributes(skip: number): Attributes {
		return new Attributes(this.#bytes, this.#view, this.#start + align(skip), this.#start + this.length);
	}
}

/**
 * A cursor over attributes: `while (attribute.next()) switch (attribute.type) ...`. After `next()` the readers give the
 * payload of the current attribute. An attribute that says to be longer than what is there ends the walk.
 */
export class Attributes {
	readonly #bytes: Uint8Array;
	readonly #view: DataView;
	readonly #end: number;
	#at: number;
	#start = 0;
	#length = 0;
	/** Without the flags NLA_F_NESTED and NLA_F_NET_BYTEORDER. */
	type = 0;

	constructor(bytes: Uint8Array, view: DataView, start: number, end: number) {
		this.#bytes = bytes;
		this.#view = view;
		this.#at = start;
		this.#end = end;
	}

	next(): boolean {
		const at = this.#at;
		if (at + NLA_HDRLEN > this.#end) return false;
		const length = this.#view.getUint16(at, LITTLE_ENDIAN);
		if (length < NLA_HDRLEN || at + length > this.#end) return false;
		this.type = this.#view.getUint16(at + 2, LITTLE_ENDIAN) & NLA_TYPE_MASK;
		this.#start = at + NLA_HDRLEN;
		this.#length = length - NLA_HDRLEN;
		this.#at = at + align(length);
		return true;
	}

	get length(): number {
		return this.#length;
	}

	/** The payload as a view into the datagram: `slice()` it to keep it. */
	bytes(): Uint8Array {
		return this.#bytes.subarray(this.#start, this.#start + this.#length);
	}

	/** A string up to its NUL, or to the end where there is none. */
	text(): string {
		const bytes = this.bytes();
		const end = bytes.indexOf(0);
		return decodeUtf8(end < 0 ? bytes : bytes.subarray(0, end));
	}

	/** Integers at `offset` of the payload. Past the end of the datagram: RangeError. */
	u8(offset = 0): number {
		return this.#view.getUint8(this.#start + offset);
	}
	u16(offset = 0): number {
		return this.#view.getUint16(this.#start + offset, LITTLE_ENDIAN);
	}
	u16be(offset = 0): number {
		return this.#view.getUint16(this.#start + offset, false);
	}
	u32(offset = 0): number {
		return this.#view.getUint32(this.#start + offset, LITTLE_ENDIAN);
	}

	/** The payload, or its bytes from `from` up to `to`, as attributes of their own. */
	nested(from = 0, to = this.#length): Attributes {
		return new Attributes(this.#bytes, this.#view, this.#start + from, this.#start + to);
	}
}

/** The messages of a datagram. A length that is less than a header or more than what is there throws. */
export function splitMessages(datagram: Uint8Array): Message[] {
	const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength);
	const messages: Message[] = [];
	let at = 0;
	while (at + NLMSG_HDRLEN <= datagram.length) {
		const length = view.getUint32(at, LITTLE_ENDIAN);
		if (length < NLMSG_HDRLEN || at + length > datagram.length) {
			throw new RangeError(`netlink message of ${length} bytes at ${at} of a datagram of ${datagram.length} bytes`);
		}
		messages.push(new Message(datagram, view, at, length));
		at += align(length);
	}
	return messages;
}
