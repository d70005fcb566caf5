/**
 * CIDRs: an address with the length of its network prefix, read and written as Go does (net.ParseCIDR of Go 1.26).
 */
import * as sys from "../sys/sys.ts";
import { addressBits, formatIp, type Ip, parseIpUnmapped } from "./address.ts";

/** Host bits are kept: "10.1.2.3/24" is an address in its network. `networkOf` clears them. */
export type Cidr = { readonly ip: Ip; readonly prefix: number };

/**
 * The CIDR that `text` is, or undefined. The prefix is decimal digits, leading zeros allowed, within the family's bits.
 * "::ffff:10.0.0.1/120" is "10.0.0.1/24", as Go prints it; of a prefix below 96 nothing is left there: "/0".
 */
export function parseCidr(text: string): Cidr | undefined {
	const slash = text.indexOf("/");
	if (slash < 0) return undefined;
	const ip = parseIpUnmapped(text.slice(0, slash));
	if (ip === undefined) return undefined;
	const digits = text.slice(slash + 1);
	const prefix = Number(digits);
	if (!/^[0-9]+$/.test(digits) || prefix > addressBits(ip.family)) return undefined;
	if (ip.family === 6 && ip.value >> 32n === 0xffffn) {
		return { ip: { family: 4, value: ip.value & 0xffffffffn }, prefix: Math.max(0, prefix - 96) };
	}
	return { ip, prefix };
}

/**
 * The canonical text of the CIDR that `text` is, host bits kept; undefined where it is none. Quick where it is
 * canonical already.
 */
export function canonicalCidr(text: string): string | undefined {
	if (sys.isCanonicalCidr(text)) return text;
	const cidr = parseCidr(text);
	return cidr && formatCidr(cidr);
}

/** Whether `cidr` and `ip` are of one family and canonical, as most are; false where a closer look has to tell. */
export function areCanonical(cidr: string, ip: string): boolean {
	return sys.areCanonical(cidr, ip);
}

export function formatCidr(cidr: Cidr): string {
	return `${formatIp(cidr.ip)}/${cidr.prefix}`;
}

/** The number of host bits of `cidr`. */
function hostBits(cidr: Cidr): bigint {
	return BigInt(addressBits(cidr.ip.family) - cidr.prefix);
}

/** The same network with all host bits 0. */
export function networkOf(cidr: Cidr): Cidr {
	const host = hostBits(cidr);
	return { ip: { family: cidr.ip.family, value: (cidr.ip.value >> host) << host }, prefix: cidr.prefix };
}

/** The address with all host bits 1: the broadcast address of an IPv4 network. */
export function lastAddressOf(cidr: Cidr): Ip {
	return { family: cidr.ip.family, value: cidr.ip.value | ((1n << hostBits(cidr)) - 1n) };
}

/** Whether `ip` lies in the network of `cidr`. */
export function contains(cidr: Cidr, ip: Ip): boolean {
	const host = hostBits(cidr);
	return cidr.ip.family === ip.family && cidr.ip.value >> host === ip.value >> host;
}
