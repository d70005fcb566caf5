/**
 * Network interfaces: what they are, and changes to them.
 *
 * Wire format: linux/rtnetlink.h and linux/if_link.h, RTM_*LINK with `struct ifinfomsg`. VF settings are in vf.ts:
 * nothing here asks for them, because the answer grows with the number of VFs.
 */
import { formatMac, parseMac } from "../ip/mac.ts";
import { AF_INET, isSystemError } from "../sys/sys.ts";
import {
	IFF_ALLMULTI,
	IFF_PROMISC,
	IFF_RUNNING,
	IFF_UP,
	IFINFOMSG_BYTES,
	IFLA_ADDRESS,
	IFLA_AF_SPEC,
	IFLA_ALT_IFNAME,
	IFLA_GROUP,
	IFLA_IFALIAS,
	IFLA_IFNAME,
	IFLA_INET_CONF,
	IFLA_INFO_KIND,
	IFLA_LINKINFO,
	IFLA_MTU,
	IFLA_NET_NS_FD,
	IFLA_OPERSTATE,
	IFLA_PARENT_DEV_NAME,
	IFLA_PERM_ADDRESS,
	IFLA_PROP_LIST,
	IFLA_TXQLEN,
	IFNAME_MAX,
	IPV4_DEVCONF_ARP_NOTIFY,
	NLA_F_NESTED,
	NLM_F_ACK,
	NLM_F_CREATE,
	NLM_F_DUMP,
	NLM_F_EXCL,
	RTM_DELLINKPROP,
	RTM_GETLINK,
	RTM_NEWLINK,
	RTM_NEWLINKPROP,
	RTM_SETLINK,
} from "./constants.ts";
import type { RequestName } from "./error.ts";
import { type Attributes, type Message, MessageWriter } from "./message.ts";
import type { Change, NetlinkSocket } from "./socket.ts";

/** Number of an interface within its network namespace, from 1; it may change when the interface moves to another. */
export type LinkIndex = number & { readonly brand: "LinkIndex" };

/** Which interface is meant: by its index or by its name, which the kernel takes as well. */
export type LinkTarget = LinkIndex | string;

/** IF_OPER_* of linux/if.h. */
type OperState = "unknown" | "notpresent" | "down" | "lowerlayerdown" | "testing" | "dormant" | "up";

export interface Link {
	readonly index: LinkIndex;
	readonly name: string;
	readonly altNames: readonly string[];
	/** Lower-case hex pairs joined by ":"; "" where the interface has no address. */
	readonly mac: string;
	readonly mtu: number;
	/** IFF_* of linux/if.h. */
	readonly flags: number;
	/** IFF_UP: the administrator's wish. */
	readonly up: boolean;
	/** IFF_RUNNING: it is up and has a carrier. */
	readonly running: boolean;
	readonly operState: OperState;
	/** ARPHRD_* of linux/if_arp.h: 1 Ethernet, 32 InfiniBand. */
	readonly type: number;
	/** What kind of software interface it is: "veth", "bridge"; hardware has none. */
	readonly kind?: string;
	/** ifalias. */
	readonly alias?: string;
	/** txqueuelen. */
	readonly txQueueLength: number;
	/** Group of interfaces, 0 if the administrator made none. */
	readonly group: number;
	/** Name of the device on its bus: the PCI address. Kernel 5.14 and later. */
	readonly parentDevice?: string;
}

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

const OPER_STATES: readonly OperState[] = [
	"unknown",
	"notpresent",
	"down",
	"lowerlayerdown",
	"testing",
	"dormant",
	"up",
];

/** Starts a message with `struct ifinfomsg`. `target` 0: all. */
export function linkMessage(
	type: number,
	flags: number,
	target: number | string,
	ifFlags = 0,
	ifChange = 0,
): MessageWriter {
	const index = typeof target === "string" ? 0 : target;
	const message = new MessageWriter(type, flags).u8(0).u8(0).u16(0).u32(index).u32(ifFlags).u32(ifChange);
	if (typeof target !== "string") return message;
	return message.attributeText(target.length > IFNAME_MAX ? IFLA_ALT_IFNAME : IFLA_IFNAME, target);
}

/** Names a request about a link: by its name, as given or as this socket last saw it, or by its index. */
export function linkRequest(socket: NetlinkSocket, request: string, target: LinkTarget): RequestName {
	const name = typeof target === "string" ? target : socket.linkNames.get(target);
	return { request, subject: name === undefined ? `link ${target}` : `"${name}"` };
}

/**
 * The interface with this name, or undefined. Kernels from 5.5 on find alternative names, too: compare with `link.name`
 * where that matters. Equivalent: `ip link show dev NAME`.
 */
export function getLinkByName(socket: NetlinkSocket, name: string): Link | undefined {
	return getLink(socket, name);
}

