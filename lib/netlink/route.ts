/**
 * Routes.
 *
 * Wire format: linux/rtnetlink.h, RTM_*ROUTE with `struct rtmsg`.
 */
import { type Family, familyOf, ipToBytes, parseIp } from "../ip/address.ts";
import { AF_INET, AF_INET6, isSystemError } from "../sys/sys.ts";
import { addressFamily, knownCidr } from "./address.ts";
import * as nl from "./constants.ts";
import type { RequestName } from "./error.ts";
import type { LinkIndex } from "./link.ts";
import { type Attributes, type Message, MessageWriter, WantedAttributes } from "./message.ts";
import type { Change, NetlinkSocket } from "./socket.ts";

/** A route over one interface. */
interface RouteSpec {
	/** "10.0.0.0/8"; "0.0.0.0/0" and "::/0" are the default routes. Host bits must be 0. */
	readonly dst: string;
	readonly gw?: string;
	readonly linkIndex: LinkIndex;
	/** Bytes; the path's MTU, not locked. */
	readonly mtu?: number;
	/** Bytes; the segment size that TCP offers. */
	readonly advmss?: number;
	/** The metric: the lowest wins. IPv6 has 1024 where none is given (and 0 means none). */
	readonly priority?: number;
	/** Default: 254, the main table. */
	readonly table?: number;
	/** RT_SCOPE_*: 0 global (the default), 253 link, 254 host. IPv4 only. */
	readonly scope?: number;
}

/** A route as the kernel has it; one with several next hops is given once for each of them. */
export interface Route extends Omit<RouteSpec, "linkIndex"> {
	/** Undefined for routes without an interface: unreachable, blackhole. */
	readonly linkIndex?: LinkIndex;
	readonly family: Family;
	readonly table: number;
	readonly scope: number;
	/** RTN_*: 1 unicast, 2 local, 3 broadcast, 5 multicast, 6 blackhole, 7 unreachable. */
	readonly type: number;
	/** RTPROT_*, who made it: 2 the kernel, 3 boot (CNI plugins and `ip route`), 4 static, 9 router advertisement. */
	readonly protocol: number;
	readonly prefSrc?: string;
}

/**
 * The change that adds a route as the Go plugins do (vishvananda/netlink's RouteAddEcmp: NLM_F_CREATE and neither EXCL
 * nor APPEND), with `mtu` and `advmss` in addition. A second gateway for the same destination and metric: IPv6 makes
 * one route with two next hops of them; IPv4 puts the new route before the old one. The very same route again: EEXIST.
 * Equivalent: `ip route prepend DST via GW dev NAME` (IPv4), `ip -6 route append ...` (IPv6).
 */
export function newRoute(socket: NetlinkSocket, route: RouteSpec): Change {
	const message = routeMessage(nl.RTM_NEWROUTE, nl.NLM_F_ACK | nl.NLM_F_CREATE, route, route.scope ?? 0);
	if (route.mtu || route.advmss) {
		const metrics = message.begin(nl.RTA_METRICS);
		if (route.mtu) message.attributeU32(nl.RTAX_MTU, route.mtu);
		if (route.advmss) message.attributeU32(nl.RTAX_ADVMSS, route.advmss);
		message.end(metrics);
	}
	return { message, name: routeRequest(socket, "RTM_NEWROUTE", route) };
}

/**
 * Removes a route that has this destination, gateway, interface and (where given) metric, scope and table; ESRCH if
 * there is none.
 */
export function deleteRoute(socket: NetlinkSocket, route: Omit<RouteSpec, "mtu" | "advmss">): void {
	const message = routeMessage(nl.RTM_DELROUTE, nl.NLM_F_ACK, route, route.scope ?? nl.RT_SCOPE_NOWHERE);
	socket.change(message, routeRequest(socket, "RTM_DELROUTE", route));
}

