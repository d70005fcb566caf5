/**
 * What options are called, and what those of a lease mean.
 *
 * Source: RFC 2132, 3397 (domain search), 3442 (classless routes); names: those of the Go plugin and of
 * dhcp-options(5).
 */
import type { CniDns, CniResult, CniRoute } from "../../../lib/cni/types.ts";
import { readDnsName } from "../../../lib/ip/dns-name.ts";
import { decodeUtf8 } from "../../../lib/sys/sys.ts";
import { addressAt, addressesIn, u16At, u32At } from "./bytes.ts";
import { OPTION, type Options } from "./packet.ts";

const NAMES: Readonly<Record<string, number>> = {
	"subnet-mask": 1,
	routers: 3,
	"domain-name-servers": 6,
	"host-name": 12,
	"domain-name": 15,
	"interface-mtu": 26,
	"broadcast-address": 28,
	"static-routes": 33,
	"ntp-servers": 42,
	"dhcp-lease-time": 51,
	"dhcp-server-identifier": 54,
	"dhcp-renewal-time": 58,
	"dhcp-rebinding-time": 59,
	"vendor-class-identifier": 60,
	"dhcp-client-identifier": 61,
	"user-class": 77,
	"domain-search": 119,
	"classless-static-routes": 121,
	"ms-classless-static-routes": 249,
};

/** The number that `text` is or names, 1 to 254. */
export function optionNumber(text: string): number | undefined {
	if (Object.hasOwn(NAMES, text)) return NAMES[text];
	const number = /^[0-9]{1,3}$/.test(text) ? Number(text) : 0;
	return number >= 1 && number <= 254 ? number : undefined;
}

export const optionNames = (): string[] => Object.keys(NAMES);

/** What is asked for: RFC 3442 wants 121 before 3. */
export const DEFAULT_REQUEST: readonly number[] = [121, 249, 1, 3, 6, 15, 26, 28, 33, 42, 51, 54, 58, 59, 119];

/** Go's: a server that says nothing gives an hour. */
const DEFAULT_LEASE_S = 3600;
/** In seconds. */
export const FOR_EVER = 0xffffffff;

/** Infinity is for ever. T1 and T2 that make no sense are those of RFC 2131, section 4.4.5: half and seven eighths. */
export function leaseTimes(options: Options) {
	const lease = number32(options, OPTION.leaseTime) ?? DEFAULT_LEASE_S;
	if (lease === FOR_EVER) return { leaseMs: Infinity, renewMs: Infinity, rebindMs: Infinity };
	let rebind = number32(options, OPTION.rebindingTime) ?? lease * 0.875;
	if (rebind > lease || rebind === 0) rebind = lease * 0.875;
	let renew = number32(options, OPTION.renewalTime) ?? lease / 2;
	if (renew > rebind || renew === 0) renew = Math.min(lease / 2, rebind);
	return { leaseMs: lease * 1000, renewMs: renew * 1000, rebindMs: rebind * 1000 };
}

function number32(options: Options, code: number): number | undefined {
	const value = options.get(code);
	return value?.length === 4 ? u32At(value) : undefined;
}

/** The bits of option 1; undefined where it is missing, or is no mask. */
export function prefixLength(options: Options): number | undefined {
	const mask = number32(options, OPTION.subnetMask);
	if (mask === undefined) return undefined;
	const inverse = ~mask >>> 0;
	return (inverse & (inverse + 1)) === 0 ? 32 - Math.log2(inverse + 1) : undefined;
}

/** Whether an address can be one interface's: not "this network", loopback, multicast or broadcast (RFC 6890). */
export function isOfOneHost(address: string): boolean {
	const first = Number.parseInt(address, 10);
	return first !== 0 && first !== 127 && first < 224;
}

/** The addresses of an option. */
export function addresses(options: Options, code: number): string[] {
	return addressesIn(options.get(code) ?? new Uint8Array(0), 4);
}

/**
 * The result that a lease makes. Routes: option 121 alone where it is there (RFC 3442), else 249, else 33 and a default
 * route by the first router. A router 0.0.0.0 is a route on the link. `priority` 0: none.
 */
