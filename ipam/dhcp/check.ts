/**
 * CHECK: the daemon has the lease, prevResult says what it says, and the interface has the address.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { previousAddresses } from "../../lib/cni/result.ts";
import type { CniResult, Request } from "../../lib/cni/types.ts";
import { getLinkByName } from "../../lib/netlink/link.ts";
import { checkAddresses } from "../../lib/plugin/attached.ts";
import { Sandbox } from "../../lib/plugin/sandbox.ts";
import { ask, QUICK_MS } from "./ask.ts";
import { loadSpec, socketPathOf } from "./config.ts";

export function check(request: Request): void {
	const { containerId, network, ifName } = loadSpec(request);
	const attachment = { containerId, network, ifName };
	const previous = previousAddresses(request);
	if (previous === undefined) throw new CniError(Code.invalidConfig, "Required prevResult missing");
	const { ips = [] } = ask(socketPathOf(request), { method: "check", attachment }, QUICK_MS) as CniResult;
	for (const { address } of ips) {
		if (previous.some((ip) => ip.address === address)) continue;
		const had = previous.map((ip) => ip.address).join(", ") || "no address";
		throw new CniError(Code.checkFailed, `the lease of ${ifName} is ${address} now, prevResult has ${had}`);
	}
	using sandbox = Sandbox.openIfAlive(request.netns);
	const link = sandbox && getLinkByName(sandbox.route, ifName);
	if (sandbox !== undefined && link !== undefined) checkAddresses(sandbox.route, link, ips);
}
