/**
 * Messages of the DNS, as far as a client needs them to ask for the addresses of a name: RFC 1035, section 4; RFC 3596.
 */
import { type Ip, ipFromBytes } from "../ip/address.ts";

export const TYPE_A = 1;
export const TYPE_AAAA = 28;
const TYPE_CNAME = 5;
const CLASS_IN = 1;

const HEADER = 12;
const IS_RESPONSE = 0x8000;
const OPCODE = 0x7800;
const IS_TRUNCATED = 0x0200;
const RECURSION_DESIRED = 0x0100;
const CODE = 0x000f;

/** Response codes. */
export const NO_ERROR = 0;
export const NO_SUCH_NAME = 3;

/** More aliases than this lead nowhere. */
const MOST_ALIASES = 16;

export interface Question {
	readonly id: number;
	/** Without a dot at its end. */
	readonly name: string;
	readonly type: typeof TYPE_A | typeof TYPE_AAAA;
}

export interface Answer {
	readonly code: number;
	/** It did not fit; it is to be asked for over TCP. */
	readonly isTruncated: boolean;
	readonly addresses: readonly Ip[];
}

/** Labels of letters, digits, hyphens and underscores, as long as the DNS lets them be. */
export const isDnsName = (name: string): boolean =>
	name.length <= 253 && /^[0-9A-Za-z_-]{1,63}(\.[0-9A-Za-z_-]{1,63})*$/.test(name);

/** `name` must be one of `isDnsName`. */
export function renderQuestion({ id, name, type }: Question): Uint8Array {
	const bytes = new Uint8Array(HEADER + name.length + 2 + 4);
	const view = new DataView(bytes.buffer);
	view.setUint16(0, id);
	view.setUint16(2, RECURSION_DESIRED);
	view.setUint16(4, 1);
	let at = HEADER;
	for (const label of name.split(".")) {
		bytes[at++] = label.length;
		for (let i = 0; i < label.length; i++) bytes[at++] = label.charCodeAt(i);
	}
	view.setUint16(at + 1, type);
	view.setUint16(at + 3, CLASS_IN);
	return bytes;
}

/** Undefined for what is no answer to this question: somebody else's, or malformed. */
export function readAnswer(bytes: Uint8Array, { id, name, type }: Question): Answer | undefined {
	try {
		const reader = new Reader(bytes);
		const isOurs = reader.u16() === id;
		const flags = reader.u16();
		const counts = { questions: reader.u16(), answers: reader.u16() };
		if (!isOurs || (flags & (IS_RESPONSE | OPCODE)) !== IS_RESPONSE || counts.questions !== 1) return undefined;
		reader.skip(4);
		if (reader.name() !== name.toLowerCase() || reader.u16() !== type || reader.u16() !== CLASS_IN) return undefined;
		const isTruncated = (flags & IS_TRUNCATED) !== 0;
		const addresses = isTruncated ? [] : readAddresses(reader, counts.answers, name.toLowerCase(), type);
		return { code: flags & CODE, isTruncated, addresses };
	} catch (error) {
		if (error instanceof RangeError) return undefined;
		throw error;
	}
}

function readAddresses(reader: Reader, count: number, name: string, type: number): readonly Ip[] {
	const aliases = new Map<string, string>();
	const addresses = new Map<string, Ip[]>();
	for (let index = 0; index < count; index++) {
		const owner = reader.name();
		const kind = reader.u16();
		const isInternet = reader.u16() === CLASS_IN;
		reader.skip(4);
		const data = reader.part(reader.u16());
		if (!isInternet) continue;
		if (kind === TYPE_CNAME) aliases.set(owner, data.name());
		if (kind === type) addresses.set(owner, [...(addresses.get(owner) ?? []), ipFromBytes(data.address(type))]);
	}
	let owner = name;
	for (let alias = 0; alias < MOST_ALIASES; alias++) {
		const next = aliases.get(owner);
		if (next === undefined) return addresses.get(owner) ?? [];
		owner = next;
	}
	return [];
}

/** Throws RangeError where the message has no more. */
class Reader {
	readonly #bytes: Uint8Array;
	readonly #end: number;
	#at: number;

	constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
		this.#bytes = bytes;
		this.#at = at;
		this.#end = end;
	}

	u16(): number {
		const start = this.#step(2);
		return this.#bytes[start]! * 256 + this.#bytes[start + 1]!;
	}

	skip(length: number): void {
		this.#step(length);
	}

	part(length: number): Reader {
		const start = this.#step(length);
		return new Reader(this.#bytes, start, start + length);
	}

	address(type: number): Uint8Array {
		const length = type === TYPE_A ? 4 : 16;
		const start = this.#step(length);
		if (this.#at !== this.#end) throw new RangeError("an address of another length");
		return this.#bytes.subarray(start, start + length);
	}

	/** In lower case. A pointer leads to an earlier place only, so that no name is without an end. */
	name(): string {
		const labels: string[] = [];
		let length = 0;
		let from = this.#at;
		let reader: Reader = this;
		for (;;) {
			const size = reader.#byte();
			if (size === 0) return labels.join(".");
			if (size >= 0xc0) {
				const target = (size & 0x3f) * 256 + reader.#byte();
				if (target >= from) throw new RangeError("a pointer that does not lead back");
				from = target;
				reader = new Reader(this.#bytes, target);
				continue;
			}
			length += size + 1;
			if (size >= 0x40 || length > 254) throw new RangeError("a name that is too long");
			const start = reader.#step(size);
			labels.push(String.fromCharCode(...this.#bytes.subarray(start, start + size)).toLowerCase());
		}
	}

	#byte(): number {
		return this.#bytes[this.#step(1)]!;
	}

	#step(length: number): number {
		const start = this.#at;
		if (start + length > this.#end) throw new RangeError("a message that is cut off");
		this.#at += length;
		return start;
	}
}
