/**
 * IPv6 on an interface of a pod, before it has an address of its own.
 */
import { listAddresses } from "../netlink/address.ts";
import { IFA_F_DADFAILED, IFA_F_OPTIMISTIC, IFA_F_TENTATIVE, RT_SCOPE_LINK } from "../netlink/constants.ts";
import type { LinkIndex } from "../netlink/link.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import { readSysctlIfPresent, writeSysctl } from "../sys/sysctl.ts";

/**
 * Turns IPv6 on for lo and the interface in the current network namespace, where the container runtime has it off.
 */
export function enableIpv6(name: string, refused: (what: string, change: () => void) => void): void {
	for (const each of ["lo", name]) {
		const key = `net/ipv6/conf/${each}/disable_ipv6`;
		const value = readSysctlIfPresent(key);
		if (value === undefined || value === "0") continue;
		refused(`failed to enable IPv6 for "${each}" (${key}=${value})`, () => writeSysctl(key, "0"));
	}
}

/** The same, and router advertisements are obeyed: they have the default route. Throws SystemError. */
export function useIpv6(name: string): void {
	enableIpv6(name, (_, change) => change());
	const key = `net/ipv6/conf/${name}/accept_ra`;
	if (readSysctlIfPresent(key) === "0") writeSysctl(key, "1");
}

/** Whether an address with these flags can be sent from. */
export const isUsable = (flags: number): boolean =>
	(flags & IFA_F_DADFAILED) === 0 && ((flags & IFA_F_TENTATIVE) === 0 || (flags & IFA_F_OPTIMISTIC) !== 0);

/** Whether the interface has a link-local address that can be sent from. */
export function hasLinkLocal(socket: NetlinkSocket, index: LinkIndex): boolean {
	return listAddresses(socket, index, 6).some(({ scope, flags }) => scope === RT_SCOPE_LINK && isUsable(flags));
}
