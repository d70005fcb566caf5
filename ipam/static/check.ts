/**
 * CHECK: the configured addresses are in prevResult and on the interface.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { parsePrevResult } from "../../lib/cni/result.ts";
import type { CniIp, Request } from "../../lib/cni/types.ts";
import { formatIp } from "../../lib/ip/address.ts";
import { formatCidr } from "../../lib/ip/cidr.ts";
import { inResult } from "./address.ts";
import { loadStatic, type StaticAddress } from "./config.ts";
import { checkInterface } from "./interface.ts";

/** Every configured address must be in prevResult as ADD put it there (Go lets a missing one pass), and on the interface. */
export function check(request: Request): void {
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
	checkInterface(request, addresses.map(inResult), routes);
}

function isSame(ip: CniIp, { cidr, gateway }: StaticAddress): boolean {
	return ip.address === formatCidr(cidr) && (gateway === undefined || ip.gateway === formatIp(gateway));
}

function describeResult({ address, gateway }: CniIp): string {
	return gateway === undefined ? address : `${address} with gateway ${gateway}`;
}
