/**
 * UDP over IPv4, for a client that has no address yet. Wire format: RFC 791, RFC 768.
 */
import { addressBytes, u16At } from "./bytes.ts";

export const CLIENT_PORT = 68;
export const SERVER_PORT = 67;
const IP_HEADER = 20;
const UDP_HEADER = 8;
const IPPROTO_UDP = 17;

/** From client to server. */
export function udpPacket(source: string, destination: string, payload: Uint8Array): Uint8Array {
	const length = IP_HEADER + UDP_HEADER + payload.length;
	const packet = new Uint8Array(length);
	const view = new DataView(packet.buffer);
	packet.set(payload, IP_HEADER + UDP_HEADER);
	packet.set(addressBytes(source), 12);
	packet.set(addressBytes(destination), 16);
	view.setUint16(20, CLIENT_PORT);
	view.setUint16(22, SERVER_PORT);
	view.setUint16(24, UDP_HEADER + payload.length);
	// The pseudo header of the checksum: addresses, protocol, length of the UDP part.
	const pseudo = sum(packet, 12, 20) + IPPROTO_UDP + UDP_HEADER + payload.length;
	view.setUint16(26, checksum(pseudo + sum(packet, IP_HEADER, length)) || 0xffff);
	packet[0] = 0x45;
	// Low delay, as the clients of RFC 2131 have always sent.
	packet[1] = 0x10;
	view.setUint16(2, length);
	packet[8] = 64;
	packet[9] = IPPROTO_UDP;
	view.setUint16(10, checksum(sum(packet, 0, IP_HEADER)));
	return packet;
}

/**
 * The payload of a packet from a server to a client; undefined where it is none, or is truncated. The UDP checksum is
 * not looked at: between interfaces of one machine it is not filled in, and nothing here tells that from a wrong one.
 */
export function udpPayload(packet: Uint8Array): Uint8Array | undefined {
	const header = (packet[0]! & 0x0f) * 4;
	if (packet.length < IP_HEADER || packet[0]! >> 4 !== 4 || header < IP_HEADER) return undefined;
	const total = u16At(packet, 2);
	if (total < header + UDP_HEADER || total > packet.length || packet[9] !== IPPROTO_UDP) return undefined;
	if ((u16At(packet, 6) & 0x3fff) !== 0 || checksum(sum(packet, 0, header)) !== 0) return undefined;
	const length = u16At(packet, header + 4);
	if (u16At(packet, header + 2) !== CLIENT_PORT || length < UDP_HEADER || header + length > total) return undefined;
	return packet.subarray(header + UDP_HEADER, header + length);
}

function sum(bytes: Uint8Array, from: number, to: number): number {
	let total = 0;
	for (let at = from; at < to; at += 2) total += (bytes[at]! << 8) | (at + 1 < to ? bytes[at + 1]! : 0);
	return total;
}

function checksum(total: number): number {
	let folded = total;
	while (folded > 0xffff) folded = (folded & 0xffff) + (folded >>> 16);
	return ~folded & 0xffff;
}
