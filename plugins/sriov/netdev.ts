/**
 * The VF's netdev on its way into the pod and back.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { Netns } from "../../lib/linux/netns.ts";
import { IFF_ALLMULTI, IFF_PROMISC } from "../../lib/netlink/constants.ts";
import { NetlinkError } from "../../lib/netlink/error.ts";
import { getLink, type Link, type LinkIndex, type LinkTarget, listLinks } from "../../lib/netlink/link.ts";
import { addAltName, removeAltName, setLink, setLinkUpAndGet } from "../../lib/netlink/link-change.ts";
import type { NetlinkSocket } from "../../lib/netlink/socket.ts";
import type { Sandbox } from "../../lib/plugin/sandbox.ts";
import { poll } from "../../lib/sys/poll.ts";
import * as sys from "../../lib/sys/sys.ts";
import { writeSysctl } from "../../lib/sys/sysctl.ts";
import { recordsOf } from "./record.ts";
import type { OriginalNetdev } from "./record-format.ts";

/**
 * The kernel puts the first free number in place of "%d", as for a netdev whose name is taken when its namespace
 * ends.
 */
export const SOME_NAME = "dev%d";
/** How long a driver may take until its netdev shows a MAC that was set through the PF. */
const MAC_TAKEN = { deadlineMs: 2000, everyMs: 20 };
/** linux/if_arp.h */
const ARPHRD_LOOPBACK = 772;
/** How long a VF may be in its reset. */
const RESET = { deadlineMs: 5000, everyMs: 50 };

/** An interface of the pod's own is never touched: look before anything is changed. Alternative names count. */
export function requireNameFree(sandbox: Sandbox, name: string): void {
	if (getLink(sandbox.route, name) === undefined) return;
	throw new CniError(
		Code.invalidEnvironment,
		`CNI_IFNAME ${name}: an interface of this name exists already in ${sandbox.path}`,
	);
}

/** The netdev in the pod: moved, renamed, with its MAC and MTU, up. Returns it as it is then. */
export function enterPod(
	host: NetlinkSocket,
	sandbox: Sandbox,
	netdev: Link,
	as: { name: string; mac: string | undefined; mtu: number | undefined },
): Link {
	moveIntoPod(host, sandbox, netdev, as);
	tuneInPod(sandbox, as.name);
	return bringUp(sandbox.route, as.name, netdev.mac, as.mac);
}

/**
 * Moves the netdev into the pod under its new name, in one message: no moment in which a kill leaves it between two
 * names. On an error it may be in the pod already, under either name (`netdevInPod` finds it there).
 */
function moveIntoPod(
	host: NetlinkSocket,
	sandbox: Sandbox,
	netdev: Link,
	as: { name: string; mtu: number | undefined },
): void {
	// An alternative name may collide with a name in the pod, and with the one the VF shall have (issue 445).
	for (const altName of netdev.altNames) removeAltName(host, netdev.index, altName);
	const mtu = as.mtu === undefined || as.mtu === netdev.mtu ? {} : { mtu: as.mtu };
	setLink(host, netdev.index, { netnsFd: sandbox.netns.fd, name: as.name, ...mtu, arpNotify: true });
}

/**
 * With arp_notify of the move: the kernel's own announcements, and quick IPv6 addresses, as the Go plugin sets them.
 * Where not to be had: a kernel without IPv6 has no such settings, and /proc/sys may be read-only.
 */
function tuneInPod(sandbox: Sandbox, name: string): void {
	sandbox.netns.run(() => {
		for (const setting of ["ndisc_notify", "optimistic_dad"]) {
			const write = (): void => writeSysctl(`net/ipv6/conf/${name}/${setting}`, "1");
			sys.failureOf(write, "ENOENT", "EROFS", "EACCES", "EPERM");
		}
	});
}

/**
 * Brings the link up with `mac` (undefined: with `macNow`, which it has). Drivers differ in how a MAC that the PF set
 * reaches the netdev: mlx5 wants it set there too; igb refuses that without `trust`, but the VF takes it over when it
 * is brought up.
 */
function bringUp(route: NetlinkSocket, name: string, macNow: string, mac: string | undefined): Link {
	if (mac !== undefined && macNow !== mac) setMacIfAllowed(route, name, mac);
	let now = upOnceReady(route, name);
	if (mac === undefined || now.mac === mac) return now;
	setLink(route, name, { up: false });
	setMacIfAllowed(route, name, mac);
	now = linkOnceMac(route, upOnceReady(route, name), mac);
	if (now.mac === mac) return now;
	throw new CniError(
		Code.device,
		`${now.name} kept the MAC ${now.mac} and did not take ${mac}: its driver may need "trust": "on"`,
	);
}