function routeMessage(type: number, flags: number, route: RouteSpec, scope: number): MessageWriter {
	const dst = knownCidr(route.dst);
	const table = route.table || nl.RT_TABLE_MAIN;
	const deleting = type === nl.RTM_DELROUTE;
	const message = new MessageWriter(type, flags);
	// struct rtmsg: family, lengths of destination and source, TOS, table, protocol, scope, type, flags. 0 matches all
	// in a removal.
	message.u8(addressFamily(dst.ip.family)).u8(dst.prefix).u8(0).u8(0);
	message.u8(table < 256 ? table : 0).u8(deleting ? 0 : nl.RTPROT_BOOT);
	message
		.u8(scope)
		.u8(deleting ? 0 : nl.RTN_UNICAST)
		.u32(0);
	message.attributeBytes(nl.RTA_DST, ipToBytes(dst.ip));
	const gw = route.gw === undefined ? undefined : parseIp(route.gw);
	if (route.gw !== undefined && gw === undefined) throw new TypeError(`"${route.gw}" is not an IP address`);
	// An unspecified one is none.
	if (gw !== undefined && gw.value !== 0n) {
		if (gw.family !== dst.ip.family) {
			throw new TypeError(`gateway ${route.gw} and destination ${route.dst} are not of the same address family`);
		}
		message.attributeBytes(nl.RTA_GATEWAY, ipToBytes(gw));
	}
	if (table >= 256) message.attributeU32(nl.RTA_TABLE, table);
	if (route.priority) message.attributeU32(nl.RTA_PRIORITY, route.priority);
	return message.attributeU32(nl.RTA_OIF, route.linkIndex);
}

function routeRequest(socket: NetlinkSocket, request: string, route: RouteSpec): RequestName {
	const name = socket.linkNames.get(route.linkIndex) ?? `link ${route.linkIndex}`;
	return { request, subject: `${route.dst}${route.gw === undefined ? "" : ` via ${route.gw}`} dev ${name}` };
}

/**
 * The routes of a family (undefined: both), of one table (undefined: all, the kernel's "local" included), over one
 * interface (undefined: all). Equivalent: `ip [-4|-6] route show table T|all [dev NAME]`.
 */
export function listRoutes(
	socket: NetlinkSocket,
	filter: { readonly family?: Family; readonly table?: number; readonly linkIndex?: LinkIndex } = {},
): Route[] {
	const families: Family[] = filter.family === undefined ? [4, 6] : [filter.family];
	return families.flatMap((family) => listFamily(socket, family, filter.table, filter.linkIndex));
}

function listFamily(
	socket: NetlinkSocket,
	family: Family,
	table: number | undefined,
	link: number | undefined,
): Route[] {
	const isWanted = (route: Route): boolean =>
		(table === undefined || route.table === table) && (link === undefined || route.linkIndex === link);
	try {
		return socket.dump(dumpMessage(family, table, link), DUMP_NAME, (answer) => {
			const read = parseRoute(answer, family);
			if (Array.isArray(read)) return read.filter(isWanted);
			return read !== undefined && isWanted(read) ? read : undefined;
		});
	} catch (error) {
		// "FIB table does not exist": it comes into being with its first route.
		if (table !== undefined && isSystemError(error, "ENOENT")) return [];
		throw error;
	}
}

const DUMP_NAME: RequestName = { request: "RTM_GETROUTE", subject: "" };

function dumpMessage(family: Family, table: number | undefined, link: number | undefined): MessageWriter {
	const message = new MessageWriter(nl.RTM_GETROUTE, nl.NLM_F_DUMP);
	message.u8(addressFamily(family)).zeros(nl.RTMSG_BYTES - 1);
	if (table !== undefined) message.attributeU32(nl.RTA_TABLE, table);
	if (link !== undefined) message.attributeU32(nl.RTA_OIF, link);
	return message;
}

/**
 * The gateway of each destination over an interface, in any table, local and broadcast addresses included. A third of
 * the work of `listRoutes`. Of several routes to one destination it has the last; none with several next hops.
 */
export function nextHops(socket: NetlinkSocket, link: LinkIndex): ReadonlyMap<string, string | undefined> {
	const hops = new Map<string, string | undefined>();
	for (const family of [4, 6] as const) {
		const wanted = addressFamily(family);
		const parse = (answer: Message): undefined => {
			const { datagram, words, start } = answer;
			if (answer.type !== nl.RTM_NEWROUTE || datagram[start] !== wanted) return;
			const rows = answer.rows(nl.RTMSG_BYTES, NEXT_HOP_VALUES);
			for (let row = 0; row < rows.length; row += 1 + NEXT_HOP_VALUES.count) {
				const at = rows[row] as number;
				if (rows[row + 2] !== link || (words[(at + 8) >> 2]! & nl.RTM_F_CLONED) !== 0) continue;
				hops.set(`${rows[row + 1] ?? UNSPECIFIED[family]}/${datagram[at + 1]}`, rows[row + 3] as string | undefined);
			}
		};
		socket.dump(dumpMessage(family, undefined, link), DUMP_NAME, parse, () => {
			for (const dst of hops.keys()) if (familyOf(dst) === family) hops.delete(dst);
		});
	}
	return hops;
}

const NEXT_HOP_VALUES = new WantedAttributes([
	[nl.RTA_DST, "address"],
	[nl.RTA_OIF, "number"],
	[nl.RTA_GATEWAY, "address"],
]);

