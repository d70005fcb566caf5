/**
 * DHCPv6 messages and what is in them: written, and read with distrust. Wire format: RFC 8415, sections 8 and 21; DNS:
 * RFC 3646.
 */
import type { CniDns } from "../../../lib/cni/types.ts";
import { formatIp, ipFromBytes, ipToBytes, parseIp } from "../../../lib/ip/address.ts";
import { u16At, u32At } from "./bytes.ts";
import { domainList } from "./options.ts";

export const CLIENT_PORT = 546;
export const SERVER_PORT = 547;

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

const DUID_LL = 3;
const ETHERNET = 1;
const HEADER = 4;
const ADDRESS_BYTES = 16;
const FOR_EVER = 0xffffffff;
/** RFC 8415, section 14.2: of the shortest preferred lifetime, where the server leaves T1 and T2 to the client. */
const T1_SHARE = 0.5;
const T2_SHARE = 0.8;

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

/** DUID-LL, RFC 8415, section 11.4. */
export const clientDuid = (mac: Uint8Array): Uint8Array => Uint8Array.of(0, DUID_LL, 0, ETHERNET, ...mac);

/** A SOLICIT asks for a rapid commit; a RELEASE and a DECLINE ask for nothing. */
export function encodeMessage6(message: ClientMessage6): Uint8Array {
	const { type, xid, mac, serverId, address, elapsedMs } = message;
	const bytes: number[] = [type, ...bigEndian(xid, 3)];
	const option = (code: number, ...value: readonly number[]): void => {
		bytes.push(...bigEndian(code, 2), ...bigEndian(value.length, 2), ...value);
	};
	option(OPTION6.clientId, ...clientDuid(mac));
	if (serverId !== undefined) option(OPTION6.serverId, ...serverId);
	// Identity of the association, T1 and T2 (the server's to choose), and the address with two lifetimes (so, too).
	const inner = address === undefined ? [] : [...ipToBytes(parseIp(address)!), ...bigEndian(0, 8)];
	const nested = address === undefined ? [] : [...bigEndian(OPTION6.iaAddress, 2), ...bigEndian(inner.length, 2)];
	option(OPTION6.iaNa, ...mac.slice(2), ...bigEndian(0, 8), ...nested, ...inner);
	option(OPTION6.elapsedTime, ...bigEndian(Math.min(Math.floor(elapsedMs / 10), 0xffff), 2));
	if (type === MESSAGE6.solicit) option(OPTION6.rapidCommit);
	if (type !== MESSAGE6.release && type !== MESSAGE6.decline) {
		option(OPTION6.optionRequest, ...bigEndian(OPTION6.dnsServers, 2), ...bigEndian(OPTION6.domainSearch, 2));
	}
	return Uint8Array.from(bytes);
}

function bigEndian(value: number, length: number): number[] {
	return Array.from({ length }, (_, index) => Math.floor(value / 256 ** (length - 1 - index)) % 256);
}

/** What a server says of the one address. */
interface Association {
	readonly address: string;
	/** Infinity: for ever. 0: it is not the client's any more. */
	readonly validMs: number;
	readonly renewMs: number;
	readonly rebindMs: number;
}

export interface Reply6 {
	readonly type: number;
	readonly xid: number;
	readonly serverId: Uint8Array;
	readonly clientId: Uint8Array;
	readonly isRapid: boolean;
	/** Undefined: the server gives none, for which `refusal` may have its words. */
	readonly association: Association | undefined;
	/** Why not: the code, and the server's words. */
	readonly refusal: string | undefined;
	/** The options of DNS, as they came. */
	readonly dns: Uint8Array;
}

/**
 * A server's message for the association of `mac`; undefined for what is none: no identifiers, an option that is
 * truncated.
 */
