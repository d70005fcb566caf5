/**
 * The sockets of one exchange with servers, in the namespace of the interface: open while an answer is awaited, since an open socket keeps
 * a namespace alive that nobody else needs.
 */
import { parseIp } from "../../../lib/ip/address.ts";
import { type Mac, parseMac } from "../../../lib/ip/mac.ts";
import {
	arpSender,
	BROADCAST_MAC,
	ETH_P_ARP,
	ETH_P_IP,
	type Instruction,
	openPacketSocket,
	packetAddress,
	sendArpRequest,
	senderOf,
} from "../../../lib/linux/packet.ts";
import type { Link, LinkIndex } from "../../../lib/netlink/link.ts";
import type { Sandbox } from "../../../lib/plugin/sandbox.ts";
import * as sys from "../../../lib/sys/sys.ts";
import { addressBytes, sameBytes, u32At } from "../wire/bytes.ts";
import { type ClientMessage, decodeReply, encodeMessage, type Reply } from "../wire/packet.ts";
import { CLIENT_PORT, SERVER_PORT, udpPacket, udpPayload } from "../wire/udp.ts";

/** The largest packet of an interface, jumbo frames included. */
const MAX_PACKET = 16 * 1024;
/** Packets that are taken at once, so that a flood on one interface does not hold up the others. */
export const AT_ONCE = 32;
const ANY = "0.0.0.0";
const EVERYONE = "255.255.255.255";

/** UDP to port 68, no fragment but the first: instructions of linux/bpf_common.h, `[code, jt, jf, k]`. */
const TO_CLIENTS: readonly Instruction[] = [
	[0x30, 0, 0, 9],
	[0x15, 0, 6, 17],
	[0x28, 0, 0, 6],
	[0x45, 4, 0, 0x1fff],
	[0xb1, 0, 0, 0],
	[0x48, 0, 0, 2],
	[0x15, 0, 1, CLIENT_PORT],
	[0x06, 0, 0, 0xffff],
	[0x06, 0, 0, 0],
];

/**
 * ARP that comes from `address`, or from nobody (a probe) about it. A network where many pods start is full of ARP for others, and each
 * packet would wake us once for every probe.
 */
function aboutAddress(address: string): Instruction[] {
	const wanted = u32At(addressBytes(address));
	return [
		[0x20, 0, 0, 14],
		[0x15, 3, 0, wanted],
		[0x15, 0, 3, 0],
		[0x20, 0, 0, 24],
		[0x15, 0, 1, wanted],
		[0x06, 0, 0, 0xffff],
		[0x06, 0, 0, 0],
	];
}

/** Who hears what comes in. */
export interface Listener {
	onReply(reply: Reply, from: Mac): void;
	onMalformed(): void;
	/** Somebody else has the address that was probed. */
	onConflict(mac: Mac): void;
	onLinkError(error: Error): void;
}

/** What the loop needs: see lib/loop. */
export interface Watcher {
	watch(source: { fd: number; events: number; onReady(events: number): void }): void;
	forget(source: { fd: number; events: number; onReady(events: number): void }): void;
}

export class Exchange {
	readonly fd: number;
	events: number = sys.POLLIN;
	readonly #index: LinkIndex;
	readonly #mac: Mac;
	readonly #listener: Listener;
	readonly #watcher: Watcher;
	#probe: ArpProbe | undefined;
	#udp: number | undefined;

	/** Opens the packet socket; `link` is an Ethernet interface in `sandbox`. Throws SystemError. */
	constructor(sandbox: Sandbox, link: Link, listener: Listener, watcher: Watcher) {
		this.#index = link.index;
		this.#mac = parseMac(link.mac)!;
		this.#listener = listener;
		this.#watcher = watcher;
		this.fd = sandbox.netns.run(() => openPacketSocket(link.index, ETH_P_IP, TO_CLIENTS));
		watcher.watch(this);
	}

