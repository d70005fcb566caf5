/**
 * The sockets of one exchange with DHCPv6 servers, in the namespace of the interface; see exchange.ts.
 */
import { ipToBytes, parseIp } from "../../../lib/ip/address.ts";
import type { Mac } from "../../../lib/ip/mac.ts";
import {
	linkAddress,
	openNeighborSocket,
	readNeighborAdvertisement,
	sendNeighborSolicitation,
} from "../../../lib/linux/neighbor.ts";
import type { Link } from "../../../lib/netlink/link.ts";
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
import { ExchangeSockets, openClientSocket, type Received, type Watcher } from "./exchange.ts";

/** All servers and relays of a link, RFC 8415, section 7.1. */
const ALL_SERVERS = (): Uint8Array => ipToBytes(parseIp("ff02::1:2")!);

/** Who hears what comes in. */
export interface Listener6 {
	onReply(reply: Reply6): void;
	onMalformed(): void;
	/** Somebody else has the address that was probed. */
	onConflict(mac: Mac): void;
	onLinkError(error: Error): void;
}

export class Exchange6 extends ExchangeSockets<Listener6> {
	readonly #name: string;

	/** Throws SystemError. */
	constructor(sandbox: Sandbox, link: Link, listener: Listener6, watcher: Watcher) {
		super(sandbox, link, listener, watcher, () => openUdp6(link.name));
		this.#name = link.name;
	}

	/**
	 * To every server on the link, from the interface's own address. Throws SystemError (EADDRNOTAVAIL: it has none
	 * yet).
	 */
	send(message: ClientMessage6): void {
		sys.sendTo(this.fd, encodeMessage6(message), 0, linkAddress(ALL_SERVERS(), this.index, SERVER_PORT));
	}

	protected override openProbe(): number {
		return openNeighborSocket(this.#name);
	}

	protected override sendProbe(fd: number, address: string): void {
		sendNeighborSolicitation(fd, { index: this.index, mac: this.mac }, parseIp(address)!);
	}

	protected override claimant(packet: Uint8Array, address: string): Mac | undefined {
		const advertisement = readNeighborAdvertisement(packet);
		const isAboutIt = advertisement !== undefined && sameBytes(advertisement.target, ipToBytes(parseIp(address)!));
		return isAboutIt ? advertisement.mac : undefined;
	}

	protected override take({ data }: Received): void {
		const reply = decodeReply6(data, this.mac);
		if (reply === undefined) this.listener.onMalformed();
		else this.listener.onReply(reply);
	}
}

function openUdp6(name: string): number {
	return openClientSocket(sys.AF_INET6, name, linkAddress(new Uint8Array(16), 0, CLIENT_PORT));
}
