/**
 * What static is told: configuration, CNI_ARGS and capabilities, read and ranked as in the Go plugin.
 */
import validator from "validator:static";
import { parseCniArgs } from "../../lib/cni/args.ts";
import { loadConfig } from "../../lib/cni/config.ts";
import { CniError, Code } from "../../lib/cni/error.ts";
import { memberOf } from "../../lib/cni/keys.ts";
import { trimSpace } from "../../lib/cni/space.ts";
import type { CniDns, CniIp, Request } from "../../lib/cni/types.ts";
import { canonicalIp, familyOf, formatIp, parseIp } from "../../lib/ip/address.ts";
import { canonicalCidr, contains, parseCidr } from "../../lib/ip/cidr.ts";
import { invalidConfig, refuseAddress, requireOnePerFamily, resultRoutes } from "../fields.ts";
import type { StaticConfig } from "./schema.ts";

/** What `request` says, checked, and canonical as in results. Throws code 4 (CNI_ARGS), 6 (wrong type) or 7. */
export function loadStatic(request: Request) {
	if (memberOf(request.config, "ipam") === undefined) throw invalidConfig("IPAM config missing 'ipam' key");
	const config = loadConfig<StaticConfig>(request.config, validator);
	const { ipam } = config;
	const gateways = (ipam.addresses ?? []).map(({ gateway }, i) =>
		gateway ? (canonicalIp(gateway) ?? refuseAddress(gateway, `ipam.addresses[${i}].gateway`)) : undefined,
	);
	const routes = resultRoutes(ipam.routes);

	const fromEnvironment = readEnvironmentAddresses(request.args);
	const fromArgs = (config.args?.cni?.ips ?? []).map(readEntry);
	const fromRuntime = (config.runtimeConfig?.ips ?? []).map(readEntry);
	let addresses = [fromRuntime, fromArgs].find((list) => list.length > 0);
	addresses ??= [
		...(ipam.addresses ?? []).map(({ address }, i) =>
			staticAddress(readCidr(address, "the 'address' field is expected to be"), gateways[i]),
		),
		...fromEnvironment,
	];
	const families = addresses.map(({ address }) => familyOf(address));
	requireOnePerFamily(families, request.cniVersion);
	return { addresses, routes, dns: ipam.dns as CniDns | undefined };
}

/**
 * CNI_ARGS `IP` (CIDRs) and `GATEWAY` (addresses), each a list with commas. A gateway belongs to every one of these
 * addresses whose network it is in; those of the configuration keep their own.
 */
function readEnvironmentAddresses(args: string): CniIp[] {
	const { IP = "", GATEWAY = "" } = parseCniArgs(args, ["IP", "GATEWAY"]);
	let addresses: CniIp[] = [];
	for (const item of splitList(IP)) {
		const address = canonicalCidr(trimSpace(item));
		if (address === undefined) {
			throw new CniError(
				Code.invalidEnvironment,
				`the 'ip' field is expected to be in CIDR notation, got: '${trimSpace(item)}'`,
				`CNI_ARGS IP=${IP}`,
			);
		}
		addresses.push({ address });
	}
	for (const item of splitList(GATEWAY)) {
		const gateway = parseIp(trimSpace(item));
		if (gateway === undefined) {
			throw new CniError(Code.invalidEnvironment, `invalid gateway address: ${item}`, `CNI_ARGS GATEWAY=${GATEWAY}`);
		}
		const text = formatIp(gateway);
		addresses = addresses.map((each) =>
			contains(parseCidr(each.address)!, gateway) ? staticAddress(each.address, text) : each,
		);
	}
	return addresses;
}

function splitList(text: string): string[] {
	return text === "" ? [] : text.split(",");
}

const staticAddress = (address: string, gateway: string | undefined): CniIp =>
	gateway === undefined ? { address } : { address, gateway };

const readEntry = (text: string): CniIp => ({ address: readCidr(text, "an entry in the 'ips' field is NOT") });

function readCidr(text: string, what: string): string {
	const address = canonicalCidr(text);
	if (address !== undefined) return address;
	throw invalidConfig(`${what} in CIDR notation, got: '${text}'`);
}
