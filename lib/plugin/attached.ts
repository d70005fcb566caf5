/**
 * Whether an interface in a pod still has the addresses and routes that it was given: for CHECK.
 */
import { CniError, Code } from "../cni/error.ts";
import type { CniIp, CniRoute } from "../cni/types.ts";
import { type Family, formatIp, parseIp } from "../ip/address.ts";
import { formatCidr, networkOf, parseCidr } from "../ip/cidr.ts";
import { listAddresses } from "../netlink/address.ts";
import type { Link } from "../netlink/link.ts";
import { listRoutes, type Route } from "../netlink/route.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";

const failed = (sentence: string): CniError => new CniError(Code.checkFailed, sentence);

/** Throws CniError 102 for the first address that the interface does not have. */
export function checkAddresses(socket: NetlinkSocket, link: Link, expected: readonly CniIp[]): void {
	if (expected.length === 0) return;
	const present = new Set(listAddresses(socket, link.index).map((each) => each.cidr));
	for (const { address } of expected) {
		const cidr = parseCidr(address);
		if (cidr === undefined) throw failed(`"${address}" is not an address in CIDR notation`);
		if (!present.has(formatCidr(cidr))) throw failed(`address ${address} is missing on ${link.name}`);
	}
}

/**
 * Throws CniError 102 for the first route that does not go out of the interface. What a route does not ask for may be anything: the kernel's default, or what a
 * plugin later in the chain has made of it (vrf moves routes to the table of its own).
 */
export function checkRoutes(socket: NetlinkSocket, link: Link, expected: readonly CniRoute[]): void {
	if (expected.length === 0) return;
	const present = new Map<string, Route[]>();
	for (const route of listRoutes(socket, { linkIndex: link.index })) {
		const others = present.get(route.dst);
		if (others === undefined) present.set(route.dst, [route]);
		else others.push(route);
	}
	for (const route of expected) {
		const destination = parseCidr(route.dst);
		const there = (destination && present.get(formatCidr(networkOf(destination)))) ?? [];
		if (there.some((each) => isAsked(each, route))) continue;
		const gateway = gatewayOf(route);
		throw failed(
			`route to ${route.dst}${gateway ? ` via ${gateway}` : ""} is missing on ${link.name}${differenceTo(there, route)}`,
		);
	}
}

/** An unspecified gateway is none: 0.0.0.0 is what DHCP servers say of an on-link route (RFC 3442). */
function gatewayOf({ gw }: CniRoute): string | undefined {
	const ip = gw === undefined ? undefined : parseIp(gw);
	return ip === undefined || ip.value === 0n ? undefined : formatIp(ip);
}

/** The most that the kernel keeps of a route's MTU and segment size (ip_metrics_convert() in net/ipv4/metrics.c). */
const MOST_MTU = 65535 - 15;
const MOST_ADVMSS = 65535 - 40;

/** What a route asks for, as the kernel keeps it; 0 is "not given" but for a scope. IPv6 knows no scope. */
function asked(route: CniRoute, family: Family): Partial<Route> {
	const gw = gatewayOf(route);
	return {
		...(gw !== undefined && { gw }),
		...(route.table && { table: route.table }),
		...(route.priority && { priority: route.priority }),
		...(route.mtu && { mtu: Math.min(route.mtu, MOST_MTU) }),
		...(route.advmss && { advmss: Math.min(route.advmss, MOST_ADVMSS) }),
		...(route.scope !== undefined && family === 4 && { scope: route.scope }),
	};
}

const isAsked = (there: Route, route: CniRoute): boolean => firstDifference(there, route) === undefined;

function firstDifference(there: Route, route: CniRoute): string | undefined {
	const wanted = asked(route, there.family);
	const key = (Object.keys(wanted) as (keyof typeof wanted)[]).find((each) => wanted[each] !== there[each]);
	return key && `${key} ${there[key] ?? "none"}, not ${wanted[key]}`;
}

/** Where there is one route to the destination, what is different about it. */
function differenceTo(there: readonly Route[], route: CniRoute): string {
	const [only, ...others] = there;
	return only === undefined || others.length > 0 ? "" : `: it has ${firstDifference(only, route)}`;
}