/** A VF that its PF just changed may be in a reset: i40e's and ice's say EBUSY meanwhile (sriov-cni issue 213). */
function upOnceReady(route: NetlinkSocket, name: string): Link {
	const attempt = (): Link | sys.SystemError => {
		try {
			return requireLink(setLinkUpAndGet(route, name), name);
		} catch (error) {
			if (!sys.isSystemError(error, "EBUSY", "EAGAIN")) throw error;
			return error;
		}
	};
	const end = poll(RESET, attempt, (each) => !(each instanceof Error));
	if (end instanceof Error) throw end;
	return end;
}

function requireLink(link: Link | undefined, name: string): Link {
	if (link !== undefined) return link;
	throw new CniError(Code.device, `${name} vanished while it was brought up`);
}

function setMacIfAllowed(route: NetlinkSocket, link: LinkTarget, mac: string): void {
	try {
		setLink(route, link, { mac });
	} catch (error) {
		if (!(error instanceof NetlinkError)) throw error;
	}
}

/** The link once it has `mac`, or as it is when the driver has had its time. */
function linkOnceMac(route: NetlinkSocket, link: Link, mac: string): Link {
	if (link.mac === mac) return link;
	const ask = (): Link => requireLink(getLink(route, link.index), link.name);
	return poll(MAC_TAKEN, ask, (now) => now.mac === mac);
}

/**
 * The VF's netdev in a pod: under `name` if it is there, else wherever (it may have been renamed). By its device, so
 * that nobody else's interface is ever taken for it.
 */
export function netdevInPod(sandbox: Sandbox, parentDevice: string, name: string): Link | undefined {
	const named = getLink(sandbox.route, name);
	if (named !== undefined && isOurs(named, parentDevice)) return named;
	return listLinks(sandbox.route).find((link) => parentDevice !== "" && link.parentDevice === parentDevice);
}

/**
 * Kernels before 5.14 tell no device: there the name must do, for an interface that is hardware (software ones have a
 * kind).
 */
function isOurs(link: Link, parentDevice: string): boolean {
	if (link.parentDevice !== undefined) return link.parentDevice === parentDevice;
	return link.kind === undefined && link.type !== ARPHRD_LOOPBACK;
}

/**
 * Returns the netdev from the pod to the host, in one message under the name and with the MTU that it had. Returns
 * what could not be put back; throws only where the netdev stays in the pod.
 */
export function returnToHost(host: NetlinkSocket, sandbox: Sandbox, inPod: Link, original: OriginalNetdev): string[] {
	// The pod may have given it any, even one that is a name on the host and would keep it here.
	for (const altName of inPod.altNames) removeAltName(sandbox.route, inPod.index, altName);
	const taken = !clearName(host, original.name, undefined);
	const mtu = original.mtu === 0 || original.mtu === inPod.mtu ? {} : { mtu: original.mtu };
	try {
		setLink(sandbox.route, inPod.index, { netnsFd: Netns.host().fd, name: taken ? SOME_NAME : original.name, ...mtu });
	} catch (error) {
		// Refused after the move, which comes first: what is not put back is seen on the host.
		if (!(error instanceof NetlinkError) || isInPod(sandbox, inPod)) throw error;
	}
	return taken ? [nameIsTaken(original)] : [];
}

function isInPod(sandbox: Sandbox, { index, parentDevice }: Link): boolean {
	const now = getLink(sandbox.route, index);
	return now !== undefined && now.parentDevice === parentDevice;
}

/** The netdev on the host under its old name, where the kernel tells whose device it is. */
export function namedNetdevOnHost(host: NetlinkSocket, { name, parentDevice }: OriginalNetdev): Link | undefined {
	const link = parentDevice === "" ? undefined : getLink(host, name);
	return link?.name === name && link.parentDevice === parentDevice ? link : undefined;
}

/**
 * The old name for a netdev that is on the host already: the kernel brought it back when its namespace died, or
 * somebody did.
 */
export function correctName(host: NetlinkSocket, onHost: Link, original: OriginalNetdev): string[] {
	if (onHost.name === original.name) return [];
	return collect(() => {
		if (!clearName(host, original.name, onHost.index)) {
			throw new CniError(Code.device, nameIsTaken(original));
		}
		const owner = getLink(host, original.name);
		// One of its own alternative names may be the one that it shall have.
		if (owner !== undefined) removeAltName(host, onHost.index, original.name);
		if (onHost.up) setLink(host, onHost.index, { up: false });
		setLink(host, onHost.index, { name: original.name });
	});
}