	close(): void {
		this.events = 0;
		this.#watcher.forget(this);
		sys.discard(this.fd);
		this.endProbe();
		if (this.#udp !== undefined) sys.discard(this.#udp);
		this.#udp = undefined;
	}

	/** To every server on the link, from a client that has no address. */
	broadcast(message: ClientMessage): void {
		this.#sendPacket(ANY, EVERYONE, BROADCAST_MAC(), message);
	}

	/** To one server, from an address that the kernel need not have; `mac` is who takes it there, everyone where it is unknown. */
	unicast(message: ClientMessage, source: string, server: string, mac: Mac | undefined): void {
		this.#sendPacket(source, server, mac ?? BROADCAST_MAC(), message);
	}

	#sendPacket(source: string, destination: string, mac: Mac, message: ClientMessage): void {
		const packet = udpPacket(source, destination, encodeMessage(message));
		sys.sendTo(this.fd, packet, 0, packetAddress(this.#index, ETH_P_IP, mac));
	}

	/**
	 * From the bound address by the kernel's own routes, to `server` or (undefined) to everyone. False where the interface does not have
	 * the address.
	 */
	sendBound(
		sandbox: Sandbox,
		name: string,
		message: ClientMessage,
		address: string,
		server: string | undefined,
	): boolean {
		try {
			this.#udp ??= sandbox.netns.run(() => openUdp(name, address));
		} catch (error) {
			if (sys.isSystemError(error, "EADDRNOTAVAIL")) return false;
			throw error;
		}
		sys.sendTo(this.#udp, encodeMessage(message), 0, internetAddress(server ?? EVERYONE, SERVER_PORT));
		return true;
	}

	/** Asks who has `address` (RFC 2131, section 4.4.1; RFC 5227); the listener hears of an answer. */
	probe(sandbox: Sandbox, address: string): void {
		this.endProbe();
		const fd = sandbox.netns.run(() => openPacketSocket(this.#index, ETH_P_ARP, aboutAddress(address)));
		this.#probe = new ArpProbe(fd, address, this.#mac, this.#listener);
		this.#watcher.watch(this.#probe);
		this.probeAgain();
	}

	probeAgain(): void {
		if (this.#probe === undefined) return;
		const link = { index: this.#index, mac: this.#mac };
		sendArpRequest(this.#probe.fd, link, parseIp(ANY)!, parseIp(this.#probe.address)!);
	}

	endProbe(): void {
		if (this.#probe === undefined) return;
		this.#watcher.forget(this.#probe);
		sys.discard(this.#probe.fd);
		this.#probe = undefined;
	}

	onReady(): void {
		for (let count = 0; count < AT_ONCE; count++) {
			const received = receiveNow(this.fd, this.#listener);
			if (received === undefined) return;
			const payload = udpPayload(received.data);
			const reply = payload && decodeReply(payload);
			if (reply === undefined) this.#listener.onMalformed();
			else if (sameBytes(reply.mac, this.#mac)) this.#listener.onReply(reply, senderOf(received.address));
			// The listener may have closed us, and our number may be another's by now.
			if (this.events === 0) return;
		}
	}
}

/** One packet that is there; undefined where there is none, or the interface has gone down or away. */
export function receiveNow(
	fd: number,
	listener: Pick<Listener, "onLinkError">,
): { data: Uint8Array; address: Uint8Array } | undefined {
	try {
		return sys.receive(fd, MAX_PACKET, sys.MSG_DONTWAIT);
	} catch (error) {
		if (!sys.isSystemError(error)) throw error;
		if (error.code !== "EAGAIN") listener.onLinkError(error);
		return undefined;
	}
}

class ArpProbe {
	readonly fd: number;
	events: number = sys.POLLIN;
	readonly address: string;
	readonly #mac: Mac;
	readonly #listener: Listener;

	constructor(fd: number, address: string, mac: Mac, listener: Listener) {
		this.fd = fd;
		this.address = address;
		this.#mac = mac;
		this.#listener = listener;
	}

	/** Somebody has it (sends from it), or somebody else probes it at the same time (RFC 5227, section 2.1.1). */
	onReady(): void {
		for (let count = 0; count < AT_ONCE; count++) {
			const received = receiveNow(this.fd, this.#listener);
			if (received === undefined) return;
			const sender = arpSender(received.data);
			// The filter has let through what is about the address; some switches send one's own probe back.
			if (sender === undefined || sameBytes(sender, this.#mac)) continue;
			this.#listener.onConflict(sender);
			return;
		}
	}
}

function openUdp(name: string, address: string): number {
	const fd = sys.socket(sys.AF_INET, sys.SOCK_DGRAM, 0);
	try {
		// A client in the pod may have the port.
		sys.setSocketOption(fd, sys.SOL_SOCKET, sys.SO_REUSEADDR, 1);
		sys.setSocketOption(fd, sys.SOL_SOCKET, sys.SO_BROADCAST, 1);
		sys.setSocketOption(fd, sys.SOL_SOCKET, sys.SO_BINDTODEVICE, sys.encodeUtf8(name));
		sys.bind(fd, internetAddress(address, CLIENT_PORT));
		return fd;
	} catch (error) {
		sys.discard(fd);
		throw error;
	}
}

/** `struct sockaddr_in`: family, port (network order), address, padding. */
function internetAddress(address: string, port: number): Uint8Array {
	const bytes = new Uint8Array(16);
	new Uint16Array(bytes.buffer)[0] = sys.AF_INET;
	new DataView(bytes.buffer).setUint16(2, port);
	bytes.set(addressBytes(address), 4);
	return bytes;
}
