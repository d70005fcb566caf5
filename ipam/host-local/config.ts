/**
 * What host-local is told: configuration, CNI_ARGS and capabilities, read in the Go plugin's order.
 */
import validator from "validator:host-local";
import { parseCniArgs } from "../../lib/cni/args.ts";
import { loadConfig } from "../../lib/cni/config.ts";
import { CniError, Code } from "../../lib/cni/error.ts";
import { quote } from "../../lib/cni/quote.ts";
import type { Request } from "../../lib/cni/types.ts";
import { type Ip, parseIp, sameIp } from "../../lib/ip/address.ts";
import { parseCidr } from "../../lib/ip/cidr.ts";
import { invalidConfig, ipamIn, optionalAddress, requireOnePerFamily, resultRoutes } from "../fields.ts";
import { completeSet, type ReadRange, readRange, requireDisjoint } from "./ranges.ts";
import type { HostLocalConfig, RangeConfig } from "./schema.ts";
import { IPAM_KEYS } from "./settings.ts";

/** The configuration of `request`, every check made. Throws code 4 (CNI_ARGS), 6 (wrong type) or 7. */
export function loadHostLocal(request: Request) {
	ipamIn(request.config, IPAM_KEYS);
	const config = loadConfig<HostLocalConfig>(request.config, validator);
	const { ipam } = config;
	const legacy = readLegacyRange(ipam);
	const ranges = readSets(ipam.ranges, "ipam.ranges");
	const routes = resultRoutes(ipam.routes);
	const runtimeRanges = readSets(config.runtimeConfig?.ipRanges, "runtimeConfig.ipRanges");
	const requested = readRequested(request.args, config);

	const read = [...runtimeRanges, ...(legacy ? [[legacy]] : []), ...ranges];
	// No range may still come by capability `ipRanges`, which a runtime does not pass with STATUS.
	if (read.length === 0 && request.verb !== "STATUS") throw invalidConfig("no IP ranges specified");
	const sets = read.map(completeSet);
	const families = sets.map(([range]) => range!.start.family);
	requireOnePerFamily(families, request.cniVersion);
	requireDisjoint(sets);
	return {
		/** Each gives one address; in the order of the result and of the files `last_reserved_ip.N`. */
		sets,
		/** Addresses asked for, without repetitions. */
		requested,
		routes,
		/** Path, or "". */
		resolvConf: ipam.resolvConf ?? "",
	};
}

/**
 * The short form: fields of a range next to `ranges`. Without a subnet they mean nothing, but must still be addresses.
 */
function readLegacyRange(ipam: HostLocalConfig["ipam"]): ReadRange | undefined {
	if (ipam.subnet !== undefined) return readRange(ipam as RangeConfig, "ipam");
	for (const key of ["rangeStart", "rangeEnd", "gateway"] as const) optionalAddress(ipam[key], `ipam.${key}`);
	if (ipam.exclude?.length) {
		throw invalidConfig("ipam.exclude needs ipam.subnet beside it", "a range of `ranges` has its own");
	}
	return undefined;
}

function readSets(sets: readonly (readonly RangeConfig[])[] = [], path: string): ReadRange[][] {
	return sets.map((set, i) => set.map((range, j) => readRange(range, `${path}[${i}][${j}]`)));
}

/** Go merges the three sources, it does not let one override another. */
function readRequested(args: string, config: HostLocalConfig): Ip[] {
	const inConfig = (config.args?.cni?.ips ?? []).map((text, i) => readRequest(text, `args.cni.ips[${i}]`));
	const inRuntime = (config.runtimeConfig?.ips ?? []).map((text, i) => readRequest(text, `runtimeConfig.ips[${i}]`));
	const requested: Ip[] = [];
	for (const ip of [readEnvironmentRequest(args), ...inConfig, ...inRuntime]) {
		if (ip !== undefined && !requested.some((other) => sameIp(other, ip))) requested.push(ip);
	}
	return requested;
}

/** CNI_ARGS `IP`; "" is "not set". */
function readEnvironmentRequest(args: string): Ip | undefined {
	const { IP: text = "" } = parseCniArgs(args, ["IP"]);
	if (text === "") return undefined;
	const ip = parseRequest(text);
	if (ip !== undefined) return ip;
	const pair = quote(`IP=${text}`);
	throw new CniError(Code.invalidEnvironment, `ARGS: error parsing value of pair ${pair}: invalid IP address ${text}`);
}

function readRequest(text: string, path: string): Ip {
	// Go takes "" for an address of no bytes, and then cannot say what family that is.
	if (text === "") throw invalidConfig("cannot understand ip: IP <nil> not v4 nor v6", `field ${path} is empty`);
	const ip = parseRequest(text);
	if (ip === undefined) throw invalidConfig(`invalid IP address ${text}`, `field ${path}`);
	return ip;
}

/** An address with or without a prefix length, which is dropped. */
function parseRequest(text: string): Ip | undefined {
	return text.includes("/") ? parseCidr(text)?.ip : parseIp(text);
}