/** The interface with this index, or undefined. */
export function getLinkByIndex(socket: NetlinkSocket, index: LinkIndex): Link | undefined {
	return getLink(socket, index);
}

function getLink(socket: NetlinkSocket, target: LinkTarget): Link | undefined {
	const answer = askLink(socket, linkMessage(RTM_GETLINK, 0, target), target);
	return answer && parseLink(socket, answer);
}

/** The answer to RTM_GETLINK; undefined where there is no such interface. `before`: see `NetlinkSocket.get`. */
export function askLink(
	socket: NetlinkSocket,
	message: MessageWriter,
	target: LinkTarget,
	before?: Change,
): Message | undefined {
	try {
		return socket.get(message, linkRequest(socket, "RTM_GETLINK", target), before);
	} catch (error) {
		if (isSystemError(error, "ENODEV")) return undefined;
		throw error;
	}
}

/**
 * The MAC that the hardware has, whatever a bond or an administrator has made of it; undefined where there is no such
 * interface, or the kernel does not tell (before 5.6). Equivalent: `permaddr` of `ip -d link show dev NAME`.
 */
export function getPermanentMac(socket: NetlinkSocket, name: string): string | undefined {
	const attribute = askLink(socket, linkMessage(RTM_GETLINK, 0, name), name)?.attributes(IFINFOMSG_BYTES);
	while (attribute?.next()) if (attribute.type === IFLA_PERM_ADDRESS) return formatMac(attribute.bytes());
	return undefined;
}

/** All interfaces of the namespace. Equivalent: `ip link show`. */
export function listLinks(socket: NetlinkSocket): Link[] {
	const message = linkMessage(RTM_GETLINK, NLM_F_DUMP, 0);
	return socket.dump(message, { request: "RTM_GETLINK", subject: "" }, (answer) => parseLink(socket, answer));
}

/** Reads RTM_NEWLINK; undefined for another type of message. */
export function parseLink(socket: NetlinkSocket, message: Message): Link | undefined {
	if (message.type !== RTM_NEWLINK) return undefined;
	const flags = message.u32(8);
	const altNames: string[] = [];
	const link: { -readonly [K in keyof Link]: Link[K] } = {
		index: message.i32(4) as LinkIndex,
		name: "",
		altNames,
		mac: "",
		mtu: 0,
		flags,
		up: (flags & IFF_UP) !== 0,
		running: (flags & IFF_RUNNING) !== 0,
		operState: "unknown",
		txQueueLength: 0,
		group: 0,
		type: message.u16(2),
	};
	const attribute = message.attributes(IFINFOMSG_BYTES);
	while (attribute.next()) {
		switch (attribute.type) {
			case IFLA_ADDRESS:
				link.mac = formatMac(attribute.bytes());
				break;
			case IFLA_IFNAME:
				link.name = attribute.text();
				break;
			case IFLA_MTU:
				link.mtu = attribute.u32();
				break;
			case IFLA_TXQLEN:
				link.txQueueLength = attribute.u32();
				break;
			case IFLA_GROUP:
				link.group = attribute.u32();
				break;
			case IFLA_OPERSTATE:
				link.operState = OPER_STATES[attribute.u8()] ?? "unknown";
				break;
			case IFLA_LINKINFO:
				parseKind(attribute.nested(), link);
				break;
			case IFLA_IFALIAS:
				link.alias = attribute.text();
				break;
			case IFLA_PROP_LIST:
				parseAltNames(attribute.nested(), altNames);
				break;
			case IFLA_PARENT_DEV_NAME:
				link.parentDevice = attribute.text();
				break;
		}
	}
	socket.linkNames.set(link.index, link.name);
	return link;
}

function parseKind(attribute: Attributes, link: { kind?: string }): void {
	while (attribute.next()) if (attribute.type === IFLA_INFO_KIND) link.kind = attribute.text();
}

function parseAltNames(attribute: Attributes, into: string[]): void {
	while (attribute.next()) if (attribute.type === IFLA_ALT_IFNAME) into.push(attribute.text());
}

