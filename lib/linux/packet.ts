/**
 * Packet sockets of one interface: whole IPv4 packets and ARP, below the kernel's own addresses and routes.
 *
 * Wire format: linux/if_packet.h, linux/filter.h; RFC 826. The link layer's header is the kernel's (SOCK_DGRAM).
 */
import { type Ip, ipToBytes } from "../ip/address.ts";
import type { Mac } from "../ip/mac.ts";
import type { LinkIndex } from "../netlink/link.ts";
import * as sys from "../sys/sys.ts";

export const ETHER_BYTES = 6;
export const ETH_P_IP = 0x0800;
export const ETH_P_ARP = 0x0806;
const ARPHRD_ETHER = 1;
const ARPOP_REQUEST = 1;
export const BROADCAST_MAC = (): Mac => new Uint8Array(ETHER_BYTES).fill(0xff);

/** `struct sockaddr_ll`: family, protocol (network order), interface, type, packet type, length, address. */
export function packetAddress(index: LinkIndex, protocol: number, mac: Mac = new Uint8Array(0)): Uint8Array {
	const bytes = new Uint8Array(20);
	new Uint16Array(bytes.buffer)[0] = sys.AF_PACKET;
	new DataView(bytes.buffer).setUint16(2, protocol);
	new Int32Array(bytes.buffer)[1] = index;
	bytes[11] = mac.length;
	bytes.set(mac, 12);
	return bytes;
}

/** The sender's MAC in a `struct sockaddr_ll` that a packet came with. */
export function senderOf(address: Uint8Array): Mac {
	return address.slice(12, 12 + Math.min(address[11] ?? 0, 8));
}

/**
 * A socket that gets what the interface receives of one protocol, from now on; `filter`: instructions of classic BPF,
 * `[code, jt, jf, k]`, of which the first byte of a packet is that of its network header.
 */
export function openPacketSocket(index: LinkIndex, protocol: number, filter?: readonly Instruction[]): number {
	// Protocol 0: nothing comes in before the filter is there.
	const fd = sys.socket(sys.AF_PACKET, sys.SOCK_DGRAM, 0);
	return sys.prepared(fd, () => {
		if (filter !== undefined) sys.attachFilter(fd, program(filter));
		sys.bind(fd, packetAddress(index, protocol));
	});
}

/** An instruction of classic BPF, linux/filter.h. */
export type Instruction = readonly [code: number, jt: number, jf: number, k: number];

/** `struct sock_filter`s: code (16 bits), two jumps, an operand (32 bits). */
function program(filter: readonly Instruction[]): Uint8Array {
	const bytes = new Uint8Array(filter.length * 8);
	filter.forEach(([code, jt, jf, k], index) => {
		new Uint16Array(bytes.buffer, index * 8, 1)[0] = code;
		bytes[index * 8 + 2] = jt;
		bytes[index * 8 + 3] = jf;
		new Uint32Array(bytes.buffer, index * 8 + 4, 1)[0] = k;
	});
	return bytes;
}

/**
 * Asks everyone on the link who has `target`. A `sender` of 0.0.0.0 asks without claiming anything (a probe, RFC 5227,
 * section 2.1.1).
 */
export function sendArpRequest(
	fd: number,
	link: { readonly index: LinkIndex; readonly mac: Mac },
	sender: Ip,
	target: Ip,
): void {
	const packet = new Uint8Array(28);
	const view = new DataView(packet.buffer);
	const isProbe = sender.value !== target.value;
	view.setUint16(0, ARPHRD_ETHER);
	view.setUint16(2, ETH_P_IP);
	packet[4] = ETHER_BYTES;
	packet[5] = 4;
	view.setUint16(6, ARPOP_REQUEST);
	packet.set(link.mac, 8);
	packet.set(ipToBytes(sender), 14);
	if (!isProbe) packet.set(BROADCAST_MAC(), 18);
	packet.set(ipToBytes(target), 24);
	sys.sendTo(fd, packet, 0, packetAddress(link.index, ETH_P_ARP, BROADCAST_MAC()));
}

/** The sender's MAC in an ARP packet for IPv4 over Ethernet; undefined for anything else. */
export function arpSender(packet: Uint8Array): Mac | undefined {
	if (packet.length < 28) return undefined;
	const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
	const isIpv4 = view.getUint16(0) === ARPHRD_ETHER && view.getUint16(2) === ETH_P_IP && packet[4] === ETHER_BYTES;
	return isIpv4 && packet[5] === 4 ? packet.slice(8, 14) : undefined;
}
