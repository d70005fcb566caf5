/**
 * DHCP messages: written, and read with distrust. Wire format: RFC 2131, section 2; options: RFC 2132 and 3396.
 */
import { addressAt, addressBytes, u16At, u32At } from "./bytes.ts";

export const MESSAGE = { discover: 1, offer: 2, request: 3, decline: 4, ack: 5, nak: 6, release: 7 } as const;

export const OPTION = {
	subnetMask: 1,
	routers: 3,
	dnsServers: 6,
	hostName: 12,
	domainName: 15,
	mtu: 26,
	staticRoutes: 33,
	requestedAddress: 50,
	leaseTime: 51,
	overload: 52,
	messageType: 53,
	serverId: 54,
	parameterList: 55,
	maxSize: 57,
	renewalTime: 58,
	rebindingTime: 59,
	clientId: 61,
	domainSearch: 119,
	classlessRoutes: 121,
	classlessRoutesMicrosoft: 249,
} as const;

/** By number; several of one number are one (RFC 3396). */
export type Options = ReadonlyMap<number, Uint8Array>;

export interface ClientMessage {
	readonly type: number;
	readonly xid: number;
	/** Seconds since the client began. */
	readonly secs: number;
	readonly broadcast: boolean;
	/** The client's address where it has one. */
	readonly ciaddr?: string | undefined;
	/** 6 bytes. */
	readonly mac: Uint8Array;
	readonly options: Options;
}

const BOOTREQUEST = 1;
const ETHERNET = 1;
const BROADCAST_FLAG = 0x8000;
const COOKIE = 0x63825363;
const OPTIONS_AT = 240;
/** What BOOTP relays have always been able to take, RFC 1542, section 2.1. */
const LEAST_BYTES = 300;

/** Options longer than 255 bytes are cut into several (RFC 3396). */
export function encodeMessage(message: ClientMessage): Uint8Array {
	const options: number[] = [OPTION.messageType, 1, message.type];
	for (const [code, value] of message.options) {
		let at = 0;
		do {
			const part = value.subarray(at, at + 255);
			options.push(code, part.length, ...part);
			at += 255;
		} while (at < value.length);
	}
	options.push(END);
	const bytes = new Uint8Array(Math.max(LEAST_BYTES, OPTIONS_AT + options.length));
	const view = new DataView(bytes.buffer);
	bytes[0] = BOOTREQUEST;
	bytes[1] = ETHERNET;
	bytes[2] = message.mac.length;
	view.setUint32(4, message.xid);
	view.setUint16(8, Math.min(0xffff, message.secs));
	if (message.broadcast) view.setUint16(10, BROADCAST_FLAG);
	if (message.ciaddr !== undefined) bytes.set(addressBytes(message.ciaddr), 12);
	bytes.set(message.mac, 28);
	view.setUint32(236, COOKIE);
	bytes.set(options, OPTIONS_AT);
	return bytes;
}

export interface Reply {
	readonly type: number;
	readonly xid: number;
	/** "0.0.0.0" where the server gives none. */
	readonly yiaddr: string;
	/** The client's MAC. */
	readonly mac: Uint8Array;
	readonly options: Options;
}

const BOOTREPLY = 2;
/** Fields that may hold more options. */
const SNAME = { from: 44, to: 108 };
const FILE = { from: 108, to: 236 };

/**
 * A server's message; undefined for what is none: too short, no reply, no cookie, no type, an option that is truncated.
 */
export function decodeReply(bytes: Uint8Array): Reply | undefined {
	if (bytes.length < OPTIONS_AT || bytes[0] !== BOOTREPLY || u32At(bytes, 236) !== COOKIE) return undefined;
	if (bytes[1] !== ETHERNET || bytes[2] !== 6) return undefined;
	const options = new Map<number, Uint8Array>();
	if (!readOptions(bytes, OPTIONS_AT, bytes.length, options)) return undefined;
	// 1: file, 2: server name, 3: both.
	const overload = options.get(OPTION.overload)?.[0] ?? 0;
	if ((overload & 1) !== 0 && !readOptions(bytes, FILE.from, FILE.to, options)) return undefined;
	if ((overload & 2) !== 0 && !readOptions(bytes, SNAME.from, SNAME.to, options)) return undefined;
	const type = options.get(OPTION.messageType);
	if (type?.length !== 1) return undefined;
	return { type: type[0]!, xid: u32At(bytes, 4), yiaddr: addressAt(bytes, 16), mac: bytes.slice(28, 34), options };
}

const PAD = 0;
const END = 255;

/** False where an option is longer than what is left. The end of the bytes ends the options, too. */
function readOptions(bytes: Uint8Array, from: number, to: number, into: Map<number, Uint8Array>): boolean {
	for (let at = from; at < to && bytes[at] !== END; ) {
		const code = bytes[at++]!;
		if (code === PAD) continue;
		if (at >= to) return false;
		const length = bytes[at++]!;
		if (at + length > to) return false;
		const value = bytes.slice(at, at + length);
		const before = into.get(code);
		into.set(code, before === undefined ? value : Uint8Array.from([...before, ...value]));
		at += length;
	}
	return true;
}

/** Options as they go into a record, and back. */
export function packOptions(options: Options): Uint8Array {
	const bytes: number[] = [];
	for (const [code, value] of options) bytes.push(code, value.length >> 8, value.length & 0xff, ...value);
	return Uint8Array.from(bytes);
}

export function unpackOptions(bytes: Uint8Array): Options {
	const options = new Map<number, Uint8Array>();
	for (let at = 0; at + 3 <= bytes.length; ) {
		const length = u16At(bytes, at + 1);
		options.set(bytes[at]!, bytes.slice(at + 3, at + 3 + length));
		at += 3 + length;
	}
	return options;
}
