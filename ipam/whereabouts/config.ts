/**
 * What whereabouts is told: the configuration, the flat file below it, CNI_ARGS and capabilities.
 */
import validator from "validator:whereabouts";
import { parseCniArgs } from "../../lib/cni/args.ts";
import { loadConfig } from "../../lib/cni/config.ts";
import { CniError, Code } from "../../lib/cni/error.ts";
import { sentence } from "../../lib/cni/failures.ts";
import { quote } from "../../lib/cni/quote.ts";
import type { CniDns, CniIp, JsonObject, JsonValue, Request } from "../../lib/cni/types.ts";
import { familyOf, formatIp, type Ip, parseIp } from "../../lib/ip/address.ts";
import { canonicalCidr, contains, formatCidr, parseCidr } from "../../lib/ip/cidr.ts";
import { rangesOverlap } from "../../lib/ip/range.ts";
import { object, text } from "../../lib/state/json.ts";
import { readTextIfPresent } from "../../lib/sys/files.ts";
import { invalidConfig, ipamIn, optionalAddress, requireCidr, resultRoutes } from "../fields.ts";
import { mayHandOut, type PoolRange, type RangeConfig, readRange } from "./ranges.ts";
import type { WhereaboutsConfig } from "./schema.ts";
import { OBJECT_NAME, readSlicing } from "./slicing.ts";

export const DEFAULT_DATA_DIR = "/var/lib/cni/whereabouts";

/** Where the Go project's installer puts the flat file. */
const FLAT_FILES = ["/etc/kubernetes/cni/net.d", "/etc/cni/net.d", "/host/etc/cni/net.d"].map(
	(directory) => `${directory}/whereabouts.d/whereabouts.conf`,
);

export type Whereabouts = ReturnType<typeof loadWhereabouts>;

/** What of it a release needs. */
export type ReleaseSettings = Pick<Whereabouts, "dataDir" | "reuseDelayMs">;

/**
 * The members of `ipam` that every verb needs, as far as they can be read; DEL and GC must not fail for others. Throws
 * code 6 or 7 for what is no configuration of ours at all.
 */
export function settingsOf(request: Request) {
	const { dataDir, reuseDelaySeconds, kubernetes, log_file, log_level } = usableIpam(request);
	return {
		dataDir: text(dataDir) || DEFAULT_DATA_DIR,
		reuseDelayMs: typeof reuseDelaySeconds === "number" ? Math.max(0, reuseDelaySeconds) * 1000 : 0,
		/** Path, or "". */
		kubeconfig: text(object(kubernetes)?.kubeconfig),
		logFile: text(log_file),
		logLevel: text(log_level),
	};
}

