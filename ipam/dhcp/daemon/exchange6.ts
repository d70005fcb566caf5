/**
 * The sockets of one exchange with DHCPv6 servers, in the namespace of the interface; see exchange.ts.
 */
import { ipToBytes, parseIp } from "../../../lib/ip/address.ts";
import type { Mac } from "../../../lib/ip/mac.ts";
import * as neighbors from "../../../lib/linux/neighbor.ts";
import type { Loop } from "../../../lib/loop/loop.ts";
import type { Link } from "../../../lib/netlink/link.ts";
import type { Sandbox } from "../../../lib/plugin/sandbox.ts";
import * as sys from "../../../lib/sys/sys.ts";
import { sameBytes } from "../wire/bytes.ts";
import { type ClientMessage6, decodeReply6, encodeMessage6, type Reply6 } from "../wire/dhcpv6.ts";
import { ExchangeSockets, type Listener, openClientSocket } from "./exchange.ts";

const CLIENT_PORT = 546;
const SERVER_PORT = 547;
/** All servers and relays of a link, RFC 8415, section 7.1. */
const ALL_SERVERS = (): Uint8Array => ipToBytes(parseIp("ff02::1:2")!);

export class Exchange6 extends ExchangeSockets<Reply6> {
	readonly #name: string;

	/** Throws SystemError. */
	constructor(sandbox: Sandbox, link: Link, listener: Listener<Reply6>, loop: Loop) {
		const from = neighbors.linkAddress(new Uint8Array(16), 0, CLIENT_PORT);
		super(sandbox, link, listener, loop, () => openClientSocket(sys.AF_INET6, link.name, from));
		this.#name = link.name;
	}

	/**
	 * To every server on the link, from the interface's own address. Throws SystemError (EADDRNOTAVAIL: it has none
	 * yet).
	 */
	send(message: ClientMessage6): void {
		sys.sendTo(this.fd, encodeMessage6(message), 0, neighbors.linkAddress(ALL_SERVERS(), this.index, SERVER_PORT));
	}

	protected override openProbe(): number {
		return neighbors.openNeighborSocket(this.#name);
	}

	protected override sendProbe(fd: number, address: string): void {
		neighbors.sendNeighborSolicitation(fd, { index: this.index, mac: this.mac }, parseIp(address)!);
	}

	protected override claimant(packet: Uint8Array, address: string): Mac | undefined {
		const advertisement = neighbors.readNeighborAdvertisement(packet);
		const isAboutIt = advertisement !== undefined && sameBytes(advertisement.target, ipToBytes(parseIp(address)!));
		return isAboutIt ? advertisement.mac : undefined;
	}

	protected override decode(packet: Uint8Array): Reply6 | undefined {
		return decodeReply6(packet, this.mac);
	}
}
