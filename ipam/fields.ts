/**
 * Fields that IPAM configurations share: addresses, CIDRs and routes, with Go's sentences and Go's spelling in results.
 */
import type { z } from "zod";
import { CniError, Code } from "../lib/cni/error.ts";
import { isObject } from "../lib/cni/json.ts";
import { foldKeys } from "../lib/cni/keys.ts";
import { excerpt } from "../lib/cni/quote.ts";
import type { routeConfig } from "../lib/cni/schema.ts";
import type { CniRoute, JsonObject, JsonValue } from "../lib/cni/types.ts";
import { isAtLeast } from "../lib/cni/version.ts";
import { canonicalIp, type Family, familyOf, type Ip, parseIp } from "../lib/ip/address.ts";
import { areCanonical, type Cidr, canonicalCidr, parseCidr } from "../lib/ip/cidr.ts";

/** Code 7: what the configuration says cannot be. */
export const invalidConfig = (message: string, details?: string): CniError =>
	new CniError(Code.invalidConfig, message, details);

/** `ipam` of a configuration, its keys spelled as in `keys`, nothing in it checked. Throws code 6 or 7. */
export function ipamIn(config: JsonObject, keys: Parameters<typeof foldKeys>[1]): JsonObject {
	const { ipam } = foldKeys(config, keys) as { ipam?: JsonValue };
	if (ipam === undefined) throw invalidConfig("IPAM config missing 'ipam' key");
	if (!isObject(ipam)) throw new CniError(Code.decoding, `ipam must be an object, not ${excerpt(ipam)}`);
	return ipam;
}

type RouteConfig = z.infer<typeof routeConfig>;

/**
 * `ipam.routes` for the result: host bits of `dst` stay, as in Go. Throws code 7 for what is no CIDR or no address, and
 * for a gateway of another family, with which every main plugin of Go's fails, too.
 */
export function resultRoutes(routes: readonly RouteConfig[] = []): CniRoute[] {
	return routes.map((route, index) => {
		const { mtu, advmss, priority, table, scope } = route;
		const result = nextHop(route, index);
		if (mtu !== undefined) result.mtu = mtu;
		if (advmss !== undefined) result.advmss = advmss;
		if (priority !== undefined) result.priority = priority;
		if (table !== undefined) result.table = table;
		if (scope !== undefined) result.scope = scope;
		return result;
	});
}

function nextHop({ dst: dstText, gw: gwText }: RouteConfig, index: number): CniRoute {
	if (gwText && areCanonical(dstText, gwText)) return { dst: dstText, gw: gwText };
	const gw = gwText ? (canonicalIp(gwText) ?? refuseAddress(gwText, `ipam.routes[${index}].gw`)) : undefined;
	const dst = canonicalCidr(dstText) ?? refuseCidr(dstText, `ipam.routes[${index}].dst`);
	if (gw === undefined) return { dst };
	if (familyOf(gw) !== familyOf(dst)) {
		const reason = `gateway ${gwText} of the route to ${dstText} is of another address family`;
		throw invalidConfig(reason, `field ipam.routes[${index}].gw`);
	}
	return { dst, gw };
}

/** Throws code 7 where a result of this version cannot hold one address of each: before 0.3.0 it has one a family. */
export function requireOnePerFamily(families: readonly Family[], cniVersion: string): void {
	if (new Set(families).size === families.length || isAtLeast(cniVersion, "0.3.0")) return;
	throw invalidConfig(
		`CNI version ${cniVersion} does not support more than 1 address per family`,
		"cniVersion 0.3.0 and later do",
	);
}

/** The address of field `path`; "" is "not set", as in Go. Throws code 7 with Go's sentence. */
export function optionalAddress(text: string | undefined, path: string): Ip | undefined {
	if (text === undefined || text === "") return undefined;
	return parseIp(text) ?? refuseAddress(text, path);
}

/** The CIDR of field `path`. Throws code 7 with Go's sentence. */
export function requireCidr(text: string, path: string): Cidr {
	return parseCidr(text) ?? refuseCidr(text, path);
}

/** Throws Go's sentence for what is no address, code 7. */
export function refuseAddress(text: string, path: string): never {
	throw invalidConfig(`invalid IP address: ${text}`, `field ${path}`);
}

function refuseCidr(text: string, path: string): never {
	throw invalidConfig(`invalid CIDR address: ${text}`, `field ${path}`);
}