export function decodeReply6(bytes: Uint8Array, mac: Uint8Array): Reply6 | undefined {
	const type = bytes[0];
	if (bytes.length < HEADER || (type !== MESSAGE6.advertise && type !== MESSAGE6.reply)) return undefined;
	const options = readOptions6(bytes, HEADER);
	const [serverId] = options?.get(OPTION6.serverId) ?? [];
	const [clientId] = options?.get(OPTION6.clientId) ?? [];
	if (options === undefined || !serverId?.length || clientId === undefined) return undefined;
	const iaid = u32At(mac, 2);
	const ia = options.get(OPTION6.iaNa)?.find((value) => value.length >= 12 && u32At(value) === iaid);
	const inner = ia && readOptions6(ia, 12);
	if (ia !== undefined && inner === undefined) return undefined;
	return {
		type,
		xid: u32At(bytes) & 0xffffff,
		serverId,
		clientId,
		isRapid: options.has(OPTION6.rapidCommit),
		association: ia && inner && associationOf(ia, inner.get(OPTION6.iaAddress) ?? []),
		refusal: refusalIn(options) ?? (inner && refusalIn(inner)),
		dns: packed(options, OPTION6.dnsServers, OPTION6.domainSearch),
	};
}

function packed(options: Options6, ...codes: readonly number[]): Uint8Array {
	const bytes = codes.flatMap((code) =>
		(options.get(code) ?? []).flatMap((value) => [...bigEndian(code, 2), ...bigEndian(value.length, 2), ...value]),
	);
	return Uint8Array.from(bytes);
}

/** What the `dns` of a reply says. */
export function dnsOf(dns: Uint8Array): CniDns {
	const options = readOptions6(dns, 0);
	const nameservers = (options?.get(OPTION6.dnsServers) ?? []).flatMap(addresses6);
	const search = (options?.get(OPTION6.domainSearch) ?? []).flatMap(domainList);
	return { ...(nameservers.length > 0 && { nameservers }), ...(search.length > 0 && { search }) };
}

type Options6 = ReadonlyMap<number, readonly Uint8Array[]>;

/** Undefined where an option is longer than what is left. */
function readOptions6(bytes: Uint8Array, from: number): Options6 | undefined {
	const options = new Map<number, Uint8Array[]>();
	for (let at = from; at < bytes.length; ) {
		if (at + 4 > bytes.length) return undefined;
		const code = u16At(bytes, at);
		const end = at + 4 + u16At(bytes, at + 2);
		if (end > bytes.length) return undefined;
		const value = bytes.slice(at + 4, end);
		const before = options.get(code);
		if (before === undefined) options.set(code, [value]);
		else before.push(value);
		at = end;
	}
	return options;
}

/** The first address that is of use, else the first. Lifetimes that make no sense make an address of no use. */
function associationOf(ia: Uint8Array, addresses: readonly Uint8Array[]): Association | undefined {
	const known = addresses.filter((value) => value.length >= 24 && u32At(value, 16) <= u32At(value, 20));
	const value = known.find((each) => u32At(each, 20) !== 0) ?? known[0];
	if (value === undefined) return undefined;
	const [preferred, valid] = [u32At(value, 16), u32At(value, 20)];
	let [t1, t2] = [u32At(ia, 4), u32At(ia, 8)];
	if (t1 > t2 && t2 !== 0) [t1, t2] = [0, 0];
	const ofPreferred = (share: number): number => milliseconds(preferred === 0 ? valid : preferred) * share;
	return {
		address: addressAt6(value, 0),
		validMs: milliseconds(valid),
		renewMs: t1 === 0 ? ofPreferred(T1_SHARE) : milliseconds(t1),
		rebindMs: t2 === 0 ? ofPreferred(T2_SHARE) : milliseconds(t2),
	};
}

const milliseconds = (seconds: number): number => (seconds === FOR_EVER ? Infinity : seconds * 1000);

function addressAt6(bytes: Uint8Array, at: number): string {
	return formatIp(ipFromBytes(bytes.subarray(at, at + ADDRESS_BYTES)));
}

function addresses6(value: Uint8Array): string[] {
	const count = Math.floor(value.length / ADDRESS_BYTES);
	return Array.from({ length: count }, (_, index) => addressAt6(value, index * ADDRESS_BYTES));
}

/** RFC 8415, section 21.13. The text is anybody's: the names of the codes are ours. */
const STATUS = ["", "UnspecFail", "NoAddrsAvail", "NoBinding", "NotOnLink", "UseMulticast"];

function refusalIn(options: Options6): string | undefined {
	const [value] = options.get(OPTION6.statusCode) ?? [];
	const code = value !== undefined && value.length >= 2 ? u16At(value) : 0;
	return code === 0 ? undefined : (STATUS[code] ?? `status ${code}`);
}
