/**
 * Results of ADD as each version of the specification has them, with the order of keys and the omissions of Go.
 *
 * Source: containernetworking/cni v1.3.0, pkg/types/020, /040, /100. What is empty or 0 is left out as in Go;
 * `interface`, `table` and `scope` are pointers there, so their 0 stays.
 */

import { type Family, familyOf } from "../ip/address.ts";
import { CniError, Code } from "./error.ts";
import { mapped } from "./mapped.ts";
import type { CniInterface, CniIp, CniResult, CniRoute, JsonObject, JsonValue } from "./types.ts";
import { requireSupported } from "./version.ts";

/**
 * `result` in the shape of `cniVersion`. Throws code 7 where that version cannot hold it: 0.1.0 and 0.2.0 need an
 * address.
 */
export function resultAsVersion(result: CniResult, cniVersion: string): JsonObject {
	requireSupported(cniVersion);
	// Each of their parts has one digit.
	if (cniVersion < "0.3.0") return as020(result, cniVersion);
	return cniVersion < "1.0.0" ? as040(result, cniVersion) : as100(result, cniVersion);
}

/** One address per family, each with the routes of its family; the rest is dropped. */
function as020(result: CniResult, cniVersion: string): JsonObject {
	const ip4 = result.ips?.find((ip) => familyOf(ip.address) === 4);
	const ip6 = result.ips?.find((ip) => familyOf(ip.address) === 6);
	if (ip4 === undefined && ip6 === undefined) {
		throw new CniError(
			Code.invalidConfig,
			"cannot convert: no valid IP addresses",
			`cniVersion ${cniVersion} has no result without an address; 0.3.0 and later have`,
		);
	}
	const side = (ip: CniIp | undefined, family: Family): JsonObject | undefined =>
		ip && {
			...membersOf({ ip: ip.address, gateway: ip.gateway }, ["ip", "gateway"]),
			...list(
				"routes",
				result.routes?.filter((route) => familyOf(route.dst) === family),
				(route) => membersOf(route, ["dst", "gw"]),
			),
		};
	const sides = { cniVersion, ip4: side(ip4, 4), ip6: side(ip6, 6), dns: membersOf(result.dns, DNS_MEMBERS) };
	return membersOf(sides, ["cniVersion", "ip4", "ip6", "dns"]);
}

function as040(result: CniResult, cniVersion: string): JsonObject {
	return {
		cniVersion,
		...list("interfaces", result.interfaces, (each) => membersOf(each, ["name", "mac", "sandbox"])),
		...list("ips", result.ips, (ip) => ({
			version: String(familyOf(ip.address)),
			...membersOf(ip, ["interface", "address", "gateway"]),
		})),
		...list("routes", result.routes, (route) => membersOf(route, ROUTE_MEMBERS)),
		dns: membersOf(result.dns, DNS_MEMBERS),
	};
}

/** Keys sorted on every level: Go sends this one through a map. */
function as100(result: CniResult, cniVersion: string): JsonObject {
	const { dns, interfaces, ips, routes } = result;
	const rendered: JsonObject = { cniVersion };
	const ownDns = dns && membersOf(dns, ["domain", "nameservers", "options", "search"]);
	if (ownDns !== undefined && Object.keys(ownDns).length > 0) rendered.dns = ownDns;
	if (interfaces?.length) rendered.interfaces = mapped(interfaces, interfaceAs100);
	if (ips?.length) rendered.ips = mapped(ips, ipAs100);
	if (routes?.length) rendered.routes = mapped(routes, routeAs100);
	return rendered;
}

// Every ADD renders these, and of routes there may be thousands: no object but the one.

function interfaceAs100({ mac, mtu, name, pciID, sandbox, socketPath }: CniInterface): JsonObject {
	const rendered: JsonObject = {};
	if (mac) rendered.mac = mac;
	if (mtu) rendered.mtu = mtu;
	rendered.name = name;
	if (pciID) rendered.pciID = pciID;
	if (sandbox) rendered.sandbox = sandbox;
	if (socketPath) rendered.socketPath = socketPath;
	return rendered;
}

function ipAs100({ address, gateway, interface: index }: CniIp): JsonObject {
	const ip: JsonObject = {};
	if (address) ip.address = address;
	if (gateway) ip.gateway = gateway;
	if (index !== undefined) ip.interface = index;
	return ip;
}

function routeAs100({ advmss, dst, gw, mtu, priority, scope, table }: CniRoute): JsonObject {
	const route: JsonObject = {};
	if (advmss) route.advmss = advmss;
	route.dst = dst;
	if (gw) route.gw = gw;
	if (mtu) route.mtu = mtu;
	if (priority) route.priority = priority;
	if (scope !== undefined) route.scope = scope;
	if (table !== undefined) route.table = table;
	return route;
}

const ROUTE_MEMBERS = ["dst", "gw", "mtu", "advmss", "priority", "table", "scope"] as const;
const DNS_MEMBERS = ["nameservers", "domain", "search", "options"] as const;
/** What Go writes whatever it is. */
const ALWAYS: readonly string[] = ["name", "interface", "table", "scope"];

/** The members of `source` in this order, without those that are empty or 0. */
function membersOf<T extends object>(source: T | undefined, names: readonly (keyof T & string)[]): JsonObject {
	const object: JsonObject = {};
	if (source === undefined) return object;
	for (const name of names) {
		const value = source[name] as JsonValue | undefined;
		if (value === undefined) continue;
		const isEmpty = value === "" || value === 0 || (Array.isArray(value) && value.length === 0);
		if (!isEmpty || ALWAYS.includes(name)) object[name] = value;
	}
	return object;
}

function list<T>(key: string, items: readonly T[] | undefined, render: (item: T) => JsonValue): JsonObject {
	return items === undefined || items.length === 0 ? {} : { [key]: items.map(render) };
}
