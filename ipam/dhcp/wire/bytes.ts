/**
 * Bytes as text, and IPv4 addresses in them.
 */
import { formatIp, ipFromBytes, ipToBytes, parseIp } from "../../../lib/ip/address.ts";

const HEX = "0123456789abcdef";

export function toHex(bytes: Uint8Array): string {
	let text = "";
	for (const byte of bytes) text += HEX[byte >> 4]! + HEX[byte & 15]!;
	return text;
}

/** Undefined for what is no row of pairs of hex digits. */
export function fromHex(text: string): Uint8Array | undefined {
	if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return undefined;
	const bytes = new Uint8Array(text.length / 2);
	for (let at = 0; at < bytes.length; at++) bytes[at] = Number.parseInt(text.slice(2 * at, 2 * at + 2), 16);
	return bytes;
}

/** The address of `size` bytes at `at`: "10.1.2.3". */
export const addressAt = (bytes: Uint8Array, at: number, size: 4 | 16 = 4): string =>
	formatIp(ipFromBytes(bytes.subarray(at, at + size)));

/** The addresses of `size` bytes that stand in `bytes`; what is left over is not looked at. */
export const addressesIn = (bytes: Uint8Array, size: 4 | 16): string[] =>
	Array.from({ length: Math.floor(bytes.length / size) }, (_, index) => addressAt(bytes, index * size, size));

/** The 4 bytes of an IPv4 address that was read before. */
export function addressBytes(text: string): Uint8Array {
	const ip = parseIp(text);
	if (ip?.family !== 4) throw new TypeError(`"${text}" is not an IPv4 address`);
	return ipToBytes(ip);
}

export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean =>
	a.length === b.length && a.every((byte, index) => byte === b[index]);

export const u32At = (bytes: Uint8Array, at = 0): number =>
	((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;

export const u16At = (bytes: Uint8Array, at = 0): number => (bytes[at]! << 8) | bytes[at + 1]!;
