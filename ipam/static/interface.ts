/**
 * CHECK of the pod's interface.
 */
import type { CniIp, CniRoute, Request } from "../../lib/cni/types.ts";
import { Netns } from "../../lib/linux/netns.ts";
import { getLink } from "../../lib/netlink/link.ts";
import { checkAddresses, checkRoutes } from "../../lib/plugin/attached.ts";
import { Sandbox } from "../../lib/plugin/sandbox.ts";

/**
 * Throws CniError 102 where the interface lacks an address or a route. An interface or a sandbox that is not there is
 * the main plugin's matter: a device with a userspace driver has none, and its addresses are only reported. Our own
 * namespace (CNI_NETNS_OVERRIDE) is the host's, with interfaces of others.
 */
export function checkInterface(request: Request, ips: readonly CniIp[], routes: readonly CniRoute[]): void {
	using sandbox = Sandbox.openIfAlive(request.netns);
	using own = Netns.current();
	if (sandbox?.netns.same(own)) return;
	const link = sandbox && getLink(sandbox.route, request.ifName);
	if (sandbox === undefined || link === undefined) return;
	checkAddresses(sandbox.route, link, ips);
	checkRoutes(sandbox.route, link, routes);
}
