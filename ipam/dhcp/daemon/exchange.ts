/**
 * The sockets of one exchange with servers, in the namespace of the interface: open while an answer is awaited, since
 * an open socket keeps a namespace alive that nobody else needs.
 */
import { parseIp } from "../../../lib/ip/address.ts";
import { type Mac, parseMac } from "../../../lib/ip/mac.ts";
import { socketAddress } from "../../../lib/ip/socket-address.ts";
import * as packets from "../../../lib/linux/packet.ts";
import type { Loop } from "../../../lib/loop/loop.ts";
import type { Link, LinkIndex } from "../../../lib/netlink/link.ts";
import type { Sandbox } from "../../../lib/plugin/sandbox.ts";
import * as sys from "../../../lib/sys/sys.ts";
import { addressBytes, sameBytes, u32At } from "../wire/bytes.ts";
import { type ClientMessage, decodeReply, encodeMessage, type Reply } from "../wire/packet.ts";
import { CLIENT_PORT, SERVER_PORT, udpPacket, udpPayload } from "../wire/udp.ts";

/** The largest packet of an interface, jumbo frames included. */
const MAX_PACKET = 16 * 1024;
/** Packets that are taken at once, so that a flood on one interface does not hold up the others. */
const AT_ONCE = 32;
const ANY = "0.0.0.0";
/** Where a message goes that is for every server. */
export const EVERYONE = "255.255.255.255";

/** UDP to port 68, no fragment but the first: instructions of linux/bpf_common.h, `[code, jt, jf, k]`. */
const TO_CLIENTS: readonly packets.Instruction[] = [
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
 * ARP that comes from `address`, or from nobody (a probe) about it. A network where many pods start is full of ARP for
 * others, and each packet would wake us once for every probe.
 */
function aboutAddress(address: string): packets.Instruction[] {
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
export interface Listener<Reply> {
	/** `from`: the address that the kernel says it came from. */
	onReply(reply: Reply, from: Uint8Array): void;
	onMalformed(): void;
	/** Somebody else has the address that was probed. */
	onConflict(mac: Mac): void;
	onLinkError(error: Error): void;
}

/** What is of both families: the socket that answers come by, and the probe of an address. */
export abstract class ExchangeSockets<Reply> {
	readonly fd: number;
	events: number = sys.POLLIN;
	protected readonly index: LinkIndex;
	protected readonly mac: Mac;
	readonly #listener: Listener<Reply>;
	readonly #loop: Loop;
	#probe: { readonly fd: number; readonly address: string; events: number; onReady(): void } | undefined;

	/**
	 * `open` gives the socket, in the namespace of `sandbox`; `link` is an Ethernet interface in it. Throws
	 * SystemError.
	 */
	constructor(sandbox: Sandbox, link: Link, listener: Listener<Reply>, loop: Loop, open: () => number) {
		this.index = link.index;
		this.mac = parseMac(link.mac)!;
		this.#listener = listener;
		this.#loop = loop;
		this.fd = sandbox.netns.run(open);
		loop.watch(this);
	}

	protected abstract openProbe(address: string): number;
	protected abstract sendProbe(fd: number, address: string): void;
	/** Who says by this packet that he has `address`. */
	protected abstract claimant(packet: Uint8Array, address: string): Mac | undefined;
	/** Undefined for what is no reply. */
	protected abstract decode(packet: Uint8Array): Reply | undefined;

	close(): void {
		this.events = 0;
		this.#loop.forget(this);
		sys.discard(this.fd);
		this.endProbe();
	}

	/** Asks who has `address` (RFC 5227, RFC 4862); the listener hears of an answer. */
	probe(sandbox: Sandbox, address: string): void {
		this.endProbe();
		const fd = sandbox.netns.run(() => this.openProbe(address));
		const onReady = (): void =>
			this.#takePackets(fd, (packet) => {
				const mac = this.claimant(packet, address);
				if (mac !== undefined) this.#listener.onConflict(mac);
				return mac === undefined;
			});
		this.#probe = { fd, address, events: sys.POLLIN, onReady };
		this.#loop.watch(this.#probe);
		this.probeAgain();
	}

	probeAgain(): void {
		if (this.#probe !== undefined) this.sendProbe(this.#probe.fd, this.#probe.address);
	}

	endProbe(): void {
		if (this.#probe === undefined) return;
		this.#loop.forget(this.#probe);
		sys.discard(this.#probe.fd);
		this.#probe = undefined;
	}

	onReady(): void {
		this.#takePackets(this.fd, (packet, from) => {
			const reply = this.decode(packet);
			if (reply === undefined) this.#listener.onMalformed();
			else this.#listener.onReply(reply, from);
			// The listener may have closed us, and our number may be another's by now.
			return this.events !== 0;
		});
	}

	/** The packets that are there, until `take` says false. None where the interface has gone down or away. */
	#takePackets(fd: number, take: (packet: Uint8Array, from: Uint8Array) => boolean): void {
		for (let count = 0; count < AT_ONCE; count++) {
			let received: { readonly data: Uint8Array; readonly address: Uint8Array };
			try {
				received = sys.receive(fd, MAX_PACKET, sys.MSG_DONTWAIT);
			} catch (error) {
				if (!sys.isSystemError(error)) throw error;
				if (error.code !== "EAGAIN") this.#listener.onLinkError(error);
				return;
			}
			if (!take(received.data, received.address)) return;
		}
	}
}

