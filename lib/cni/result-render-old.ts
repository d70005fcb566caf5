/**
 * Results of ADD in the versions before 1.0.0: see result-render.ts.
 */
import { CniError, Code } from "./error.ts";
import { compact, list, strings } from "./result-render.ts";
import type { CniDns, CniIp, CniResult, JsonObject } from "./types.ts";

/** One address per family, each with the routes of its family; the rest is dropped. */
export function as020(result: CniResult, cniVersion: string): JsonObject {
	const ip4 = result.ips?.find((ip) => family(ip.address) === "4");
	const ip6 = result.ips?.find((ip) => family(ip.address) === "6");
	if (ip4 === undefined && ip6 === undefined) {
		throw new CniError(
			Code.invalidConfig,
			"cannot convert: no valid IP addresses",
			`cniVersion ${cniVersion} has no result without an address; 0.3.0 and later have`,
		);
	}
	const side = (ip: CniIp | undefined, version: "4" | "6"): JsonObject | undefined =>
		ip && {
			...compact({ ip: ip.address, gateway: ip.gateway }),
			...list(
				"routes",
				result.routes?.filter((route) => family(route.dst) === version),
				({ dst, gw }) => compact({ dst, gw }),
			),
		};
	return compact({ cniVersion, ip4: side(ip4, "4"), ip6: side(ip6, "6"), dns: dns040(result.dns) });
}

export function as040(result: CniResult, cniVersion: string): JsonObject {
	return {
		cniVersion,
		...list("interfaces", result.interfaces, ({ name, mac, sandbox }) => ({ name, ...compact({ mac, sandbox }) })),
		...list("ips", result.ips, (ip) =>
			compact({ version: family(ip.address), interface: ip.interface, address: ip.address, gateway: ip.gateway }),
		),
		...list("routes", result.routes, ({ dst, gw, mtu, advmss, priority, table, scope }) =>
			compact({
				dst,
				gw,
				mtu: mtu || undefined,
				advmss: advmss || undefined,
				priority: priority || undefined,
				table,
				scope,
			}),
		),
		dns: dns040(result.dns),
	};
}

function dns040(dns: CniDns | undefined): JsonObject {
	return compact({
		...strings("nameservers", dns?.nameservers),
		domain: dns?.domain,
		...strings("search", dns?.search),
		...strings("options", dns?.options),
	});
}

/** "4" or "6". Addresses are canonical: only IPv6 has a colon. */
function family(address: string): "4" | "6" {
	return address.includes(":") ? "6" : "4";
}
