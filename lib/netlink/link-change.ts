/**
 * Changes to network interfaces, each with the `ip` command that it equals.
 */
import { AF_INET } from "../sys/sys.ts";
import * as nl from "./constants.ts";
import { getLink, type Link, type LinkIndex, type LinkTarget, linkMessage, linkRequest, macBytes } from "./link.ts";
import type { MessageWriter } from "./message.ts";
import type { Change, NetlinkSocket } from "./socket.ts";

/**
 * Changes that go into one request, made in the kernel's order: netns, MAC, MTU, name, alias, flags, queue length,
 * group.
 */
interface LinkChange {
	readonly netnsFd?: number;
	readonly mac?: string;
	/** Bytes. */
	readonly mtu?: number;
	readonly name?: string;
	/** "" removes it. */
	readonly alias?: string;
	readonly txQueueLength?: number;
	readonly group?: number;
	readonly up?: boolean;
	readonly promiscuous?: boolean;
	readonly allMulticast?: boolean;
	/**
	 * Sysctl net/ipv4/conf/NAME/arp_notify, after all others: neighbours hear when the MAC changes or the link goes up.
	 */
	readonly arpNotify?: boolean;
}

/**
 * Makes all of `change` in one RTM_SETLINK, under one hold of the kernel's RTNL lock. The kernel stops at the first
 * refusal and keeps what it has done until then. No new name for an interface that is meant by its name. Throws
 * NetlinkError.
 *
 * A new name before Linux 6.2 is for an interface that is down (EBUSY); a taken one is EEXIST, also as someone's
 * alternative name. The move to another namespace comes first of all, and the kernel sets the interface down before.
 * There two answers are EEXIST. The present name is taken there and no other is given (or `name` equals it): nothing
 * has happened. `name` is taken there but the present name is free: **the interface is there already, under its present
 * name**; the caller looks for the name beforehand and moves the interface back on an error. A present name that is
 * taken there does no harm when `name` is given and free.
 *
 * Equivalent: `ip link set dev NAME netns NS name NEW mtu BYTES address MAC alias ALIAS txqueuelen N group N up promisc
 * on allmulticast on`.
 */
export function setLink(socket: NetlinkSocket, target: LinkTarget, change: LinkChange): void {
	const { message, name } = linkChange(socket, target, change);
	socket.change(message, name);
	if (typeof target === "string") return;
	if (change.netnsFd !== undefined) socket.linkNames.delete(target);
	else if (change.name !== undefined) socket.linkNames.set(target, change.name);
}

function linkChange(socket: NetlinkSocket, target: LinkTarget, change: LinkChange): Change {
	let flags = 0;
	let mask = 0;
	const flag = (bit: number, wanted: boolean | undefined): void => {
		if (wanted === undefined) return;
		mask |= bit;
		if (wanted) flags |= bit;
	};
	flag(nl.IFF_UP, change.up);
	flag(nl.IFF_PROMISC, change.promiscuous);
	flag(nl.IFF_ALLMULTI, change.allMulticast);
	const message = linkMessage(nl.RTM_SETLINK, nl.NLM_F_ACK, target, flags, mask);
	if (change.netnsFd !== undefined) message.attributeU32(nl.IFLA_NET_NS_FD, change.netnsFd);
	if (change.mac !== undefined) message.attributeBytes(nl.IFLA_ADDRESS, macBytes(change.mac));
	if (change.mtu !== undefined) message.attributeU32(nl.IFLA_MTU, change.mtu);
	if (change.name !== undefined) message.attributeText(nl.IFLA_IFNAME, change.name);
	if (change.alias !== undefined) message.attributeText(nl.IFLA_IFALIAS, change.alias);
	if (change.txQueueLength !== undefined) message.attributeU32(nl.IFLA_TXQLEN, change.txQueueLength);
	if (change.group !== undefined) message.attributeU32(nl.IFLA_GROUP, change.group);
	if (change.arpNotify !== undefined) writeIpv4Setting(message, nl.IPV4_DEVCONF_ARP_NOTIFY, change.arpNotify ? 1 : 0);
	return { message, name: linkRequest(socket, "RTM_SETLINK", target) };
}

function writeIpv4Setting(message: MessageWriter, setting: number, value: number): void {
	const families = message.begin(nl.IFLA_AF_SPEC | nl.NLA_F_NESTED);
	const ipv4 = message.begin(AF_INET | nl.NLA_F_NESTED);
	const settings = message.begin(nl.IFLA_INET_CONF | nl.NLA_F_NESTED);
	message.attributeU32(setting, value).end(settings).end(ipv4).end(families);
}

/** Sets an interface up, and tells what it is then, in one exchange; undefined where it is gone. */
export function setLinkUpAndGet(socket: NetlinkSocket, target: LinkTarget): Link | undefined {
	return getLink(socket, target, linkChange(socket, target, { up: true }));
}

/** Equivalent: `ip link property add dev NAME altname ALT`. Kernel 5.5 and later. */
export function addAltName(socket: NetlinkSocket, index: LinkIndex, altName: string): void {
	const message = altNameMessage(nl.RTM_NEWLINKPROP, nl.NLM_F_CREATE | nl.NLM_F_EXCL, index, altName);
	socket.change(message, linkRequest(socket, "RTM_NEWLINKPROP", index));
}

/** Equivalent: `ip link property del dev NAME altname ALT`. */
export function removeAltName(socket: NetlinkSocket, index: LinkIndex, altName: string): void {
	const message = altNameMessage(nl.RTM_DELLINKPROP, 0, index, altName);
	socket.change(message, linkRequest(socket, "RTM_DELLINKPROP", index));
}

function altNameMessage(type: number, flags: number, index: LinkIndex, altName: string): MessageWriter {
	const message = linkMessage(type, flags | nl.NLM_F_ACK, index);
	const list = message.begin(nl.IFLA_PROP_LIST | nl.NLA_F_NESTED);
	return message.attributeText(nl.IFLA_ALT_IFNAME, altName).end(list);
}