export function leaseResult(address: string, options: Options, priority: number): CniResult {
	const [router] = addresses(options, OPTION.routers);
	const mtu = options.get(OPTION.mtu);
	const more = {
		...(mtu?.length === 2 && u16At(mtu) >= 68 && { mtu: u16At(mtu) }),
		...(priority !== 0 && { priority }),
	};
	const routes = leaseRoutes(options, router).map((route) => ({ ...route, ...more }));
	const search = domainList(options.get(OPTION.domainSearch));
	const dns = dnsSettings(addresses(options, OPTION.dnsServers), search, text(options.get(OPTION.domainName)));
	return {
		ips: [{ address: `${address}/${prefixLength(options) ?? 32}`, ...(router !== undefined && { gateway: router }) }],
		...(routes.length > 0 && { routes }),
		...(Object.keys(dns).length > 0 && { dns }),
	};
}

/** DNS settings of a result, as far as there are any. */
export function dnsSettings(nameservers: string[], search: string[], domain = ""): CniDns {
	return {
		...(nameservers.length > 0 && { nameservers }),
		...(domain !== "" && { domain }),
		...(search.length > 0 && { search }),
	};
}

function leaseRoutes(options: Options, router: string | undefined): CniRoute[] {
	for (const code of [OPTION.classlessRoutes, OPTION.classlessRoutesMicrosoft]) {
		const routes = classlessRoutes(options.get(code));
		if (routes !== undefined) return routes;
	}
	const routes = classfulRoutes(options);
	if (router !== undefined) routes.push({ dst: "0.0.0.0/0", gw: router });
	return routes;
}

/**
 * RFC 3442: prefix length, as many bytes of the destination as that needs, router. Undefined: not there, or malformed.
 */
function classlessRoutes(value: Uint8Array | undefined): CniRoute[] | undefined {
	if (value === undefined || value.length === 0) return undefined;
	const routes: CniRoute[] = [];
	for (let at = 0; at < value.length; ) {
		const prefix = value[at++]!;
		const bytes = Math.ceil(prefix / 8);
		if (prefix > 32 || at + bytes + 4 > value.length) return undefined;
		const destination = new Uint8Array(4);
		destination.set(value.subarray(at, at + bytes));
		// Bits beyond the prefix must be 0, and the kernel insists on it.
		if (prefix % 8 !== 0) destination[bytes - 1]! &= 0xff << (8 - (prefix % 8));
		const gw = addressAt(value, at + bytes);
		routes.push({
			dst: `${addressAt(destination, 0)}/${prefix}`,
			...(gw === "0.0.0.0" ? { scope: RT_SCOPE_LINK } : { gw }),
		});
		at += bytes + 4;
	}
	return routes;
}

const RT_SCOPE_LINK = 253;

/**
 * Option 33: pairs of destination and router; the class of the address says how long its network is (RFC 2132, section
 * 5.8).
 */
function classfulRoutes(options: Options): CniRoute[] {
	const list = addresses(options, OPTION.staticRoutes);
	const routes: CniRoute[] = [];
	for (let at = 0; at + 2 <= list.length; at += 2) {
		const first = Number.parseInt(list[at]!, 10);
		const prefix = first < 128 ? 8 : first < 192 ? 16 : 24;
		// The default route cannot be one of these, says the RFC; multicast is none.
		if (first === 0 || first >= 224) continue;
		const parts = list[at]!.split(".");
		const dst = parts.map((part, index) => (index < prefix / 8 ? part : "0")).join(".");
		routes.push({ dst: `${dst}/${prefix}`, gw: list[at + 1]! });
	}
	return routes;
}

/** Some servers send a final NUL. */
function text(value: Uint8Array | undefined): string {
	return value === undefined ? "" : decodeUtf8(value).replace(/\0+$/, "");
}

/** RFC 3397: names as in DNS, with its compression; what is malformed ends the list. */
export function domainList(value: Uint8Array = new Uint8Array(0)): string[] {
	const names: string[] = [];
	for (let at = 0; at < value.length; ) {
		const name = readDnsName(value, at);
		if (name === undefined) break;
		if (name.text !== "") names.push(name.text);
		at = name.end;
	}
	return names;
}
