/**
 * Results as they come in: a delegate's answer, the prevResult of a chain. Any version of the specification, made into
 * the newest form.
 *
 * Source: containernetworking/cni v1.3.0, pkg/types (up-conversions), pkg/version ParsePrevResult, pkg/invoke
 * fixupResultVersion.
 */
import validator from "validator:cni-result";
import { canonicalIp } from "../ip/address.ts";
import { areCanonical, canonicalCidr } from "../ip/cidr.ts";
import { loadConfig } from "./config.ts";
import { CniError, Code } from "./error.ts";
import { isObject } from "./json.ts";
import { foldKeys, memberOf } from "./keys.ts";
import { mapped } from "./mapped.ts";
import { excerpt, quote } from "./quote.ts";
import type { RawResult } from "./result-schema.ts";
import type { CniDns, CniInterface, CniIp, CniResult, CniRoute, JsonObject, JsonValue, Request } from "./types.ts";
import { isSupported } from "./version.ts";

/** The types of Go's library: versions of one family have one shape. The first of 0.1.0's is Go's "no version". */
const FAMILIES: readonly (readonly string[])[] = [
	["", "0.1.0", "0.2.0"],
	["0.3.0", "0.3.1", "0.4.0"],
	["1.0.0", "1.1.0"],
];

/**
 * A result of any version. Without a `cniVersion` of its own it is taken for one of `configVersion`; null is an empty
 * one. Throws code 6 for wrong types and unknown versions, 7 for what is no address.
 */
export function parseResult(json: JsonValue, configVersion: string): CniResult {
	return fromRaw(readRaw(json), configVersion);
}

function fromRaw(raw: RawResult, configVersion: string): CniResult {
	const version = raw.cniVersion || configVersion;
	if (!isSupported(version)) {
		throw new CniError(Code.decoding, `unsupported CNI result version ${quote(version)}`);
	}
	return version === "0.1.0" || version === "0.2.0" ? from020(raw) : from030(raw);
}

/**
 * The result that the plugins before this one made, or undefined where there is none. It must be of the configuration's
 * own version, or of one with the same shape. Throws code 6 or 7.
 */
export function parsePrevResult(request: Request): CniResult | undefined {
	return parsePrevious(request, memberOf(request.config, "prevResult"));
}

/** The addresses of `parsePrevResult`. Of its routes, of which there may be thousands, nothing is read. */
export function previousAddresses(request: Request): readonly CniIp[] | undefined {
	const prevResult = memberOf(request.config, "prevResult");
	const previous = parsePrevious(request, isObject(prevResult) ? withoutRoutes(prevResult) : prevResult);
	return previous && (previous.ips ?? []);
}

const ROUTES = { members: Object.assign(Object.create(null), { routes: {} }) };

function withoutRoutes(prevResult: JsonObject): JsonObject {
	const { routes: _, ...others } = foldKeys(prevResult, ROUTES) as JsonObject;
	return others as JsonObject;
}

function parsePrevious(request: Request, prevResult: JsonValue | undefined): CniResult | undefined {
	if (prevResult === undefined) return undefined;
	try {
		const raw = readRaw(prevResult);
		const version = raw.cniVersion ?? request.cniVersion;
		if (version !== request.cniVersion) requireOneFamily(version, request.cniVersion);
		return fromRaw(raw, request.cniVersion);
	} catch (error) {
		if (!(error instanceof CniError)) throw error;
		throw new CniError(error.code, `could not parse prevResult: ${error.message}`, error.details);
	}
}

function requireOneFamily(version: string, configVersion: string): void {
	const family: readonly string[] = FAMILIES.find((versions) => versions.includes(configVersion))!;
	if (family.includes(version)) return;
	throw new CniError(
		Code.decoding,
		`result type supports [${family.join(" ")}] but unmarshalled CNIVersion is ${quote(version)}`,
	);
}

function readRaw(json: JsonValue): RawResult {
	const object = json ?? {};
	if (!isObject(object)) throw new CniError(Code.decoding, `the result must be an object, not ${excerpt(object)}`);
	return loadConfig<RawResult>(object, validator);
}

