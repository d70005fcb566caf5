/**
 * IP addresses as numbers, with Go's reading and writing of their text (net.ParseIP and net.IP.String of Go 1.26).
 *
 * The stores, results and error sentences of the Go plugins hold such text: what Go refuses is refused here, and what
 * it prints is printed the same.
 */

import * as sys from "../sys/sys.ts";

export type Family = 4 | 6;

/** `value` is below 2^32 (family 4) or 2^128 (family 6): the address as one number, first byte highest. */
export type Ip = { readonly family: Family; readonly value: bigint };

const MAX_VALUE = { 4: 0xffffffffn, 6: (1n << 128n) - 1n } as const;

/** Number of bits of an address: 32 or 128. */
export function addressBits(family: Family): number {
	return family === 4 ? 32 : 128;
}

/**
 * The address that `text` is, or undefined. No leading zeros in IPv4 ("010.1.1.1"), no zones ("fe80::1%eth0"); an
 * IPv4-mapped IPv6 address ("::ffff:10.0.0.1") is the IPv4 address, as everywhere in Go's `net`.
 */
export function parseIp(text: string): Ip | undefined {
	const parsed = parseIpUnmapped(text);
	if (parsed === undefined || parsed.family === 4 || parsed.value >> 32n !== 0xffffn) return parsed;
	return { family: 4, value: parsed.value & 0xffffffffn };
}

/** As `parseIp`, but an IPv4-mapped IPv6 address stays one: `parseCidr` counts its prefix over 128 bits. */
export function parseIpUnmapped(text: string): Ip | undefined {
	if (text.includes(":")) return parseIpv6(text);
	const value = parseIpv4(text);
	return value < 0 ? undefined : { family: 4, value: BigInt(value) };
}

/** The address as a number, or -1: four decimal fields of up to 255, as a number is written. */
function parseIpv4(text: string): number {
	const fields = text.split(".");
	if (fields.length !== 4) return -1;
	let address = 0;
	for (const field of fields) {
		const byte = Number(field);
		if (!(byte >= 0 && byte <= 255) || String(byte) !== field) return -1;
		address = address * 256 + byte;
	}
	return address;
}

function parseIpv6(text: string): Ip | undefined {
	// An IPv4 address at the end stands for two groups.
	const end = text.lastIndexOf(":") + 1;
	const tail = parseIpv4(text.slice(end));
	const plain = tail < 0 ? text : `${text.slice(0, end)}${(tail >>> 16).toString(16)}:${(tail & 0xffff).toString(16)}`;
	const [head = "", rest, ...more] = plain.split("::");
	const groups = (part: string): string[] => (part === "" ? [] : part.split(":"));
	const [before, after] = [groups(head), groups(rest ?? "")];
	const missing = 8 - before.length - after.length;
	// "::" stands for at least one group.
	if (more.length > 0 || (rest === undefined ? missing !== 0 : missing < 1)) return undefined;
	let value = 0n;
	for (const group of [...before, ...new Array<string>(missing).fill("0"), ...after]) {
		if (!/^[0-9a-f]{1,4}$/i.test(group)) return undefined;
		value = (value << 16n) | BigInt(Number.parseInt(group, 16));
	}
	return { family: 6, value };
}

/**
 * The canonical text of the address that `text` is; undefined where it is none. Quick where it is canonical already.
 */
export function canonicalIp(text: string): string | undefined {
	if (sys.isCanonicalIp(text)) return text;
	const ip = parseIp(text);
	return ip && formatIp(ip);
}

/** The family of an address or a CIDR in canonical text. */
export function familyOf(canonical: string): Family {
	return canonical.includes(":") ? 6 : 4;
}

/**
 * Canonical text: dotted decimal, or RFC 5952 as Go prints it. An address that is IPv4-mapped by its bytes keeps 128
 * bits: "::ffff:10.0.0.1".
 */
export function formatIp(ip: Ip): string {
	if (ip.family === 4) return formatIpv4(Number(ip.value));
	if (ip.value >> 32n === 0xffffn) return `::ffff:${formatIpv4(Number(ip.value & 0xffffffffn))}`;
	const groups: string[] = [];
	for (let shift = 112n; shift >= 0n; shift -= 16n) groups.push(((ip.value >> shift) & 0xffffn).toString(16));
	const text = groups.join(":");
	// "::" for the first of the longest runs of at least two groups that are 0.
	let [start, end] = [0, 0];
	for (const run of text.matchAll(/\b0(?::0)+\b/g)) {
		if (run[0].length > end - start) [start, end] = [run.index, run.index + run[0].length];
	}
	return end === 0 ? text : `${text.slice(0, start).replace(/:$/, "")}::${text.slice(end).replace(/^:/, "")}`;
}

function formatIpv4(value: number): string {
	return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
}

/**
 * 4 or 16 bytes in network order. The family is that of the length: bytes are never collapsed to IPv4. Throws
 * RangeError for another length.
 */
export function ipFromBytes(bytes: Uint8Array): Ip {
	if (bytes.length !== 4 && bytes.length !== 16) throw new RangeError(`an address of ${bytes.length} bytes`);
	let value = 0n;
	for (const byte of bytes) value = (value << 8n) | BigInt(byte);
	return { family: bytes.length === 4 ? 4 : 6, value };
}

/** Network order; 4 bytes for family 4, 16 for family 6. */
export function ipToBytes(ip: Ip): Uint8Array {
	const bytes = new Uint8Array(addressBits(ip.family) / 8);
	let rest = ip.value;
	for (let i = bytes.length - 1; i >= 0; i--) {
		bytes[i] = Number(rest & 255n);
		rest >>= 8n;
	}
	return bytes;
}

/** The address after `ip`; undefined after the last of the family. */
export function nextIp(ip: Ip): Ip | undefined {
	return ip.value === MAX_VALUE[ip.family] ? undefined : { family: ip.family, value: ip.value + 1n };
}

/** The address before `ip`; undefined before the first of the family. */
export function previousIp(ip: Ip): Ip | undefined {
	return ip.value === 0n ? undefined : { family: ip.family, value: ip.value - 1n };
}

export function sameIp(a: Ip, b: Ip): boolean {
	return a.family === b.family && a.value === b.value;
}
