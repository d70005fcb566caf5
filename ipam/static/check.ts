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
	const missing = addresses.every((each, index) => isSame(previous[index], each))
		? undefined
		: firstMissing(addresses, previous);
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

/** As ADD put it there: in the same place, most often. */
function isSame(ip: CniIp | undefined, { address, gateway }: CniIp): boolean {
	return ip?.address === address && (gateway === undefined || ip.gateway === gateway);
}

function firstMissing(addresses: readonly CniIp[], previous: readonly CniIp[]): CniIp | undefined {
	const had = new Set<string>();
	for (const { address, gateway } of previous) {
		had.add(address);
		if (gateway !== undefined) had.add(describe({ address, gateway }));
	}
	return addresses.find((each) => !had.has(describe(each)));
}

function describe({ address, gateway }: CniIp): string {
	return gateway === undefined ? address : `${address} with gateway ${gateway}`;
}
