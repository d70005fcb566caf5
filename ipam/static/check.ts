/**
 * CHECK: the configured addresses are in prevResult and on the interface.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { previousAddresses } from "../../lib/cni/result.ts";
import type { CniIp, CniRoute, Request } from "../../lib/cni/types.ts";
import { Netns } from "../../lib/linux/netns.ts";
import { getLink } from "../../lib/netlink/link.ts";
import { checkAddresses, checkRoutes } from "../../lib/plugin/attached.ts";
import { Sandbox } from "../../lib/plugin/sandbox.ts";
import { invalidConfig } from "../fields.ts";
import { loadStatic } from "./config.ts";

/**
 * Every configured address must be in prevResult as ADD put it there (Go lets a missing one pass), and on the
 * interface.
 */
export function check(request: Request): void {
	const { addresses, routes } = loadStatic(request);
	const previous = previousAddresses(request);
	if (previous === undefined) throw invalidConfig("Required prevResult missing");
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

/**
 * Throws CniError 102 where the interface lacks an address or a route. An interface or a sandbox that is not there is
 * the main plugin's matter: a device with a userspace driver has none, and its addresses are only reported. Our own
 * namespace (CNI_NETNS_OVERRIDE) is the host's, with interfaces of others.
 */
function checkInterface(request: Request, ips: readonly CniIp[], routes: readonly CniRoute[]): void {
	using sandbox = Sandbox.openIfAlive(request.netns);
	using own = Netns.current();
	if (sandbox?.netns.same(own)) return;
	const link = sandbox && getLink(sandbox.route, request.ifName);
	if (sandbox === undefined || link === undefined) return;
	checkAddresses(sandbox.route, link, ips);
	checkRoutes(sandbox.route, link, routes);
}
