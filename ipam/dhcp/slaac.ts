/**
 * The addresses that the kernel makes of router advertisements (RFC 4862): nobody need renew them, nor give them back.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import type { CniResult, Request } from "../../lib/cni/types.ts";
import { listAddresses } from "../../lib/netlink/address.ts";
import { IFA_F_PERMANENT, RTMGRP_IPV6_IFADDR } from "../../lib/netlink/constants.ts";
import { getLink } from "../../lib/netlink/link.ts";
import { setLink } from "../../lib/netlink/link-change.ts";
import { waitFor } from "../../lib/plugin/interface.ts";
import { isUsable, useIpv6 } from "../../lib/plugin/ipv6.ts";
import { Sandbox } from "../../lib/plugin/sandbox.ts";
import { invalidConfig } from "../fields.ts";

/** A router answers a solicitation within half a second; duplicate address detection takes one second, twice. */
const DEADLINE_MS = 10_000;
const RT_SCOPE_UNIVERSE = 0;

/** Waits for addresses of global scope that can be used. Throws CniError 7 (no such interface) or 11 (none in time). */
export function waitForSlaac({ netns, ifName }: Request): CniResult {
	using sandbox = Sandbox.open(netns);
	const socket = sandbox.route;
	const link = getLink(socket, ifName);
	if (link === undefined) throw invalidConfig(`there is no interface "${ifName}" in ${netns}`);
	let ips: { address: string }[] = [];
	sandbox.netns.run(() => {
		useIpv6(ifName);
		if (!link.up) setLink(socket, link.index, { up: true });
		waitFor(RTMGRP_IPV6_IFADDR, DEADLINE_MS, () => {
			const made = listAddresses(socket, link.index, 6).filter(
				({ scope, flags }) => scope === RT_SCOPE_UNIVERSE && (flags & IFA_F_PERMANENT) === 0,
			);
			ips = made.filter(({ flags }) => isUsable(flags)).map(({ cidr }) => ({ address: cidr }));
			return ips.length > 0 && ips.length === made.length;
		});
	});
	if (ips.length > 0) return { ips };
	throw new CniError(
		Code.tryAgain,
		`no router advertisement made an IPv6 address for "${ifName}" within ${DEADLINE_MS / 1000} s (ipam.ipv6 is "slaac")`,
	);
}
