/**
 * CHECK: the daemon has the leases, prevResult says what they say, and the interface has the addresses.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { parsePrevResult } from "../../lib/cni/result.ts";
import type { CniIp, Request } from "../../lib/cni/types.ts";
import { getLink } from "../../lib/netlink/link.ts";
import { checkAddresses } from "../../lib/plugin/attached.ts";
import { Sandbox } from "../../lib/plugin/sandbox.ts";
import { invalidConfig } from "../fields.ts";
import { ask, QUICK_MS } from "./ask.ts";
import { loadWanted, socketPathOf } from "./config.ts";
import { attachmentOf } from "./daemon/protocol.ts";

export function check(request: Request): void {
	const { leases, slaac } = loadWanted(request);
	const previous = parsePrevResult(request);
	if (previous === undefined) throw invalidConfig("Required prevResult missing");
	const ips = leases.flatMap(({ family, ...spec }) => {
		const question = { method: "check", attachment: attachmentOf(spec), ...(family && { family }) } as const;
		return (ask(socketPathOf(request), question, QUICK_MS) as { ips?: CniIp[] }).ips ?? [];
	});
	for (const { address } of ips) {
		if (previous.ips?.some((ip) => ip.address === address)) continue;
		const had = previous.ips?.map((ip) => ip.address).join(", ") || "no address";
		throw new CniError(Code.checkFailed, `the lease of ${request.ifName} is ${address} now, prevResult has ${had}`);
	}
	using sandbox = Sandbox.openIfAlive(request.netns);
	const link = sandbox && getLink(sandbox.route, request.ifName);
	if (sandbox === undefined || link === undefined) return;
	// An address of SLAAC is nobody's but the kernel's: what ADD said is what there is to compare with.
	const made = slaac ? (previous.ips ?? []).filter(({ address }) => address.includes(":")) : [];
	checkAddresses(sandbox.route, link, [...ips, ...made]);
}
