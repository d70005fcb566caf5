/**
 * Whether an interface in a pod still has the addresses and routes that it was given: for CHECK.
 */
import { CniError, Code } from "../cni/error.ts";
import type { CniIp, CniRoute } from "../cni/types.ts";
import { formatIp, parseIp } from "../ip/address.ts";
import { formatCidr, networkOf, parseCidr } from "../ip/cidr.ts";
import { listAddresses } from "../netlink/address.ts";
import type { Link } from "../netlink/link.ts";
import { listRoutes } from "../netlink/route.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";

const failed = (sentence: string): CniError => new CniError(Code.checkFailed, sentence);

/** Throws CniError 102 for the first address that the interface does not have. */
export function checkAddresses(socket: NetlinkSocket, link: Link, expected: readonly CniIp[]): void {
	if (expected.length === 0) return;
	const present = listAddresses(socket, link.index).map((each) => each.cidr);
	for (const { address } of expected) {
		const cidr = parseCidr(address);
		if (cidr === undefined) throw failed(`"${address}" is not an address in CIDR notation`);
		if (!present.includes(formatCidr(cidr))) throw failed(`address ${address} is missing on ${link.name}`);
	}
}

/**
 * Throws CniError 102 for the first route that does not go out of the interface. Plugins later in the chain may have changed its
 * details: destination, gateway and table count.
 */
export function checkRoutes(socket: NetlinkSocket, link: Link, expected: readonly CniRoute[]): void {
	if (expected.length === 0) return;
	const present = listRoutes(socket, { linkIndex: link.index });
	for (const { dst, gw, table } of expected) {
		const destination = parseCidr(dst);
		const network = destination && formatCidr(networkOf(destination));
		const gateway = gw === undefined ? undefined : parseIp(gw);
		const found = present.some(
			(route) =>
				route.dst === network &&
				(table === undefined || route.table === table) &&
				(gateway === undefined || route.gw === formatIp(gateway)),
		);
		if (!found) throw failed(`route to ${dst}${gw ? ` via ${gw}` : ""} is missing on ${link.name}`);
	}
}
