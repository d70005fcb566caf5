/**
 * Neighbour discovery by hand: who has an IPv6 address on the link of an interface? Wire format: RFC 4861, sections 4.3
 * and 4.4.
 */
import { type Ip, ipToBytes } from "../ip/address.ts";
import type { Mac } from "../ip/mac.ts";
import type { LinkIndex } from "../netlink/link.ts";
import * as sys from "../sys/sys.ts";

const IPPROTO_IPV6 = 41;
const IPPROTO_ICMPV6 = 58;
const IPV6_MULTICAST_HOPS = 18;

const ND_NEIGHBOR_SOLICIT = 135;
export const ND_NEIGHBOR_ADVERT = 136;
const ND_OPT_SOURCE_LINKADDR = 1;
export const ND_OPT_TARGET_LINKADDR = 2;
const MESSAGE_BYTES = 24;

/**
 * A socket for ICMPv6 of the interface `name` in the current network namespace. Source address and checksum are the
 * kernel's.
 */
export function openNeighborSocket(name: string): number {
	const fd = sys.socket(sys.AF_INET6, sys.SOCK_RAW, IPPROTO_ICMPV6);
	return sys.prepared(fd, () => {
		sys.setSocketOption(fd, sys.SOL_SOCKET, sys.SO_BINDTODEVICE, sys.encodeUtf8(name));
		// Receivers drop neighbour discovery that has been through a router: the hop limit must have stayed at 255.
		sys.setSocketOption(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 255);
	});
}

/** Asks whoever has `target` to say so, to the interface's own address. */
export function sendNeighborSolicitation(
	fd: number,
	link: { readonly index: LinkIndex; readonly mac: Mac },
	target: Ip,
): void {
	const address = ipToBytes(target);
	const packet = new Uint8Array(MESSAGE_BYTES + 8);
	packet[0] = ND_NEIGHBOR_SOLICIT;
	packet.set(address, 8);
	packet[24] = ND_OPT_SOURCE_LINKADDR;
	packet[25] = 1;
	packet.set(link.mac, 26);
	// The solicited-node address ff02::1:ffXX:XXXX.
	const group = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, ...address.subarray(13));
	sys.sendTo(fd, packet, 0, linkAddress(group, link.index));
}

/** The address that somebody says is his, and his MAC (all zero: he does not say); undefined for any other message. */
export function readNeighborAdvertisement(
	packet: Uint8Array,
): { readonly target: Uint8Array; readonly mac: Mac } | undefined {
	if (packet.length < MESSAGE_BYTES || packet[0] !== ND_NEIGHBOR_ADVERT) return undefined;
	const saysMac = packet.length >= MESSAGE_BYTES + 8 && packet[MESSAGE_BYTES] === ND_OPT_TARGET_LINKADDR;
	const mac = saysMac ? packet.slice(MESSAGE_BYTES + 2, MESSAGE_BYTES + 8) : new Uint8Array(6);
	return { target: packet.slice(8, MESSAGE_BYTES), mac };
}

/**
 * `struct sockaddr_in6` of an address on the link `index` (0: any): family, port in network order, flow, address,
 * scope.
 */
export function linkAddress(address: Uint8Array, index: LinkIndex | 0, port = 0): Uint8Array {
	const bytes = new Uint8Array(28);
	new Uint16Array(bytes.buffer)[0] = sys.AF_INET6;
	new DataView(bytes.buffer).setUint16(2, port);
	bytes.set(address, 8);
	new Uint32Array(bytes.buffer)[6] = index;
	return bytes;
}
