/**
 * Addresses of sockets as the kernel takes them: ip(7), ipv6(7).
 */
import * as sys from "../sys/sys.ts";
import { type Ip, ipToBytes } from "./address.ts";

/**
 * `struct sockaddr_in` or `struct sockaddr_in6`: family, port in network order, (flow,) address, (scope or) padding.
 */
export function socketAddress(ip: Ip, port: number): Uint8Array {
	const bytes = new Uint8Array(ip.family === 4 ? 16 : 28);
	new Uint16Array(bytes.buffer)[0] = familyNumber(ip);
	new DataView(bytes.buffer).setUint16(2, port);
	bytes.set(ipToBytes(ip), ip.family === 4 ? 4 : 8);
	return bytes;
}

export const familyNumber = (ip: Ip): number => (ip.family === 4 ? sys.AF_INET : sys.AF_INET6);
