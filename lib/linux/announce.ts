/**
 * Tells the neighbours of an interface which addresses are now at which MAC, so that they forget who had them before.
 *
 * IPv4: a gratuitous ARP request (RFC 5227, section 3; RFC 826). IPv6: an unsolicited neighbour advertisement (RFC
 * 4861, section 7.2.6).
 */
import { type Ip, ipToBytes } from "../ip/address.ts";
import { isZeroMac, type Mac, parseMac } from "../ip/mac.ts";
import { knownCidr } from "../netlink/address.ts";
import type { Link } from "../netlink/link.ts";
import * as sys from "../sys/sys.ts";
import { linkAddress, ND_NEIGHBOR_ADVERT, ND_OPT_TARGET_LINKADDR, openNeighborSocket } from "./neighbor.ts";
import { ETHER_BYTES, sendArpRequest } from "./packet.ts";

/** The override flag alone: the neighbours shall replace what they have; we are not asked, and no router. */
const ND_NA_FLAG_OVERRIDE = 0x20;
/** ff02::1 */
const ALL_NODES = (): Uint8Array => Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);

type Announcer = Pick<Link, "index" | "name"> & { readonly mac: Mac };

/**
 * Announces each address ("10.1.2.3/24") once, in the current network namespace, out of this interface only (Go's
 * sriov-cni leaves the interface of IPv6 to the routing table, so that in a pod with several it may be another).
 * Returns what went wrong: an announcement is a courtesy, and a failed one must not hold up the others. Nothing is sent
 * for a MAC that is not 6 bytes, all zero or the broadcast address.
 */
export function announce(
	link: Pick<Link, "index" | "name" | "mac">,
	addresses: readonly { readonly address: string }[],
): Error[] {
	const failures: Error[] = [];
	const mac = parseMac(link.mac);
	if (mac?.length !== ETHER_BYTES || isZeroMac(mac) || mac.every((byte) => byte === 0xff)) return failures;
	const announcer = { index: link.index, name: link.name, mac };
	for (const { address } of addresses) {
		const { ip } = knownCidr(address);
		const send = ip.family === 4 ? sendGratuitousArp : sendNeighborAdvertisement;
		const failure = sys.failureOf(() => send(announcer, ip));
		if (failure !== undefined) failures.push(failure);
	}
	return failures;
}

/** An ARP request in which sender and target have the same IP address, to everyone. */
function sendGratuitousArp(link: Announcer, address: Ip): void {
	// Protocol 0: the socket sends only, it need not take part in what comes in.
	const fd = sys.socket(sys.AF_PACKET, sys.SOCK_DGRAM, 0);
	try {
		sendArpRequest(fd, link, address, address);
	} finally {
		sys.discard(fd);
	}
}

/** To all nodes on the link, ff02::1. The kernel puts in the source address and the checksum. */
function sendNeighborAdvertisement(link: Announcer, address: Ip): void {
	const packet = new Uint8Array(32);
	packet[0] = ND_NEIGHBOR_ADVERT;
	packet[4] = ND_NA_FLAG_OVERRIDE;
	packet.set(ipToBytes(address), 8);
	packet[24] = ND_OPT_TARGET_LINKADDR;
	// In units of 8 bytes: type, length and MAC.
	packet[25] = 1;
	packet.set(link.mac, 26);
	const fd = openNeighborSocket(link.name);
	try {
		sys.sendTo(fd, packet, 0, linkAddress(ALL_NODES(), link.index));
	} finally {
		sys.discard(fd);
	}
}
