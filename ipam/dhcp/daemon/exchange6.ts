/**
 * The sockets of one exchange with DHCPv6 servers, in the namespace of the interface; see exchange.ts.
 */
import { ipToBytes, parseIp } from "../../../lib/ip/address.ts";
import { type Mac, parseMac } from "../../../lib/ip/mac.ts";
import {
	openNeighborSocket,
	readNeighborAdvertisement,
	sendNeighborSolicitation,
} from "../../../lib/linux/neighbor.ts";
import type { Link, LinkIndex } from "../../../lib/netlink/link.ts";
import type { Sandbox } from "../../../lib/plugin/sandbox.ts";
import * as sys from "../../../lib/sys/sys.ts";
import { sameBytes } from "../wire/bytes.ts";
import {
	CLIENT_PORT,
	type ClientMessage6,
	decodeReply6,
	encodeMessage6,
	type Reply6,
	SERVER_PORT,
} from "../wire/dhcpv6.ts";
import { AT_ONCE, receiveNow, type Watcher } from "./exchange.ts";

/** All servers and relays of a link, RFC 8415, section 7.1. */
const ALL_SERVERS = "ff02::1:2";

/** Who hears what comes in. */
export interface Listener6 {
	onReply(reply: Reply6): void;
	onMalformed(): void;
	/** Somebody else has the address that was probed. */
	onConflict(mac: Mac): void;
	onLinkError(error: Error): void;
}

export class Exchange6 {
	readonly fd: number;
	events: number = sys.POLLIN;
	readonly #index: LinkIndex;
	readonly #name: string;
	readonly #mac: Mac;
	readonly #listener: Listener6;
	readonly #watcher: Watcher;
	#probe: NeighborProbe | undefined;

	/** Throws SystemError. */
	constructor(sandbox: Sandbox, link: Link, listener: Listener6, watcher: Watcher) {
		this.#index = link.index;
		this.#name = link.name;
		this.#mac = parseMac(link.mac)!;
		this.#listener = listener;
		this.#watcher = watcher;
		this.fd = sandbox.netns.run(() => openUdp6(link.name));
		watcher.watch(this);
	}

	close(): void {
		this.events = 0;
		this.#watcher.forget(this);
		sys.discard(this.fd);
		this.endProbe();
	}

	/** To every server on the link, from the interface's own address. Throws SystemError (EADDRNOTAVAIL: it has none yet). */
	send(message: ClientMessage6): void {
		sys.sendTo(this.fd, encodeMessage6(message), 0, internetAddress6(ALL_SERVERS, SERVER_PORT, this.#index));
	}

	/** Asks who has `address`; the listener hears of an answer. */
	probe(sandbox: Sandbox, address: string): void {
		this.endProbe();
		const fd = sandbox.netns.run(() => openNeighborSocket(this.#name));
		this.#probe = new NeighborProbe(fd, address, this.#listener);
		this.#watcher.watch(this.#probe);
		this.probeAgain();
	}

	probeAgain(): void {
		if (this.#probe === undefined) return;
		sendNeighborSolicitation(this.#probe.fd, { index: this.#index, mac: this.#mac }, parseIp(this.#probe.address)!);
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
			const reply = decodeReply6(received.data, this.#mac);
			if (reply === undefined) this.#listener.onMalformed();
			else this.#listener.onReply(reply);
			// The listener may have closed us, and our number may be another's by now.
			if (this.events === 0) return;
		}
	}
}

class NeighborProbe {
	readonly fd: number;
	events: number = sys.POLLIN;
	readonly address: string;
	readonly #listener: Listener6;

	constructor(fd: number, address: string, listener: Listener6) {
		this.fd = fd;
		this.address = address;
		this.#listener = listener;
	}

	onReady(): void {
		const wanted = ipToBytes(parseIp(this.address)!);
		for (let count = 0; count < AT_ONCE; count++) {
			const received = receiveNow(this.fd, this.#listener);
			if (received === undefined) return;
			const advertisement = readNeighborAdvertisement(received.data);
			if (advertisement === undefined || !sameBytes(advertisement.target, wanted)) continue;
			this.#listener.onConflict(advertisement.mac);
			return;
		}
	}
}

function openUdp6(name: string): number {
	const fd = sys.socket(sys.AF_INET6, sys.SOCK_DGRAM, 0);
	try {
		// A client in the pod may have the port.
		sys.setSocketOption(fd, sys.SOL_SOCKET, sys.SO_REUSEADDR, 1);
		sys.setSocketOption(fd, sys.SOL_SOCKET, sys.SO_BINDTODEVICE, sys.encodeUtf8(name));
		sys.bind(fd, internetAddress6("::", CLIENT_PORT, 0));
		return fd;
	} catch (error) {
		sys.discard(fd);
		throw error;
	}
}

/** `struct sockaddr_in6`: family, port (network order), flow, address, scope. */
function internetAddress6(address: string, port: number, scope: number): Uint8Array {
	const bytes = new Uint8Array(28);
	new Uint16Array(bytes.buffer)[0] = sys.AF_INET6;
	new DataView(bytes.buffer).setUint16(2, port);
	bytes.set(ipToBytes(parseIp(address)!), 8);
	new Uint32Array(bytes.buffer)[6] = scope;
	return bytes;
}
