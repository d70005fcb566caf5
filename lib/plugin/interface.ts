/**
 * Gives an interface in a pod what IPAM said: addresses and routes. Does what ConfigureIface of the Go plugins
 * (pkg/ipam) does, in its order; in addition, the `mtu` and `advmss` of routes reach the kernel (plugins issue 971).
 *
 * All functions here run in the pod's network namespace (`Netns.run`): sysctls are those of the current one.
 */
import { CniError, Code } from "../cni/error.ts";
import type { CniIp, CniRoute } from "../cni/types.ts";
import { parseIp } from "../ip/address.ts";
import { knownCidr, listAddresses, newAddress } from "../netlink/address.ts";
import {
	IFA_F_DADFAILED,
	IFA_F_TENTATIVE,
	NETLINK_ROUTE,
	RT_SCOPE_LINK,
	RTMGRP_IPV6_IFADDR,
	RTMGRP_LINK,
} from "../netlink/constants.ts";
import { getLink, type Link, type LinkIndex } from "../netlink/link.ts";
import { setLink } from "../netlink/link-change.ts";
import { newRoute } from "../netlink/route.ts";
import { type Change, NetlinkSocket } from "../netlink/socket.ts";
import * as sys from "../sys/sys.ts";
import { writeSysctl } from "../sys/sysctl.ts";
import { enableIpv6 } from "./ipv6.ts";

const DAD_DEADLINE_MS = 5000;
/** Events are a reason to look at once; this is how often we look without one, should one be lost. */
const LOOK_AGAIN_MS = 250;

/**
 * Adds the addresses to `link`, brings it up where it is not known to be, and adds the routes. A route without a
 * gateway gets the first gateway of its family, if there is one (not where its scope is link or host: the kernel
 * refuses a gateway there, and so the Go plugins fail). With an IPv6 gateway, waits up to 5 s for duplicate address
 * detection: before, the routes could not be used. Throws CniError (what, on which interface, and the kernel's
 * words). What was done stays, that after the refusal too; it goes with the interface.
 */
export function configureInterface(
	socket: NetlinkSocket,
	link: Pick<Link, "index" | "name"> & Partial<Pick<Link, "up">>,
	config: { readonly ips: readonly CniIp[]; readonly routes: readonly CniRoute[] },
): void {
	// IPv6: those that the kernel has made of router advertisements, and that IPAM (dhcp with SLAAC) reports.
	let present: ReadonlySet<string> | undefined;
	const gateways: { 4?: string; 6?: string } = {};
	const changes: { readonly what: string; readonly change: Change }[] = [];
	for (const ip of config.ips) {
		const family = knownCidr(ip.address).ip.family;
		if (family === 6 && present === undefined) {
			prepareIpv6(link.name);
			present = new Set(listAddresses(socket, link.index, 6).map(({ cidr }) => cidr));
		}
		if (family === 4 || !present!.has(ip.address)) {
			changes.push({
				what: `failed to add IP address ${ip.address} to "${link.name}"`,
				change: newAddress(socket, link.index, ip.address),
			});
		}
		const gateway = ip.gateway === undefined ? undefined : parseIp(ip.gateway);
		if (gateway !== undefined) gateways[gateway.family] ??= ip.gateway!;
	}
	if (!link.up) {
		changeTogether(socket, changes);
		refusal(`failed to set "${link.name}" up`, () => setLink(socket, link.index, { up: true }));
	}
	if (gateways[6] !== undefined) {
		changeTogether(socket, changes);
		settleAddresses(socket, link);
	}
	for (const route of config.routes) {
		const onLink = route.scope !== undefined && route.scope >= RT_SCOPE_LINK;
		const { dst, gw = onLink ? undefined : gateways[knownCidr(route.dst).ip.family], ...metrics } = route;
		const spec = { dst, linkIndex: link.index, ...metrics, ...(gw === undefined ? {} : { gw }) };
		const via = gw === undefined ? "" : ` via ${gw}`;
		changes.push({ what: `failed to add route ${dst}${via} dev "${link.name}"`, change: newRoute(socket, spec) });
	}
	changeTogether(socket, changes);
}

/** Makes the changes in one exchange, and empties the list. */
function changeTogether(socket: NetlinkSocket, changes: { readonly what: string; readonly change: Change }[]): void {
	const made = changes.splice(0);
	const refused = socket.changeAll(made.map(({ change }) => change));
	if (refused === undefined) return;
	throw new CniError(Code.device, `${made[refused.index]!.what}: ${refused.error.message}`);
}

function refusal(what: string, change: () => void): void {
	const error = sys.failureOf(change);
	if (error !== undefined) throw new CniError(Code.device, `${what}: ${error.message}`);
}

/**
 * Turns IPv6 on for the interface and for lo, where the container runtime has it off, and keeps the addresses when
 * the link goes down. A kernel without IPv6 has none of these settings: adding the address then fails with its own
 * words.
 */
function prepareIpv6(name: string): void {
	enableIpv6(name, refusal);
	const key = `net/ipv6/conf/${name}/keep_addr_on_down`;
	refusal(`failed to enable keep_addr_on_down for "${name}"`, () => {
		sys.failureOf(() => writeSysctl(key, "1"), "ENOENT");
	});
}

/**
 * Waits until duplicate address detection is done with all IPv6 addresses of the interface. Throws CniError if one is
 * a duplicate, or if there is no end after 5 s on a link that is up (on one without a carrier it cannot end, and that
 * is no error).
 */
function settleAddresses(socket: NetlinkSocket, link: Pick<Link, "index" | "name">): void {
	let duplicate: string | undefined;
	const settled = waitFor(RTMGRP_IPV6_IFADDR, DAD_DEADLINE_MS, () => {
		const addresses = listAddresses(socket, link.index, 6);
		duplicate = addresses.find((address) => (address.flags & IFA_F_DADFAILED) !== 0)?.cidr;
		return duplicate !== undefined || addresses.every((address) => (address.flags & IFA_F_TENTATIVE) === 0);
	});
	if (duplicate !== undefined) {
		throw new CniError(
			Code.device,
			`link "${link.name}" has address ${duplicate} in DADFAILED state: another node on this network uses it already`,
		);
	}
	if (settled || getLink(socket, link.index)?.operState !== "up") return;
	throw new CniError(
		Code.device,
		`link "${link.name}" still has tentative addresses after ${DAD_DEADLINE_MS / 1000} seconds of duplicate address detection`,
	);
}

/**
 * Waits up to `deadlineMs` until the interface is up and has a carrier (IFF_UP, IFF_RUNNING). False: not within that
 * time.
 */
export function waitForCarrier(socket: NetlinkSocket, index: LinkIndex, deadlineMs: number): boolean {
	return waitFor(RTMGRP_LINK, deadlineMs, () => {
		const link = getLink(socket, index);
		return link?.up === true && link.running;
	});
}

/**
 * Looks, and looks again at each event of `groups` in the current namespace, until `done` or the deadline; the last
 * look's answer.
 */
export function waitFor(groups: number, deadlineMs: number, done: () => boolean): boolean {
	if (done()) return true;
	const deadline = sys.monotonicMs() + deadlineMs;
	using events = NetlinkSocket.subscribe(NETLINK_ROUTE, groups);
	for (;;) {
		// Looking comes after subscribing: what changes in between makes an event.
		if (done()) return true;
		const left = deadline - sys.monotonicMs();
		if (left <= 0) return false;
		events.waitForEvent(Math.ceil(Math.min(left, LOOK_AGAIN_MS)));
	}
}
