/**
 * static: the addresses, routes and DNS settings of the configuration, as a result.
 */
import loadInterface from "later:ipam/static/interface.ts";
import { CniError, Code } from "../../lib/cni/error.ts";
import { parsePrevResult } from "../../lib/cni/result.ts";
import type { CniIp, CniResult, Plugin, Request } from "../../lib/cni/types.ts";
import { formatIp } from "../../lib/ip/address.ts";
import { formatCidr } from "../../lib/ip/cidr.ts";
import { loadStatic, type StaticAddress } from "./config.ts";

function add(request: Request): CniResult {
	const { addresses, routes, dns } = loadStatic(request);
	return { ips: addresses.map(inResult), routes, ...(dns && { dns }) };
}

const inResult = ({ cidr, gateway }: StaticAddress): CniIp => ({
	address: formatCidr(cidr),
	...(gateway && { gateway: formatIp(gateway) }),
});

/** Every configured address must be in prevResult as ADD put it there (Go lets a missing one pass), and on the interface. */
function check(request: Request): void {
	const { addresses, routes } = loadStatic(request);
	const previous = parsePrevResult(request);
	if (previous === undefined) throw new CniError(Code.invalidConfig, "Required prevResult missing");
	for (const address of addresses) {
		if (previous.ips?.some((ip) => isSame(ip, address))) continue;
		throw new CniError(
			Code.checkFailed,
			`static: Failed to match addr ${formatIp(address.cidr.ip)} on interface ${request.ifName}`,
			`configured: ${describeResult(inResult(address))}; prevResult: ${previous.ips?.map(describeResult).join(", ") || "no address"}`,
		);
	}
	const { checkInterface } = loadInterface() as typeof import("./interface.ts");
	checkInterface(request, addresses.map(inResult), routes);
}

function isSame(ip: CniIp, { cidr, gateway }: StaticAddress): boolean {
	return ip.address === formatCidr(cidr) && (gateway === undefined || ip.gateway === formatIp(gateway));
}

function describeResult({ address, gateway }: CniIp): string {
	return gateway === undefined ? address : `${address} with gateway ${gateway}`;
}

/** There is nothing to release. */
function release(): void {}

/** Ready when an ADD would find its configuration in order. */
function status(request: Request): void {
	loadStatic(request);
}

export const plugin: Plugin = { add, del: release, check, gc: release, status };
