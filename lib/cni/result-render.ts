/**
 * Results of ADD as each version of the specification has them, with the order of keys and the omissions of Go.
 *
 * Source: containernetworking/cni v1.3.0, pkg/types/020, /040, /100. What is empty or 0 is left out as in Go; `interface`,
 * `table` and `scope` are pointers there, so their 0 stays.
 */
import { as020, as040 } from "./result-render-old.ts";
import type { CniInterface, CniIp, CniResult, CniRoute, JsonObject, JsonValue } from "./types.ts";
import { requireSupported } from "./version.ts";

/** `result` in the shape of `cniVersion`. Throws code 7 where that version cannot hold it: 0.1.0 and 0.2.0 need an address. */
export function resultAsVersion(result: CniResult, cniVersion: string): JsonObject {
	requireSupported(cniVersion);
	switch (cniVersion) {
		case "0.1.0":
		case "0.2.0":
			return as020(result, cniVersion);
		case "0.3.0":
		case "0.3.1":
		case "0.4.0":
			return as040(result, cniVersion);
		default:
			return as100(result, cniVersion);
	}
}

/** Keys sorted on every level: Go sends this one through a map. */
function as100(result: CniResult, cniVersion: string): JsonObject {
	const { nameservers, domain, search, options } = result.dns ?? {};
	const dns = compact({
		domain,
		...strings("nameservers", nameservers),
		...strings("options", options),
		...strings("search", search),
	});
	return {
		cniVersion,
		...(Object.keys(dns).length > 0 ? { dns } : {}),
		...list("interfaces", result.interfaces, ({ mac, mtu, name, pciID, sandbox, socketPath }) => ({
			...compact({ mac, mtu: mtu || undefined }),
			name,
			...compact({ pciID, sandbox, socketPath }),
		})),
		...list("ips", result.ips, (ip) => compact({ address: ip.address, gateway: ip.gateway, interface: ip.interface })),
		...list("routes", result.routes, ({ advmss, dst, gw, mtu, priority, scope, table }) =>
			compact({
				advmss: advmss || undefined,
				dst,
				gw,
				mtu: mtu || undefined,
				priority: priority || undefined,
				scope,
				table,
			}),
		),
	};
}

/** Without members that are undefined or "". */
export function compact(members: { [key: string]: JsonValue | undefined }): JsonObject {
	const object: JsonObject = {};
	for (const key in members) {
		const value = members[key];
		if (value !== undefined && value !== "") object[key] = value;
	}
	return object;
}

export function list<T extends CniInterface | CniIp | CniRoute>(
	key: string,
	items: readonly T[] | undefined,
	render: (item: T) => JsonObject,
): JsonObject {
	return items === undefined || items.length === 0 ? {} : { [key]: items.map(render) };
}

export function strings(key: string, items: readonly string[] | undefined): JsonObject {
	return items === undefined || items.length === 0 ? {} : { [key]: [...items] };
}