/**
 * Whether no other interface than `own` has the name. A VF that returned under the name that its pod had given it,
 * and still has its own DEL before it, goes out of the way: else two VFs could keep each other's names for ever.
 */
function clearName(host: NetlinkSocket, name: string, own: LinkIndex | undefined): boolean {
	const owner = getLink(host, name);
	if (owner === undefined || owner.index === own) return true;
	if (owner.name !== name || !isAstray(owner)) return false;
	const failures = collect(() => {
		if (owner.up) setLink(host, owner.index, { up: false });
		setLink(host, owner.index, { name: SOME_NAME });
	});
	return failures.length === 0;
}

/** Whether it is a VF that some record knows under another name. */
const isAstray = (link: Link): boolean =>
	recordsOf(link.parentDevice ?? "").some(({ original }) => original.netdev && original.netdev.name !== link.name);

const nameIsTaken = (original: OriginalNetdev): string =>
	`the name ${original.name} is taken on the host by another interface`;

/**
 * MTU, flags, labels, alternative names, MAC and up or down of a netdev that is on the host. `freeMac` makes the PF
 * forget the VF's administrative MAC. Returns what could not be put back.
 */
export function restoreRest(host: NetlinkSocket, link: Link, original: OriginalNetdev, freeMac: () => void): string[] {
	const failures: string[] = [];
	const attempt = (step: () => void): void => {
		failures.push(...collect(step));
	};
	attempt(() => restoreFlags(host, link, original));
	attempt(() => restoreLabels(host, link, original));
	if (original.mtu !== 0 && link.mtu !== original.mtu) attempt(() => setLink(host, link.index, { mtu: original.mtu }));
	failures.push(...restoreAltNames(host, link, original.altNames ?? link.altNames));
	let { up } = link;
	if (original.mac !== "" && link.mac !== original.mac) {
		attempt(() => restoreMac(host, link, original.mac, freeMac));
		up = getLink(host, link.index)?.up ?? up;
	}
	if (up !== original.up) {
		attempt(() => (original.up ? upOnceReady(host, link.name) : setLink(host, link.index, { up: false })));
	}
	return failures;
}

function restoreAltNames(host: NetlinkSocket, link: Link, altNames: readonly string[]): string[] {
	const surplus = link.altNames.filter((altName) => !altNames.includes(altName));
	const missing = altNames.filter((altName) => !link.altNames.includes(altName));
	const failures = surplus.flatMap((altName) => collect(() => removeAltName(host, link.index, altName)));
	return [...failures, ...addAltNames(host, link, missing)];
}

/** Returns what could not be added. */
export function addAltNames(host: NetlinkSocket, link: Link, altNames: readonly string[]): string[] {
	return altNames.flatMap((altName) => collect(() => addAltName(host, link.index, altName)));
}

/** A pod may leave its VF promiscuous, so that the card sends it everybody's frames (issue 441). */
function restoreFlags(host: NetlinkSocket, link: Link, { promiscuous, allMulticast }: OriginalNetdev): void {
	const isPromiscuous = (link.flags & IFF_PROMISC) !== 0;
	const isAllMulticast = (link.flags & IFF_ALLMULTI) !== 0;
	if (isPromiscuous === promiscuous && isAllMulticast === allMulticast) return;
	setLink(host, link.index, { promiscuous, allMulticast });
}

/** ifalias, txqueuelen and group. */
function restoreLabels(host: NetlinkSocket, link: Link, { alias, txQueueLength, group }: OriginalNetdev): void {
	const change = {
		...(alias !== undefined && alias !== (link.alias ?? "") && { alias }),
		...(txQueueLength !== undefined && txQueueLength !== link.txQueueLength && { txQueueLength }),
		...(group !== undefined && group !== link.group && { group }),
	};
	if (Object.keys(change).length > 0) setLink(host, link.index, change);
}

/**
 * A driver may refuse a MAC other than the administrative one, even if that is only what the VF takes on at its next
 * reset: then without the administrative one, and if that does not help, by the reset.
 */
function restoreMac(host: NetlinkSocket, link: Link, mac: string, freeMac: () => void): void {
	setMacIfAllowed(host, link.index, mac);
	if (getLink(host, link.index)?.mac === mac) return;
	freeMac();
	bringUp(host, link.name, link.mac, mac);
}

/** Runs a step; what the kernel or a driver refuses is returned as a sentence. */
function collect(step: () => void): string[] {
	try {
		step();
		return [];
	} catch (error) {
		if (!(error instanceof NetlinkError || error instanceof CniError)) throw error;
		return [error.message];
	}
}
