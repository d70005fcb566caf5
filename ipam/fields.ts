/**
 * Fields that IPAM configurations share: addresses, CIDRs and routes, with Go's sentences and Go's spelling in results.
 */
import type { z } from "zod";
import { CniError, Code } from "../lib/cni/error.ts";
import type { routeConfig } from "../lib/cni/schema.ts";
import type { CniRoute } from "../lib/cni/types.ts";
import { formatIp, type Ip, parseIp } from "../lib/ip/address.ts";
import { type Cidr, formatCidr, parseCidr } from "../lib/ip/cidr.ts";

type RouteConfig = z.infer<typeof routeConfig>;

/**
 * `ipam.routes` for the result: host bits of `dst` stay, as in Go. Throws code 7 for what is no CIDR or no address, and for a gateway of
 * another family, with which every main plugin of Go's fails, too.
 */
export function resultRoutes(routes: readonly RouteConfig[] = []): CniRoute[] {
	return routes.map(({ dst, gw, mtu, advmss, priority, table, scope }, index) => {
		const gateway = optionalAddress(gw, `ipam.routes[${index}].gw`);
		const destination = requireCidr(dst, `ipam.routes[${index}].dst`);
		if (gateway !== undefined && gateway.family !== destination.ip.family) {
			const reason = `gateway ${gw} of the route to ${dst} is of another address family`;
			throw new CniError(Code.invalidConfig, reason, `field ipam.routes[${index}].gw`);
		}
		return {
			dst: formatCidr(destination),
			...(gateway && { gw: formatIp(gateway) }),
			...(mtu !== undefined && { mtu }),
			...(advmss !== undefined && { advmss }),
			...(priority !== undefined && { priority }),
			...(table !== undefined && { table }),
			...(scope !== undefined && { scope }),
		};
	});
}

/** The address of field `path`; "" is "not set", as in Go. Throws code 7 with Go's sentence. */
export function optionalAddress(text: string | undefined, path: string): Ip | undefined {
	if (text === undefined || text === "") return undefined;
	const ip = parseIp(text);
	if (ip === undefined) throw new CniError(Code.invalidConfig, `invalid IP address: ${text}`, `field ${path}`);
	return ip;
}

/** The CIDR of field `path`. Throws code 7 with Go's sentence. */
export function requireCidr(text: string, path: string): Cidr {
	const cidr = parseCidr(text);
	if (cidr === undefined) throw new CniError(Code.invalidConfig, `invalid CIDR address: ${text}`, `field ${path}`);
	return cidr;
}
