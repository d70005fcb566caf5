/**
 * DHCPv6 messages and what is in them: written, and read with distrust. Wire format: RFC 8415, sections 8 and 21; DNS:
 * RFC 3646.
 */
import type { CniDns } from "../../../lib/cni/types.ts";
import { ipToBytes, parseIp } from "../../../lib/ip/address.ts";
import { addressAt, addressesIn, u16At, u32At } from "./bytes.ts";
import { dnsSettings, domainList, FOR_EVER } from "./options.ts";

export const MESSAGE6 = {
	solicit: 1,
	advertise: 2,
	request: 3,
	renew: 5,
	rebind: 6,
	reply: 7,
	release: 8,
	decline: 9,
} as const;

const OPTION6 = {
	clientId: 1,
	serverId: 2,
	iaNa: 3,
	iaAddress: 5,
	optionRequest: 6,
	elapsedTime: 8,
	statusCode: 13,
	rapidCommit: 14,
	dnsServers: 23,
	domainSearch: 24,
} as const;

/** Bytes of type and transaction. */
const HEADER = 4;

export interface ClientMessage6 {
	readonly type: number;
	/** 24 bits. */
	readonly xid: number;
	/**
	 * 6 bytes: the identifier of the client, and that of its only association, are made of it and stay as long as it
	 * does.
	 */
	readonly mac: Uint8Array;
	/** Undefined: every server. */
	readonly serverId?: Uint8Array | undefined;
	/** The address that it is about, or that the client would like. */
	readonly address?: string | undefined;
	/** Milliseconds since the exchange began. */
	readonly elapsedMs: number;
}

/** RFC 8415, section 11.4: type of DUID (3: DUID-LL), type of hardware (1: Ethernet), address. */
export const clientDuid = (mac: Uint8Array): Uint8Array => Uint8Array.of(0, 3, 0, 1, ...mac);

/** A SOLICIT asks for a rapid commit; a RELEASE and a DECLINE ask for nothing. */
export function encodeMessage6({ type, xid, mac, serverId, address, elapsedMs }: ClientMessage6): Uint8Array {
	// T1 and T2 of the association are the server's to choose, and so are the two lifetimes of the address.
	const chosen = bigEndian(0, 8);
	const wanted = address === undefined ? [] : option(OPTION6.iaAddress, ...ipToBytes(parseIp(address)!), ...chosen);
	const isQuestion = type !== MESSAGE6.release && type !== MESSAGE6.decline;
	const requested = [...bigEndian(OPTION6.dnsServers, 2), ...bigEndian(OPTION6.domainSearch, 2)];
	return Uint8Array.of(
		type,
		...bigEndian(xid, 3),
		...option(OPTION6.clientId, ...clientDuid(mac)),
		...(serverId === undefined ? [] : option(OPTION6.serverId, ...serverId)),
		...option(OPTION6.iaNa, ...mac.slice(2), ...chosen, ...wanted),
		...option(OPTION6.elapsedTime, ...bigEndian(Math.min(Math.floor(elapsedMs / 10), 0xffff), 2)),
		...(type === MESSAGE6.solicit ? option(OPTION6.rapidCommit) : []),
		...(isQuestion ? option(OPTION6.optionRequest, ...requested) : []),
	);
}

const option = (code: number, ...value: readonly number[]): number[] => [
	...bigEndian(code, 2),
	...bigEndian(value.length, 2),
	...value,
];

function bigEndian(value: number, length: number): number[] {
	return Array.from({ length }, (_, index) => Math.floor(value / 256 ** (length - 1 - index)) % 256);
}

export type Reply6 = Readonly<NonNullable<ReturnType<typeof decodeReply6>>>;

/**
 * A server's message for the association of `mac`; undefined for what is none: no identifiers, an option that is
 * truncated.
 */
