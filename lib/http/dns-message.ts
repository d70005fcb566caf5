/**
 * Messages of the DNS, as far as a client needs them to ask for the addresses of a name: RFC 1035, section 4; RFC 3596.
 */
import { type Ip, ipFromBytes } from "../ip/address.ts";
import { type DnsName, readDnsName } from "../ip/dns-name.ts";

export const TYPE_A = 1;
export const TYPE_AAAA = 28;
const TYPE_CNAME = 5;
const CLASS_IN = 1;

const HEADER = 12;
const FLAG = { response: 0x8000, opcode: 0x7800, truncated: 0x0200, recursionDesired: 0x0100, code: 0x000f } as const;

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

export type Answer = NonNullable<ReturnType<typeof readAnswer>>;

/** Labels of letters, digits, hyphens and underscores, as long as the DNS lets them be. */
export const isDnsName = (name: string): boolean =>
	name.length <= 253 && /^[0-9A-Za-z_-]{1,63}(\.[0-9A-Za-z_-]{1,63})*$/.test(name);

/** `name` must be one of `isDnsName`. */
export function renderQuestion({ id, name, type }: Question): Uint8Array {
	const bytes = new Uint8Array(HEADER + name.length + 2 + 4);
	const view = new DataView(bytes.buffer);
	view.setUint16(0, id);
	view.setUint16(2, FLAG.recursionDesired);
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
export function readAnswer(bytes: Uint8Array, { id, name, type }: Question) {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
	const wanted = name.toLowerCase();
	try {
		const [flags, questions, answers] = [view.getUint16(2), view.getUint16(4), view.getUint16(6)];
		const asked = nameAt(bytes, HEADER);
		const isOurs =
			view.getUint16(0) === id &&
			(flags & (FLAG.response | FLAG.opcode)) === FLAG.response &&
			questions === 1 &&
			asked.text === wanted &&
			view.getUint16(asked.end) === type &&
			view.getUint16(asked.end + 2) === CLASS_IN;
		if (!isOurs) return undefined;
		const isTruncated = (flags & FLAG.truncated) !== 0;
		// It did not fit; it is to be asked for over TCP.
		const addresses = isTruncated ? [] : readAddresses(view, bytes, asked.end + 4, answers, wanted, type);
		return { code: flags & FLAG.code, isTruncated, addresses };
	} catch (error) {
		if (error instanceof RangeError) return undefined;
		throw error;
	}
}

/** The addresses of `name` among `count` records from `start` on. Throws RangeError where the message has no more. */
function readAddresses(
	view: DataView,
	bytes: Uint8Array,
	start: number,
	count: number,
	name: string,
	type: number,
): readonly Ip[] {
	const aliases = new Map<string, string>();
	const addresses = new Map<string, Ip[]>();
	let at = start;
	for (let index = 0; index < count; index++) {
		const { text: owner, end } = nameAt(bytes, at);
		const [kind, isInternet] = [view.getUint16(end), view.getUint16(end + 2) === CLASS_IN];
		const data = end + 10;
		at = data + view.getUint16(end + 8);
		if (at > bytes.length) throw new RangeError("a record that is truncated");
		if (!isInternet) continue;
		if (kind === TYPE_CNAME) aliases.set(owner, nameAt(bytes.subarray(0, at), data).text);
		if (kind === type) {
			if (at - data !== (type === TYPE_A ? 4 : 16)) throw new RangeError("an address of another length");
			addresses.set(owner, [...(addresses.get(owner) ?? []), ipFromBytes(bytes.subarray(data, at))]);
		}
	}
	let owner = name;
	for (let alias = 0; alias < MOST_ALIASES; alias++) {
		const next = aliases.get(owner);
		if (next === undefined) return addresses.get(owner) ?? [];
		owner = next;
	}
	return [];
}

/** In lower case. Throws RangeError for a name that is malformed. */
function nameAt(bytes: Uint8Array, at: number): DnsName {
	const name = readDnsName(bytes, at);
	if (name === undefined) throw new RangeError("a name that is malformed");
	return { text: name.text.toLowerCase(), end: name.end };
}