/** A UDP socket of the interface with `options` on, bound to `address`. */
export function openClientSocket(family: number, name: string, address: Uint8Array, ...options: number[]): number {
	const fd = sys.socket(family, sys.SOCK_DGRAM, 0);
	return sys.prepared(fd, () => {
		// A client in the pod may have the port.
		for (const option of [sys.SO_REUSEADDR, ...options]) sys.setSocketOption(fd, sys.SOL_SOCKET, option, 1);
		sys.setSocketOption(fd, sys.SOL_SOCKET, sys.SO_BINDTODEVICE, sys.encodeUtf8(name));
		sys.bind(fd, address);
	});
}

export class Exchange extends ExchangeSockets<Reply> {
	#udp: number | undefined;

	/** Opens the packet socket. Throws SystemError. */
	constructor(sandbox: Sandbox, link: Link, listener: Listener<Reply>, loop: Loop) {
		super(sandbox, link, listener, loop, () => packets.openPacketSocket(link.index, packets.ETH_P_IP, TO_CLIENTS));
	}

	override close(): void {
		super.close();
		if (this.#udp !== undefined) sys.discard(this.#udp);
		this.#udp = undefined;
	}

	/** To every server on the link, from a client that has no address. */
	broadcast(message: ClientMessage): void {
		this.#sendPacket(ANY, EVERYONE, packets.BROADCAST_MAC(), message);
	}

	/**
	 * Past the kernel, from an address that it need not have; `mac` is who takes it there, everyone where it is
	 * unknown.
	 */
	sendStraight(message: ClientMessage, source: string, destination: string, mac: Mac | undefined): void {
		this.#sendPacket(source, destination, mac ?? packets.BROADCAST_MAC(), message);
	}

	#sendPacket(source: string, destination: string, mac: Mac, message: ClientMessage): void {
		const packet = udpPacket(source, destination, encodeMessage(message));
		sys.sendTo(this.fd, packet, 0, packets.packetAddress(this.index, packets.ETH_P_IP, mac));
	}

	/** A socket at the address; false where the interface does not have it. */
	bind(sandbox: Sandbox, name: string, address: string): boolean {
		const from = socketAddress(parseIp(address)!, CLIENT_PORT);
		const open = (): number => openClientSocket(sys.AF_INET, name, from, sys.SO_BROADCAST);
		this.#udp ??= sys.unlessFailed(() => sandbox.netns.run(open), "EADDRNOTAVAIL");
		return this.#udp !== undefined;
	}

	/** From the address of `bind`, by the kernel's own routes. */
	sendBound(message: ClientMessage, destination: string): void {
		sys.sendTo(this.#udp!, encodeMessage(message), 0, socketAddress(parseIp(destination)!, SERVER_PORT));
	}

	protected override openProbe(address: string): number {
		return packets.openPacketSocket(this.index, packets.ETH_P_ARP, aboutAddress(address));
	}

	protected override sendProbe(fd: number, address: string): void {
		packets.sendArpRequest(fd, { index: this.index, mac: this.mac }, parseIp(ANY)!, parseIp(address)!);
	}

	/** Somebody has it (sends from it), or somebody else probes it at the same time (RFC 5227, section 2.1.1). */
	protected override claimant(packet: Uint8Array): Mac | undefined {
		const sender = packets.arpSender(packet);
		// The filter has let through what is about the address; some switches send one's own probe back.
		return sender === undefined || sameBytes(sender, this.mac) ? undefined : sender;
	}

	protected override decode(packet: Uint8Array): Reply | undefined {
		const payload = udpPayload(packet);
		return payload && decodeReply(payload);
	}
}