export function decodeReply6(bytes: Uint8Array, mac: Uint8Array) {
	const type = bytes[0];
	if (bytes.length < HEADER || (type !== MESSAGE6.advertise && type !== MESSAGE6.reply)) return undefined;
	const options = readOptions6(bytes, HEADER);
	const [serverId] = valuesOf(options, OPTION6.serverId);
	const [clientId] = valuesOf(options, OPTION6.clientId);
	if (options === undefined || !serverId?.length || clientId === undefined) return undefined;
	const iaid = u32At(mac, 2);
	const ia = valuesOf(options, OPTION6.iaNa).find((value) => value.length >= 12 && u32At(value) === iaid);
	const inner = ia && readOptions6(ia, 12);
	if (ia !== undefined && inner === undefined) return undefined;
	const dns = options.filter(({ code }) => code === OPTION6.dnsServers || code === OPTION6.domainSearch);
	return {
		type,
		xid: u32At(bytes) & 0xffffff,
		serverId,
		clientId,
		isRapid: valuesOf(options, OPTION6.rapidCommit).length > 0,
		/** Undefined: the server gives none, for which `refusal` may have its words. */
		association: ia && associationOf(ia, valuesOf(inner, OPTION6.iaAddress)),
		/** Why not: the code, and the server's words. */
		refusal: refusalIn(options) ?? refusalIn(inner),
		/** The options of DNS, as they came. */
		dns: Uint8Array.from(dns.flatMap(({ code, value }) => option(code, ...value))),
	};
}

/** What the `dns` of a reply says. */
export function dnsOf(dns: Uint8Array): CniDns {
	const options = readOptions6(dns, 0);
	const nameservers = valuesOf(options, OPTION6.dnsServers).flatMap((value) => addressesIn(value, 16));
	return dnsSettings(nameservers, valuesOf(options, OPTION6.domainSearch).flatMap(domainList));
}

type Options6 = readonly { readonly code: number; readonly value: Uint8Array }[];

/** Undefined where an option is longer than what is left. */
function readOptions6(bytes: Uint8Array, from: number): Options6 | undefined {
	const options: { code: number; value: Uint8Array }[] = [];
	for (let at = from; at < bytes.length; ) {
		if (at + 4 > bytes.length) return undefined;
		const end = at + 4 + u16At(bytes, at + 2);
		if (end > bytes.length) return undefined;
		options.push({ code: u16At(bytes, at), value: bytes.slice(at + 4, end) });
		at = end;
	}
	return options;
}

function valuesOf(options: Options6 = [], code: number): Uint8Array[] {
	return options.filter((each) => each.code === code).map(({ value }) => value);
}

/** RFC 8415, section 14.2: of the shortest preferred lifetime, where the server leaves T1 and T2 to the client. */
const T1_SHARE = 0.5;
const T2_SHARE = 0.8;

/**
 * What a server says of the one address: the first that is of use, else the first. Lifetimes that make no sense make
 * an address of no use.
 */
function associationOf(ia: Uint8Array, addresses: readonly Uint8Array[]) {
	const known = addresses.filter((value) => value.length >= 24 && u32At(value, 16) <= u32At(value, 20));
	const value = known.find((each) => u32At(each, 20) !== 0) ?? known[0];
	if (value === undefined) return undefined;
	const [preferred, valid] = [u32At(value, 16), u32At(value, 20)];
	let [t1, t2] = [u32At(ia, 4), u32At(ia, 8)];
	if (t1 > t2 && t2 !== 0) [t1, t2] = [0, 0];
	const ofPreferred = (share: number): number => milliseconds(preferred === 0 ? valid : preferred) * share;
	return {
		address: addressAt(value, 0, 16),
		/** Infinity: for ever. 0: it is not the client's any more. */
		validMs: milliseconds(valid),
		renewMs: t1 === 0 ? ofPreferred(T1_SHARE) : milliseconds(t1),
		rebindMs: t2 === 0 ? ofPreferred(T2_SHARE) : milliseconds(t2),
	};
}

const milliseconds = (seconds: number): number => (seconds === FOR_EVER ? Infinity : seconds * 1000);

/** RFC 8415, section 21.13. The text is anybody's: the names of the codes are ours. */
const STATUS = ["", "UnspecFail", "NoAddrsAvail", "NoBinding", "NotOnLink", "UseMulticast"];

function refusalIn(options: Options6 | undefined): string | undefined {
	const [value] = valuesOf(options, OPTION6.statusCode);
	const code = value !== undefined && value.length >= 2 ? u16At(value) : 0;
	return code === 0 ? undefined : (STATUS[code] ?? `status ${code}`);
}
