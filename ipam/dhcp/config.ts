/**
 * What dhcp is told: the configuration and CNI_ARGS as a question for the daemon.
 */
import validator from "validator:dhcp";
import { loadConfig, usableConfig } from "../../lib/cni/config.ts";
import { CniError, Code } from "../../lib/cni/error.ts";
import { isObject } from "../../lib/cni/json.ts";
import { foldKeys } from "../../lib/cni/keys.ts";
import { nearest } from "../../lib/cni/nearest.ts";
import { quote } from "../../lib/cni/quote.ts";
import type { JsonObject, Request } from "../../lib/cni/types.ts";
import { encodeUtf8 } from "../../lib/sys/sys.ts";
import { invalidConfig } from "../fields.ts";
import { DEFAULT_SOCKET, type LeaseSpec } from "./daemon/protocol.ts";
import type { DhcpConfig } from "./schema.ts";
import { fromHex, toHex } from "./wire/bytes.ts";
import { DEFAULT_REQUEST, optionNames, optionNumber } from "./wire/options.ts";
import { OPTION } from "./wire/packet.ts";

type Ipam = DhcpConfig["ipam"];

/** Set by the client itself: a value of the user's would break the exchange. */
const OWN_OPTIONS: readonly number[] = [
	OPTION.requestedAddress,
	OPTION.overload,
	OPTION.messageType,
	OPTION.serverId,
	OPTION.parameterList,
];
const MAX_OPTION = 255;
/** Of Go's client identifier, without the byte 0 before it. */
const MAX_CLIENT_ID = 254;

/** Where the daemon listens. DEL and GC need no more, and must not fail for more. */
export function socketPathOf(request: Request): string {
	return usableConfig<DhcpConfig>(request.config, validator).ipam?.daemonSocketPath || DEFAULT_SOCKET;
}

/** What `request` asks for, every check made that needs no interface. Throws code 4 (CNI_ARGS), 6 (wrong type) or 7. */
export function loadWanted(request: Request) {
	const { ipam } = loadConfig<DhcpConfig>(request.config, validator);
	const { ipv4 = true, ipv6 } = ipam;
	if (!ipv4 && ipv6 === undefined) {
		throw invalidConfig("ipam.ipv4 is false and there is no ipam.ipv6: no address is left to ask for");
	}
	const lease = leaseSpec(request, ipam);
	return {
		/** One for each family that the daemon is asked for. */
		leases: [...(ipv4 ? [lease] : []), ...(ipv6 === "dhcp" ? [{ ...lease, family: 6 as const }] : [])],
		/** The kernel's own IPv6 addresses as well. */
		slaac: ipv6 === "slaac",
	};
}

function leaseSpec(request: Request, ipam: Ipam): LeaseSpec {
	const { containerId, network, ifName, netns } = request;
	return {
		...{ containerId, network, ifName, netns },
		clientId: clientIdOf(ipam, `${containerId}/${network}/${ifName}`),
		request: requestedOptions(ipam),
		provide: providedOptions(ipam, request.args),
		broadcast: ipam.broadcast ?? false,
		priority: ipam.priority ?? 0,
	};
}

function requestedOptions({ request = [] }: Ipam): number[] {
	const asked = request.flatMap(({ option }, index) =>
		option === undefined || option === "" ? [] : [requireOption(option, `ipam.request[${index}].option`)],
	);
	const defaults = request.some(({ skipDefault }) => skipDefault) ? [] : DEFAULT_REQUEST;
	return [...new Set([...asked, ...defaults])];
}

function providedOptions({ provide = [], hostname }: Ipam, args: string): (readonly [number, string])[] {
	const values = new Map<number, string>();
	const variables = readArgs(args);
	if (hostname) values.set(OPTION.hostName, optionValue(hostnameOf(hostname, variables), "ipam.hostname"));
	provide.forEach(({ option = "", value, fromArg }, index) => {
		const path = `ipam.provide[${index}]`;
		const code = requireOption(option, `${path}.option`);
		if (OWN_OPTIONS.includes(code)) {
			throw invalidConfig(`${path}.option: option ${code} is the client's own and cannot be set`);
		}
		const text = (fromArg && variables.get(fromArg)) || value;
		if (text) values.set(code, optionValue(text, path));
	});
	return [...values];
}

/** As Go's plugin reads them: each pair up to its first "=", whatever the key. */
function readArgs(args: string): Map<string, string> {
	const pairs = args.split(";").filter((pair) => pair.includes("="));
	return new Map(pairs.map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]));
}

function hostnameOf(hostname: string, variables: ReadonlyMap<string, string>): string {
	if (hostname !== "pod") return hostname;
	const name = variables.get("K8S_POD_NAME");
	if (name) return name;
	throw new CniError(Code.invalidEnvironment, 'ipam.hostname is "pod", and there is no K8S_POD_NAME in CNI_ARGS');
}

function optionValue(text: string, path: string): string {
	const bytes = encodeUtf8(text);
	if (bytes.length <= MAX_OPTION) return toHex(bytes);
	throw invalidConfig(`value too long for option: ${path} has ${bytes.length} bytes, ${MAX_OPTION} is the most`);
}

function requireOption(text: string, path: string): number {
	const number = optionNumber(text);
	if (number !== undefined) return number;
	throw invalidConfig(
		`Can not parse option ${quote(text)} (${path}): a number from 1 to 254 or one of ${optionNames().join(", ")} is wanted`,
	);
}

/**
 * Go's: a byte 0 (no hardware address) and what names the attachment. A text of the user's gets the same byte before
 * it.
 */
function clientIdOf({ clientId }: Ipam, attachment: string): string {
	if (clientId === "mac") return "mac";
	if (clientId?.startsWith("0x")) {
		const bytes = fromHex(clientId.slice(2));
		if (bytes !== undefined && bytes.length >= 2 && bytes.length <= MAX_OPTION) return toHex(bytes);
		throw invalidConfig(`ipam.clientId ${quote(clientId)} must be 2 to ${MAX_OPTION} bytes in hex digits after "0x"`);
	}
	if (clientId) {
		if (encodeUtf8(clientId).length <= MAX_CLIENT_ID) return toHex(encodeUtf8(`\0${clientId}`));
		throw invalidConfig(`ipam.clientId has more than ${MAX_CLIENT_ID} bytes`);
	}
	return toHex(encodeUtf8(`\0${attachment.slice(0, MAX_CLIENT_ID)}`));
}

/**
 * Sentences about keys of `ipam` that are nearly those of the schema: Go takes no notice of them, and neither do we.
 */
export function nearMisses({ config }: Request): string[] {
	const folded = foldKeys(config, validator) as JsonObject;
	const members = validator.members?.ipam?.members ?? {};
	const ipam = isObject(folded.ipam) ? folded.ipam : {};
	return Object.keys(ipam).flatMap((key) => {
		if (Object.hasOwn(members, key)) return [];
		const meant = nearest(key, Object.keys(members));
		return meant === undefined ? [] : [`ipam.${key} is not a key of dhcp and is ignored: did you mean "${meant}"?`];
	});
}