/** The configuration of `request`, every check made. Throws code 4 (CNI_ARGS), 6 (wrong type) or 7. */
export function loadWhereabouts(request: Request) {
	const whole = { ...request.config, ipam: ipamOf(request) };
	const config = loadConfig<WhereaboutsConfig>(whole, validator);
	const { ipam, args, runtimeConfig, deviceID, pciBusID, allowPersistentIPs } = config;
	const kubeconfig = ipam.kubernetes?.kubeconfig ?? "";
	if (kubeconfig === "") {
		throw invalidConfig(
			"you have not configured the storage engine (looks like you're using an invalid `kubernetes.kubeconfig` parameter in your config)",
			`ipam.kubernetes.kubeconfig, here or in ${FLAT_FILES[0]}`,
		);
	}
	// A process that writes later has another working directory.
	for (const [key, path] of [
		["kubernetes.kubeconfig", kubeconfig],
		["dataDir", ipam.dataDir ?? "/"],
	] as const) {
		if (!path.startsWith("/")) throw invalidConfig(`ipam.${key} ${quote(path)} must begin with "/"`);
	}
	const networkName = ipam.network_name ?? "";
	if (networkName !== "" && !OBJECT_NAME.test(networkName)) {
		throw invalidConfig(
			`ipam.network_name ${quote(networkName)} must be lower-case letters, digits, "-" and ".", with a letter or digit at the ends of each part: objects are named after it`,
		);
	}
	const gateway = optionalAddress(ipam.gateway, "ipam.gateway");
	const ranges: readonly PoolRange[] = rangeConfigs(ipam).map(([range, path]) => readRange(range, gateway, path));
	if (ranges.length === 0) {
		const reason = "invalid CIDR (do you have the 'range' parameter set for Whereabouts?) '': there is no range";
		throw invalidConfig(reason, "ipam.range or ipam.ipRanges");
	}
	requireDisjoint(ranges);
	for (const [isThere, key] of [
		[ipam.node_slice_size, "node_slice_size: a block's addresses stay on its node"],
		[ipam.enable_overlapping_ranges === false, "enable_overlapping_ranges false: a claim is kept as a reservation"],
	]) {
		if (!allowPersistentIPs || !isThere) continue;
		throw invalidConfig(`allowPersistentIPs cannot be had with ipam.${key}`);
	}
	if (ipam.reuseDelaySeconds && ipam.enable_overlapping_ranges === false) {
		const reason = "ipam.reuseDelaySeconds cannot be had with ipam.enable_overlapping_ranges false";
		throw invalidConfig(reason, "a reservation says that an address waits");
	}
	const wanted = readRequests(request.args, [...(args?.cni?.ips ?? []), ...(runtimeConfig?.ips ?? [])], ranges);
	return {
		/** Each gives one address. */
		ranges,
		/** Addresses that are wanted, each of one range. */
		requested: wanted.requested,
		networkName,
		/** Whether an address is claimed by a reservation, so that no other range hands it out. */
		isExclusive: ipam.enable_overlapping_ranges ?? true,
		/** Whether a pod may name an IPAMClaim. */
		mayClaim: allowPersistentIPs ?? false,
		policy: ipam.allocationPolicy ?? "hashed",
		/** Stand in the result after those of the ranges. */
		addresses: [...(ipam.addresses ?? []).map(staticAddress), ...wanted.addresses],
		routes: resultRoutes(ipam.routes),
		dns: ipam.dns as CniDns | undefined,
		kubeconfig,
		dataDir: ipam.dataDir || DEFAULT_DATA_DIR,
		/** Before a released address is handed out again. */
		reuseDelayMs: (ipam.reuseDelaySeconds ?? 0) * 1000,
		/** Where nodes have blocks of the range; then there is one range. */
		slicing: readSlicing(ipam, networkName || request.network, networkName, ranges),
		/** Files that may have the node's name in them. */
		nodeNameFiles: nodeNameFiles(ipam.configuration_path),
		/** PCI address of the VF that is attached; "" where the configuration names none. */
		device: (deviceID || runtimeConfig?.deviceID || pciBusID || "").toLowerCase(),
	};
}

/** As the Go plugin, which has `configuration_path` for a file and for its directory. */
function nodeNameFiles(path: string | undefined): string[] {
	return path
		? [`${path}/nodename`, `${parentOf(path)}/nodename`]
		: FLAT_FILES.map((file) => `${parentOf(file)}/nodename`);
}

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf("/"));

function rangeConfigs(ipam: WhereaboutsConfig["ipam"]): (readonly [RangeConfig, string])[] {
	const first = ipam.range ? [[{ ...ipam, range: ipam.range, gateway: undefined }, "ipam"] as const] : [];
	return [...first, ...(ipam.ipRanges ?? []).map((range, index) => [range, `ipam.ipRanges[${index}]`] as const)];
}

/** Of two ranges of one network, each would hand out what the other one has. */
function requireDisjoint(ranges: readonly PoolRange[]): void {
	for (const [index, range] of ranges.entries()) {
		const same = ranges.findIndex((other) => rangesOverlap(range, other));
		if (same !== index) {
			throw invalidConfig(`ranges ${same} and ${index} have addresses of ${formatCidr(range.network)} in common`);
		}
	}
}

function staticAddress(entry: { address: string; gateway?: string | undefined }, index: number): CniIp {
	const address = canonicalCidr(entry.address);
	if (address === undefined) {
		const reason = `invalid CIDR in addresses ${entry.address}: invalid CIDR address: ${entry.address}`;
		throw invalidConfig(reason, `field ipam.addresses[${index}].address`);
	}
	const gateway = optionalAddress(entry.gateway, `ipam.addresses[${index}].gateway`);
	return gateway === undefined ? { address } : { address, gateway: formatIp(gateway) };
}

/**
 * Addresses that are asked for. One of a range is claimed in it; another one of CNI_ARGS stands in the result as it
 * is, as with the Go plugin.
 */