/** IPv4 first, then IPv6; their routes in the same order. */
function from020({ ip4, ip6, dns }: RawResult): CniResult {
	const ips: CniIp[] = [];
	const routes: CniRoute[] = [];
	for (const [key, side] of [
		["ip4", ip4],
		["ip6", ip6],
	] as const) {
		if (side === undefined) continue;
		ips.push(readIp({ address: side.ip, gateway: side.gateway }, key));
		for (const [index, route] of (side.routes ?? []).entries()) routes.push(readRoute(route, index, `${key}.routes`));
	}
	return assemble([], ips, routes, dns);
}

function from030({ interfaces, ips, routes, dns }: RawResult): CniResult {
	return assemble(mapped(interfaces, readInterface), mapped(ips, readIp), mapped(routes, readRoute), dns);
}

function assemble(interfaces: CniInterface[], ips: CniIp[], routes: CniRoute[], dns: RawResult["dns"]): CniResult {
	const result: CniResult = {};
	if (interfaces.length > 0) result.interfaces = interfaces;
	if (ips.length > 0) result.ips = ips;
	if (routes.length > 0) result.routes = routes;
	if (dns !== undefined) {
		const read = readDns(dns);
		if (Object.keys(read).length > 0) result.dns = read;
	}
	return result;
}

function readInterface(raw: NonNullable<RawResult["interfaces"]>[number]): CniInterface {
	const read: CniInterface = { name: raw.name ?? "" };
	if (raw.mac) read.mac = raw.mac;
	if (raw.mtu) read.mtu = raw.mtu;
	if (raw.sandbox) read.sandbox = raw.sandbox;
	if (raw.socketPath) read.socketPath = raw.socketPath;
	if (raw.pciID) read.pciID = raw.pciID;
	return read;
}

type RawIp = NonNullable<RawResult["ips"]>[number];

/** `at`: its number in `ips`, or what it is called in 0.2.0. */
function readIp({ address, gateway, interface: index }: RawIp, at: number | "ip4" | "ip6"): CniIp {
	// "" is "not set", as in Go.
	const isPlain = gateway ? areCanonical(address, gateway) : false;
	const ip: CniIp = { address: (isPlain ? address : canonicalCidr(address)) ?? refuseCidr(address, addressPlace(at)) };
	if (index !== undefined) ip.interface = index;
	if (gateway) ip.gateway = (isPlain ? gateway : canonicalIp(gateway)) ?? refuseAddress(gateway, gatewayPlace(at));
	return ip;
}

const addressPlace = (at: number | string): string => (typeof at === "number" ? `ips[${at}].address` : `${at}.ip`);
const gatewayPlace = (at: number | string): string => `${typeof at === "number" ? `ips[${at}]` : at}.gateway`;

function readRoute(raw: NonNullable<RawResult["routes"]>[number], index: number, list = "routes"): CniRoute {
	const route: CniRoute = { dst: canonicalCidr(raw.dst) ?? refuseCidr(raw.dst, `${list}[${index}].dst`) };
	if (raw.gw) route.gw = canonicalIp(raw.gw) ?? refuseAddress(raw.gw, `${list}[${index}].gw`);
	if (raw.mtu) route.mtu = raw.mtu;
	if (raw.advmss) route.advmss = raw.advmss;
	if (raw.priority) route.priority = raw.priority;
	if (raw.table !== undefined) route.table = raw.table;
	if (raw.scope !== undefined) route.scope = raw.scope;
	return route;
}

function readDns(raw: NonNullable<RawResult["dns"]>): CniDns {
	const dns: CniDns = {};
	if (raw.nameservers?.length) dns.nameservers = raw.nameservers;
	if (raw.domain) dns.domain = raw.domain;
	if (raw.search?.length) dns.search = raw.search;
	if (raw.options?.length) dns.options = raw.options;
	return dns;
}

function refuseCidr(text: string, place: string): never {
	throw new CniError(Code.invalidConfig, `${place} must be an address with a prefix length, not ${quote(text)}`);
}

function refuseAddress(text: string, place: string): never {
	throw new CniError(Code.invalidConfig, `${place} must be an IP address, not ${quote(text)}`);
}