/**
 * Makes all of `change` in one RTM_SETLINK, under one hold of the kernel's RTNL lock. The kernel stops at the first
 * refusal and keeps what it has done until then. No new name for an interface that is meant by its name. Throws
 * NetlinkError.
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
	flag(IFF_UP, change.up);
	flag(IFF_PROMISC, change.promiscuous);
	flag(IFF_ALLMULTI, change.allMulticast);
	const message = linkMessage(RTM_SETLINK, NLM_F_ACK, target, flags, mask);
	if (change.netnsFd !== undefined) message.attributeU32(IFLA_NET_NS_FD, change.netnsFd);
	if (change.mac !== undefined) message.attributeBytes(IFLA_ADDRESS, macBytes(change.mac));
	if (change.mtu !== undefined) message.attributeU32(IFLA_MTU, change.mtu);
	if (change.name !== undefined) message.attributeText(IFLA_IFNAME, change.name);
	if (change.alias !== undefined) message.attributeText(IFLA_IFALIAS, change.alias);
	if (change.txQueueLength !== undefined) message.attributeU32(IFLA_TXQLEN, change.txQueueLength);
	if (change.group !== undefined) message.attributeU32(IFLA_GROUP, change.group);
	if (change.arpNotify !== undefined) writeIpv4Setting(message, IPV4_DEVCONF_ARP_NOTIFY, change.arpNotify ? 1 : 0);
	return { message, name: linkRequest(socket, "RTM_SETLINK", target) };
}

function writeIpv4Setting(message: MessageWriter, setting: number, value: number): void {
	const families = message.begin(IFLA_AF_SPEC | NLA_F_NESTED);
	const ipv4 = message.begin(AF_INET | NLA_F_NESTED);
	const settings = message.begin(IFLA_INET_CONF | NLA_F_NESTED);
	message.attributeU32(setting, value).end(settings).end(ipv4).end(families);
}

/** The bytes of a MAC that the caller has checked already. */
export function macBytes(text: string): Uint8Array {
	const mac = parseMac(text);
	if (mac === undefined) throw new TypeError(`"${text}" is not a MAC address`);
	return mac;
}

/** Equivalent: `ip link set dev NAME up`. */
export function setLinkUp(socket: NetlinkSocket, target: LinkTarget): void {
	setLink(socket, target, { up: true });
}

/** The same, and what the interface is then, in one exchange; undefined where it is gone. */
export function setLinkUpAndGet(socket: NetlinkSocket, target: LinkTarget): Link | undefined {
	const question = linkMessage(RTM_GETLINK, 0, target);
	const answer = askLink(socket, question, target, linkChange(socket, target, { up: true }));
	return answer && parseLink(socket, answer);
}

/** Equivalent: `ip link set dev NAME down`. */
export function setLinkDown(socket: NetlinkSocket, target: LinkTarget): void {
	setLink(socket, target, { up: false });
}

/** Equivalent: `ip link set dev NAME address MAC`. */
export function setLinkMac(socket: NetlinkSocket, target: LinkTarget, mac: string): void {
	setLink(socket, target, { mac });
}

/** Equivalent: `ip link set dev NAME mtu BYTES`. */
export function setLinkMtu(socket: NetlinkSocket, index: LinkIndex, mtu: number): void {
	setLink(socket, index, { mtu });
}

/**
 * Renames an interface. Before Linux 6.2 it must be down (EBUSY); a taken name is EEXIST, also as someone's alternative
 * name. Equivalent: `ip link set dev NAME name NEW`.
 */
export function setLinkName(socket: NetlinkSocket, index: LinkIndex, name: string): void {
	setLink(socket, index, { name });
}

/**
 * Takes or gives back this administrator's wish for all frames. Equivalent: `ip link set dev NAME promisc on|off
 * allmulticast on|off`.
 */
export function setLinkFlags(
	socket: NetlinkSocket,
	index: LinkIndex,
	flags: Pick<LinkChange, "promiscuous" | "allMulticast">,
): void {
	setLink(socket, index, flags);
}

/**
 * Moves an interface to another network namespace, renamed and changed on the way, in one request. The kernel sets it
 * down first.
 *
 * Two answers are EEXIST. The present name is taken there and no other is given (or `name` equals it): nothing has
 * happened. `name` is taken there but the present name is free: **the interface is there already, under its present
 * name**; the caller looks for the name beforehand and moves the interface back on an error. A present name that is
 * taken there does no harm when `name` is given and free.
 *
 * Equivalent: `ip link set dev NAME netns NS name NEW mtu BYTES address MAC up`.
 */
export function moveLink(
	socket: NetlinkSocket,
	index: LinkIndex,
	change: LinkChange & { readonly netnsFd: number },
): void {
	setLink(socket, index, change);
}

/** Equivalent: `ip link property add dev NAME altname ALT`. Kernel 5.5 and later. */
export function addAltName(socket: NetlinkSocket, index: LinkIndex, altName: string): void {
	changeAltName(socket, index, altName, RTM_NEWLINKPROP, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, "RTM_NEWLINKPROP");
}

/** Equivalent: `ip link property del dev NAME altname ALT`. */
export function removeAltName(socket: NetlinkSocket, index: LinkIndex, altName: string): void {
	changeAltName(socket, index, altName, RTM_DELLINKPROP, NLM_F_ACK, "RTM_DELLINKPROP");
}

function changeAltName(
	socket: NetlinkSocket,
	index: LinkIndex,
	altName: string,
	type: number,
	flags: number,
	request: string,
): void {
	const message = linkMessage(type, flags, index);
	const list = message.begin(IFLA_PROP_LIST | NLA_F_NESTED);
	message.attributeText(IFLA_ALT_IFNAME, altName).end(list);
	socket.change(message, linkRequest(socket, request, index));
}
