/**
 * CHECK: the configured addresses are in prevResult and on the interface.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { previousAddresses } from "../../lib/cni/result.ts";
import type { CniIp, Request } from "../../lib/cni/types.ts";
import { loadStatic } from "./config.ts";
import { checkInterface } from "./interface.ts";

/**
 * Every configured address must be in prevResult as ADD put it there (Go lets a missing one pass), and on the
 * interface.
 */
export function check(request: Request): void {
	const { addresses, routes } = loadStatic(request);
	const previous = previousAddresses(request);
	if (previous === undefined) throw new CniError(Code.invalidConfig, "Required prevResult missing");
	// As ADD put them there: in the same places, most often.
	const missing = addresses.find(
		(each, index) => !isSame(previous[index], each) && !previous.some((ip) => isSame(ip, each)),
	);
	if (missing !== undefined) {
		const [ip] = missing.address.split("/");
		throw new CniError(
			Code.checkFailed,
			`static: Failed to match addr ${ip} on interface ${request.ifName}`,
			`configured: ${describe(missing)}; prevResult: ${previous.map(describe).join(", ") || "no address"}`,
		);
	}
	checkInterface(request, addresses, routes);
}

function isSame(ip: CniIp | undefined, { address, gateway }: CniIp): boolean {
	return ip?.address === address && (gateway === undefined || ip.gateway === gateway);
}

function describe({ address, gateway }: CniIp): string {
	return gateway === undefined ? address : `${address} with gateway ${gateway}`;
}
