/**
 * Fields that IPAM configurations share: addresses, CIDRs and routes, with Go's sentences and Go's spelling in results.
 */
import type { z } from "zod";
import { CniError, Code } from "../lib/cni/error.ts";
import type { routeConfig } from "../lib/cni/schema.ts";
import type { CniRoute } from "../lib/cni/types.ts";
import { canonicalIp, type Ip, parseIp } from "../lib/ip/address.ts";
import { type Cidr, canonicalCidr, parseCidr } from "../lib/ip/cidr.ts";

type RouteConfig = z.infer<typeof routeConfig>;

/**
 * `ipam.routes` for the result: host bits of `dst` stay, as in Go. Throws code 7 for what is no CIDR or no address, and for a gateway of
 * another family, with which every main plugin of Go's fails, too.
 */
export function resultRoutes(routes: readonly RouteConfig[] = []): CniRoute[] {
	return routes.map((route, index) => {
		const { mtu, advmss, priority, table, scope } = route;
		const gw = route.gw ? (canonicalIp(route.gw) ?? noAddress(route.gw, `ipam.routes[${index}].gw`)) : undefined;
		const dst = canonicalCidr(route.dst) ?? noCidr(route.dst, `ipam.routes[${index}].dst`);
		if (gw !== undefined && gw.includes(":") !== dst.includes(":")) {
			const reason = `gateway ${route.gw} of the route to ${route.dst} is of another address family`;
			throw new CniError(Code.invalidConfig, reason, `field ipam.routes[${index}].gw`);
		}
		const result: CniRoute = { dst };
		if (gw !== undefined) result.gw = gw;
		if (mtu !== undefined) result.mtu = mtu;
		if (advmss !== undefined) result.advmss = advmss;
		if (priority !== undefined) result.priority = priority;
		if (table !== undefined) result.table = table;
		if (scope !== undefined) result.scope = scope;
		return result;
	});
}

/** The address of field `path`; "" is "not set", as in Go. Throws code 7 with Go's sentence. */
export function optionalAddress(text: string | undefined, path: string): Ip | undefined {
	if (text === undefined || text === "") return undefined;
	return parseIp(text) ?? noAddress(text, path);
}

/** The CIDR of field `path`. Throws code 7 with Go's sentence. */
export function requireCidr(text: string, path: string): Cidr {
	return parseCidr(text) ?? noCidr(text, path);
}

/** Throws Go's sentence for what is no address, code 7. */
export function noAddress(text: string, path: string): never {
	throw new CniError(Code.invalidConfig, `invalid IP address: ${text}`, `field ${path}`);
}

function noCidr(text: string, path: string): never {
	throw new CniError(Code.invalidConfig, `invalid CIDR address: ${text}`, `field ${path}`);
}