function readRequests(
	args: string,
	ips: readonly string[],
	ranges: readonly PoolRange[],
): { requested: readonly Ip[]; addresses: CniIp[] } {
	const { IP = "", GATEWAY = "" } = parseCniArgs(args, ARGS);
	const requested: Ip[] = [];
	const addresses: CniIp[] = [];
	for (const given of IP.split(",").filter((each) => each !== "")) {
		const ip = parseIp(given) ?? parseCidr(given)?.ip;
		if (ip === undefined) throw new CniError(Code.invalidEnvironment, `invalid address in CNI_ARGS IP: ${given}`);
		if (ranges.some((range) => contains(range.network, ip))) requested.push(ip);
		else addresses.push({ address: formatCidr(requireCidr(given, "CNI_ARGS IP")) });
	}
	for (const given of GATEWAY.split(",").filter((each) => each !== "")) {
		const gateway = parseIp(given);
		if (gateway === undefined) throw new CniError(Code.invalidEnvironment, `invalid gateway address: ${given}`);
		for (const entry of addresses) {
			if (contains(parseCidr(entry.address)!, gateway)) entry.gateway = formatIp(gateway);
		}
	}
	for (const given of ips) {
		const ip = given.includes("/") ? parseCidr(given)?.ip : parseIp(given);
		if (ip === undefined) throw invalidConfig(`invalid IP address ${given}`, "ips");
		requested.push(ip);
	}
	for (const ip of requested) {
		if (ranges.some((range) => mayHandOut(range, ip))) continue;
		throw invalidConfig(
			`requested address ${formatIp(ip)} is in no range that could hand it out`,
			ranges.map(({ network }) => formatCidr(network)).join(", "),
		);
	}
	for (const range of ranges) {
		const several = requested.filter((ip) => mayHandOut(range, ip)).map(formatIp);
		if (several.length <= 1) continue;
		const reason = `${several.join(" and ")} are requested of ${formatCidr(range.network)}, which gives one address`;
		throw invalidConfig(reason);
	}
	return { requested, addresses };
}

/** Of CNI_ARGS. */
const ARGS = ["K8S_POD_NAME", "K8S_POD_NAMESPACE", "K8S_POD_INFRA_CONTAINER_ID", "K8S_POD_UID", "IP", "GATEWAY"];

/** "namespace/name" of the pod. Throws code 4 where CNI_ARGS do not name it. */
export function podRefOf({ args }: Request): string {
	const { K8S_POD_NAME: name, K8S_POD_NAMESPACE: namespace = "" } = parseCniArgs(args, ARGS);
	if (name && namespace) return `${namespace}/${name}`;
	const [reason, where] = name
		? ["IPAM client initialization error: no pod namespace", "K8S_POD_NAMESPACE"]
		: ["IPAM client initialization error: no pod name", "K8S_POD_NAME in CNI_ARGS"];
	throw new CniError(Code.invalidEnvironment, reason, where);
}

/** The same without a flat file that cannot be used: ADD says so, and the others go on. */
function usableIpam(request: Request): JsonObject {
	try {
		return ipamOf(request);
	} catch (error) {
		if (!(error instanceof CniError)) throw error;
		return ipamIn(request.config, validator);
	}
}

/** `ipam` with what the flat file has and it has not; keys spelled as the schema spells them. */
function ipamOf(request: Request): JsonObject {
	const own = ipamIn(request.config, validator);
	const path = text(own.configuration_path);
	const flat = readFlatFile(path === "" ? FLAT_FILES : [path]);
	if (flat === undefined) return own;
	const kubernetes = { ...object(flat.kubernetes), ...object(own.kubernetes) };
	// As in the Go plugin, what the flat file says of this does not count.
	const { enable_overlapping_ranges: _, ...below } = flat;
	return { ...below, ...own, ...(Object.keys(kubernetes).length > 0 && { kubernetes }) };
}

/** The first file that is there. Throws code 5 or 6 for one that cannot be read. */
function readFlatFile(paths: readonly string[]): JsonObject | undefined {
	for (const path of paths) {
		const json = readTextIfPresent(path);
		if (json === undefined) continue;
		try {
			return ipamIn({ ipam: JSON.parse(json) as JsonValue }, validator);
		} catch (error) {
			throw new CniError(Code.decoding, `flat file ${path}: ${sentence(error)}`);
		}
	}
	return undefined;
}

/** The gateway of the result for an address of `range`. */
export function resultAddress(range: PoolRange, ip: Ip): CniIp {
	const address = `${formatIp(ip)}/${range.network.prefix}`;
	return range.gateway === undefined || familyOf(address) !== range.gateway.family
		? { address }
		: { address, gateway: formatIp(range.gateway) };
}
