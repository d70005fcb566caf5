/**
 * Network interfaces: what they are.
 *
 * Wire format: linux/rtnetlink.h and linux/if_link.h, RTM_*LINK with `struct ifinfomsg`. VF settings are in vf.ts:
 * nothing here asks for them, because the answer grows with the number of VFs.
 */
import { formatMac, parseMac } from "../ip/mac.ts";
import { unlessFailed } from "../sys/sys.ts";
import * as nl from "./constants.ts";
import type { RequestName } from "./error.ts";
import { type Attributes, type Message, MessageWriter } from "./message.ts";
import type { Change, NetlinkSocket } from "./socket.ts";

/** Number of an interface within its network namespace, from 1; it may change when the interface moves to another. */
export type LinkIndex = number & { readonly brand: "LinkIndex" };

/** Which interface is meant: by its index or by its name, which the kernel takes as well. */
export type LinkTarget = LinkIndex | string;

/** IF_OPER_* of linux/if.h, in their order. */
const OPER_STATES = ["unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"] as const;

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
	readonly operState: (typeof OPER_STATES)[number];
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
	return message.attributeText(target.length > nl.IFNAME_MAX ? nl.IFLA_ALT_IFNAME : nl.IFLA_IFNAME, target);
}

/** Names a request about a link: by its name, as given or as this socket last saw it, or by its index. */
export function linkRequest(socket: NetlinkSocket, request: string, target: LinkTarget): RequestName {
	const name = typeof target === "string" ? target : socket.linkNames.get(target);
	return { request, subject: name === undefined ? `link ${target}` : `"${name}"` };
}

/**
 * The interface, or undefined. By its name, kernels from 5.5 on find alternative ones, too: compare with `link.name`
 * where that matters. `before`: see `NetlinkSocket.get`. Equivalent: `ip link show dev NAME`.
 */
export function getLink(socket: NetlinkSocket, target: LinkTarget, before?: Change): Link | undefined {
	const answer = askLink(socket, linkMessage(nl.RTM_GETLINK, 0, target), target, before);
	return answer && parseLink(socket, answer);
}

/** The answer to RTM_GETLINK; undefined where there is no such interface. `before`: see `NetlinkSocket.get`. */
export function askLink(
	socket: NetlinkSocket,
	message: MessageWriter,
	target: LinkTarget,
	before?: Change,
): Message | undefined {
	return unlessFailed(() => socket.get(message, linkRequest(socket, "RTM_GETLINK", target), before), "ENODEV");
}

/**
 * The MAC that the hardware has, whatever a bond or an administrator has made of it; undefined where there is no such
 * interface, or the kernel does not tell (before 5.6). Equivalent: `permaddr` of `ip -d link show dev NAME`.
 */
export function getPermanentMac(socket: NetlinkSocket, name: string): string | undefined {
	const attribute = askLink(socket, linkMessage(nl.RTM_GETLINK, 0, name), name)?.attributes(nl.IFINFOMSG_BYTES);
	while (attribute?.next()) if (attribute.type === nl.IFLA_PERM_ADDRESS) return formatMac(attribute.bytes());
	return undefined;
}

/** All interfaces of the namespace. Equivalent: `ip link show`. */
export function listLinks(socket: NetlinkSocket): Link[] {
	const message = linkMessage(nl.RTM_GETLINK, nl.NLM_F_DUMP, 0);
	return socket.dump(message, { request: "RTM_GETLINK", subject: "" }, (answer) => parseLink(socket, answer));
}

/** Reads RTM_NEWLINK; undefined for another type of message. */
export function parseLink(socket: NetlinkSocket, message: Message): Link | undefined {
	if (message.type !== nl.RTM_NEWLINK) return undefined;
	const flags = message.u32(8);
	const altNames: string[] = [];
	const link: { -readonly [K in keyof Link]: Link[K] } = {
		index: message.i32(4) as LinkIndex,
		name: "",
		altNames,
		mac: "",
		mtu: 0,
		flags,
		up: (flags & nl.IFF_UP) !== 0,
		running: (flags & nl.IFF_RUNNING) !== 0,
		operState: "unknown",
		txQueueLength: 0,
		group: 0,
		type: message.u16(2),
	};
	const attribute = message.attributes(nl.IFINFOMSG_BYTES);
	while (attribute.next()) {
		const { type } = attribute;
		if (type === nl.IFLA_ADDRESS) link.mac = formatMac(attribute.bytes());
		else if (type === nl.IFLA_IFNAME) link.name = attribute.text();
		else if (type === nl.IFLA_MTU) link.mtu = attribute.u32();
		else if (type === nl.IFLA_TXQLEN) link.txQueueLength = attribute.u32();
		else if (type === nl.IFLA_GROUP) link.group = attribute.u32();
		else if (type === nl.IFLA_OPERSTATE) link.operState = OPER_STATES[attribute.u8()] ?? "unknown";
		else if (type === nl.IFLA_LINKINFO) parseKind(attribute.nested(), link);
		else if (type === nl.IFLA_IFALIAS) link.alias = attribute.text();
		else if (type === nl.IFLA_PROP_LIST) parseAltNames(attribute.nested(), altNames);
		else if (type === nl.IFLA_PARENT_DEV_NAME) link.parentDevice = attribute.text();
	}
	socket.linkNames.set(link.index, link.name);
	return link;
}

function parseKind(attribute: Attributes, link: { kind?: string }): void {
	while (attribute.next()) if (attribute.type === nl.IFLA_INFO_KIND) link.kind = attribute.text();
}

function parseAltNames(attribute: Attributes, into: string[]): void {
	while (attribute.next()) if (attribute.type === nl.IFLA_ALT_IFNAME) into.push(attribute.text());
}

/** The bytes of a MAC that the caller has checked already. */
export function macBytes(text: string): Uint8Array {
	const mac = parseMac(text);
	if (mac === undefined) throw new TypeError(`"${text}" is not a MAC address`);
	return mac;
}
