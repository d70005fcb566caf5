/**
 * Whether an interface in a pod still has the addresses and routes that it was given: for CHECK.
 */
import { checkFailed } from "../cni/error.ts";
import type { CniIp, CniRoute } from "../cni/types.ts";
import { canonicalIp } from "../ip/address.ts";
import { canonicalCidr, formatCidr, networkOf, parseCidr } from "../ip/cidr.ts";
import { listCidrs } from "../netlink/address.ts";
import type { Link } from "../netlink/link.ts";
import { listRoutes, nextHops, type Route } from "../netlink/route.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";

/** Throws CniError 102 for the first address that the interface does not have. */
export function checkAddresses(socket: NetlinkSocket, link: Link, expected: readonly CniIp[]): void {
	if (expected.length === 0) return;
	const present = listCidrs(socket, link.index);
	for (const { address } of expected) {
		const cidr = canonicalCidr(address);
		if (cidr === undefined) throw checkFailed(`"${address}" is not an address in CIDR notation`);
		if (!present.has(cidr)) throw checkFailed(`address ${address} is missing on ${link.name}`);
	}
}

/**
 * Throws CniError 102 for the first route that does not go out of the interface. What a route does not ask for may be
 * anything: the kernel's default, or what a plugin later in the chain has made of it (vrf moves routes to the table
 * of its own).
 */
export function checkRoutes(socket: NetlinkSocket, link: Link, expected: readonly CniRoute[]): void {
	if (expected.length === 0) return;
	const hops = nextHops(socket, link.index);
	// Those that are there, and of which no more is asked, are done with. There may be thousands.
	const others = expected.filter(
		({ dst, gw, mtu, advmss, priority, table, scope }) =>
			(gw === undefined ? !hops.has(dst) : hops.get(dst) !== gw) ||
			!!(mtu || advmss || priority || table || scope !== undefined),
	);
	if (others.length > 0) checkWholeRoutes(socket, link, others);
}

function checkWholeRoutes(socket: NetlinkSocket, link: Link, expected: readonly CniRoute[]): void {
	const present = new Map<string, Route[]>();
	for (const route of listRoutes(socket, { linkIndex: link.index })) {
		const others = present.get(route.dst);
		if (others === undefined) present.set(route.dst, [route]);
		else others.push(route);
	}
	for (const route of expected) {
		const there = present.get(route.dst) ?? present.get(networkText(route.dst)) ?? [];
		if (there.some((each) => firstDifference(each, route) === undefined)) continue;
		const gateway = gatewayOf(route);
		throw checkFailed(
			`route to ${route.dst}${gateway ? ` via ${gateway}` : ""} is missing on ${link.name}${differenceTo(there, route)}`,
		);
	}
}

/** The network of a destination, without the host bits that it may have. */
function networkText(dst: string): string {
	const cidr = parseCidr(dst);
	return cidr === undefined ? "" : formatCidr(networkOf(cidr));
}

/** An unspecified gateway is none: 0.0.0.0 is what DHCP servers say of an on-link route (RFC 3442). */
function gatewayOf({ gw }: CniRoute): string | undefined {
	const ip = gw === undefined ? undefined : canonicalIp(gw);
	return ip === "0.0.0.0" || ip === "::" ? undefined : ip;
}

/** The most that the kernel keeps of a route's MTU and segment size (ip_metrics_convert() in net/ipv4/metrics.c). */
const mostMtu = (mtu: number): number => Math.min(mtu, 65535 - 15);
const mostAdvmss = (advmss: number): number => Math.min(advmss, 65535 - 40);

type Difference = "gw" | "table" | "priority" | "mtu" | "advmss" | "scope";

/**
 * The first key in which a route of the kernel's is not what is asked for; undefined where it is. 0 is "not given"
 * but for a scope, which IPv6 does not know.
 */
function firstDifference(there: Route, route: CniRoute): Difference | undefined {
	const { table, priority, mtu, advmss, scope } = route;
	if (route.gw !== there.gw && (gatewayOf(route) ?? there.gw) !== there.gw) return "gw";
	if (table && table !== there.table) return "table";
	if (priority && priority !== there.priority) return "priority";
	if (mtu && mostMtu(mtu) !== there.mtu) return "mtu";
	if (advmss && mostAdvmss(advmss) !== there.advmss) return "advmss";
	if (scope !== undefined && scope !== there.scope && there.family === 4) return "scope";
	return undefined;
}

/** Where there is one route to the destination, what is different about it. */
function differenceTo(there: readonly Route[], route: CniRoute): string {
	const [only, ...others] = there;
	if (only === undefined || others.length > 0) return "";
	const key = firstDifference(only, route)!;
	const kept = { ...route, gw: gatewayOf(route), mtu: mostMtu(route.mtu ?? 0), advmss: mostAdvmss(route.advmss ?? 0) };
	return `: it has ${key} ${only[key] ?? "none"}, not ${kept[key]}`;
}