/** Of a default route, which has no RTA_DST. */
const UNSPECIFIED = { 4: "0.0.0.0", 6: "::" } as const;

/** What nearly all routes consist of; the order is that of `parseRoute`. */
const ROUTE_VALUES = new WantedAttributes([
	[nl.RTA_DST, "address"],
	[nl.RTA_OIF, "number"],
	[nl.RTA_GATEWAY, "address"],
	[nl.RTA_PRIORITY, "number"],
	[nl.RTA_PREFSRC, "address"],
	[nl.RTA_TABLE, "number"],
	[nl.RTA_METRICS, "place"],
	[nl.RTA_MULTIPATH, "place"],
	[nl.RTA_VIA, "place"],
]);

function parseRoute(message: Message, family: Family): Route | Route[] | undefined {
	// struct rtmsg: see routeMessage.
	const { datagram, start } = message;
	// Not one of another family (see listAddresses), nor one that the kernel made of another.
	const isOfFamily = message.type === nl.RTM_NEWROUTE && datagram[start] === addressFamily(family);
	if (!isOfFamily || (message.u32(8) & nl.RTM_F_CLONED) !== 0) return undefined;
	const values = message.values(nl.RTMSG_BYTES, ROUTE_VALUES);
	const [dst, linkIndex, gw, priority, prefSrc, table, metrics, multipath, via] = values;
	const route: { -readonly [K in keyof Route]: Route[K] } = {
		dst: `${dst ?? UNSPECIFIED[family]}/${datagram[start + 1]}`,
		family,
		table: (table as number | undefined) ?? datagram[start + 4]!,
		protocol: datagram[start + 5]!,
		scope: datagram[start + 6]!,
		type: datagram[start + 7]!,
	};
	if (linkIndex !== undefined) route.linkIndex = linkIndex as LinkIndex;
	if (gw !== undefined) route.gw = gw as string;
	if (priority !== undefined) route.priority = priority as number;
	if (prefSrc !== undefined) route.prefSrc = prefSrc as string;
	if (metrics === undefined && multipath === undefined && via === undefined) return route;
	return parseMore(message, route);
}

/** Metrics, several next hops, a next hop of another family. */
function parseMore(message: Message, route: { -readonly [K in keyof Route]: Route[K] }): Route | Route[] {
	let hops: NextHop[] | undefined;
	const attribute = message.attributes(nl.RTMSG_BYTES);
	while (attribute.next()) {
		if (attribute.type === nl.RTA_METRICS) readMetrics(attribute.nested(), route);
		else if (attribute.type === nl.RTA_VIA) readNextHop(attribute, route);
		else if (attribute.type === nl.RTA_MULTIPATH) hops = readMultipath(attribute);
	}
	return hops === undefined ? route : hops.map((hop) => ({ ...route, ...hop }));
}

interface NextHop {
	gw?: string;
	linkIndex?: LinkIndex;
}

function readNextHop(attribute: Attributes, hop: NextHop): void {
	if (attribute.type === nl.RTA_OIF) hop.linkIndex = attribute.u32() as LinkIndex;
	else if (attribute.type === nl.RTA_GATEWAY) hop.gw = attribute.address();
	else if (attribute.type === nl.RTA_VIA) {
		// struct rtvia: u16 family, then an address of a family other than the destination's.
		const family = attribute.u16();
		if (family === AF_INET || family === AF_INET6) hop.gw = attribute.address(2);
	}
}

function readMetrics(attribute: Attributes, route: { mtu?: number; advmss?: number }): void {
	while (attribute.next()) {
		if (attribute.type === nl.RTAX_MTU) route.mtu = attribute.u32();
		else if (attribute.type === nl.RTAX_ADVMSS) route.advmss = attribute.u32();
	}
}

/** A row of `struct rtnexthop` (length, flags, hops, index), each with attributes of its own. */
function readMultipath(attribute: Attributes): NextHop[] {
	const hops: NextHop[] = [];
	for (let at = 0; at + nl.RTNEXTHOP_BYTES <= attribute.length; ) {
		const length = attribute.u16(at);
		if (length < nl.RTNEXTHOP_BYTES || at + length > attribute.length) break;
		const hop: NextHop = { linkIndex: attribute.u32(at + 4) as LinkIndex };
		const nested = attribute.nested(at + nl.RTNEXTHOP_BYTES, at + length);
		while (nested.next()) readNextHop(nested, hop);
		hops.push(hop);
		at += (length + 3) & ~3;
	}
	return hops;
}
