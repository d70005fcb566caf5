/**
 * SR-IOV virtual function settings, set and read through the physical function.
 *
 * Wire format: linux/if_link.h, IFLA_VFINFO_LIST > IFLA_VF_INFO > IFLA_VF_*; each of those is a struct that starts with
 * the number of the VF. Nothing here knows about CNI.
 */
import { formatMac } from "../ip/mac.ts";
import * as nl from "./constants.ts";
import {
	askLink,
	type Link,
	type LinkIndex,
	type LinkTarget,
	linkMessage,
	linkRequest,
	macBytes,
	parseLink,
} from "./link.ts";
import type { Attributes, Message, MessageWriter } from "./message.ts";
import type { NetlinkSocket } from "./socket.ts";

/** Number of a VF on its PF, from 0. */
export type VfIndex = number & { readonly brand: "VfIndex" };

/** What the PF enforces for one VF. */
export interface VfSettings {
	/** The administrator's MAC; all zero: the VF chooses. Lower-case hex pairs joined by ":". */
	readonly mac: string;
	/** 0 to 4094; 0: frames are passed as they are. */
	readonly vlan: number;
	/** Priority in the VLAN tag, 0 to 7. */
	readonly vlanQos: number;
	readonly vlanProto: "802.1q" | "802.1ad";
	/** Mbit/s; 0: none. */
	readonly minTxRate: number;
	/** Mbit/s; 0: unlimited. */
	readonly maxTxRate: number;
	/** Undefined where the driver does not tell. */
	readonly spoofCheck: boolean | undefined;
	/** Undefined where the driver does not tell. */
	readonly trust: boolean | undefined;
	readonly linkState: "auto" | "enable" | "disable";
}

/** What a driver that does not know leaves in a setting (-1). */
const NOT_TOLD = 0xffffffff;
const LINK_STATES = ["auto", "enable", "disable"] as const;

/** What one answer says of a PF and of its VFs. VFs are read when they are asked for: a card may have hundreds. */
export class Pf {
	readonly link: Link;
	readonly #answer: Message;

	constructor(link: Link, answer: Message) {
		this.link = link;
		this.#answer = answer;
	}

	/** The settings of all VFs; the place in the list is the number of the VF. See `getVfs`. */
	vfs(): (VfSettings | undefined)[] {
		return readVfs(this.#answer);
	}

	/** The settings of one VF; undefined where the PF does not list it. */
	vf(index: VfIndex): VfSettings | undefined {
		return readVfs(this.#answer, index)[index];
	}

	/** Whether the driver tells of any VF. */
	get listsVfs(): boolean {
		return this.vfs().length > 0;
	}
}

/**
 * The PF with this name and its VFs, in one question; undefined where there is no such interface. Errors as for
 * `getVfs`.
 */
export function getPfByName(socket: NetlinkSocket, name: string): Pf | undefined {
	const answer = askLink(socket, vfsMessage(name), name);
	const link = answer && parseLink(socket, answer);
	return link && new Pf(link, answer);
}

/**
 * The settings of all VFs of a PF; the place in the list is the number of the VF, with holes for those whose
 * driver does not answer just now. Empty where the driver has no VFs or tells nothing
 * (virtio). Equivalent: `ip link show dev PF`. Throws NetlinkError (ENODEV: no such PF; EMSGSIZE: more VFs than fit one
 * answer, some 300).
 */
export function getVfs(socket: NetlinkSocket, pf: LinkIndex): (VfSettings | undefined)[] {
	return readVfs(askVfs(socket, pf));
}

/** The settings of one VF; undefined where the PF does not list it. Errors as for `getVfs`. */
export function getVf(socket: NetlinkSocket, pf: LinkIndex, index: VfIndex): VfSettings | undefined {
	return readVfs(askVfs(socket, pf), index)[index];
}

function askVfs(socket: NetlinkSocket, pf: LinkIndex): Message {
	return socket.get(vfsMessage(pf), linkRequest(socket, "RTM_GETLINK", pf));
}

function vfsMessage(pf: LinkTarget): MessageWriter {
	const wanted = nl.RTEXT_FILTER_VF | nl.RTEXT_FILTER_SKIP_STATS;
	return linkMessage(nl.RTM_GETLINK, 0, pf).attributeU32(nl.IFLA_EXT_MASK, wanted);
}

/** The settings of all VFs in an answer, or (`only`) of one, each at the place of its number. */
function readVfs(answer: Message, only?: VfIndex): (VfSettings | undefined)[] {
	const vfs: (VfSettings | undefined)[] = [];
	const attribute = answer.attributes(nl.IFINFOMSG_BYTES);
	let macLength = 6;
	while (attribute.next()) {
		// A VF's MAC is as long as its PF's (20 bytes for InfiniBand); the kernel writes the PF's first.
		if (attribute.type === nl.IFLA_ADDRESS) macLength = attribute.length;
		if (attribute.type !== nl.IFLA_VFINFO_LIST) continue;
		const list = attribute.nested();
		while (list.next()) {
			const vf = list.nested();
			if (list.type !== nl.IFLA_VF_INFO || !vf.next() || vf.type !== nl.IFLA_VF_MAC) continue;
			// Not the place in the list: the kernel leaves out a VF whose driver does not answer just now.
			const index = vf.u32();
			if (only !== undefined && index !== only) continue;
			vfs[index] = readVf(vf, macLength);
			if (index === only) return vfs;
		}
	}
	return vfs;
}

/** `attribute` is at the MAC, with which the kernel begins. */
function readVf(attribute: Attributes, macLength: number): VfSettings {
	const settings: { -readonly [K in keyof VfSettings]: VfSettings[K] } = {
		mac: formatMac(attribute.bytes().subarray(4, 4 + macLength)),
		vlan: 0,
		vlanQos: 0,
		vlanProto: "802.1q",
		minTxRate: 0,
		maxTxRate: 0,
		spoofCheck: undefined,
		trust: undefined,
		linkState: "auto",
	};
	while (attribute.next()) {
		const { type } = attribute;
		if (type === nl.IFLA_VF_VLAN) [settings.vlan, settings.vlanQos] = [attribute.u32(4), attribute.u32(8)];
		else if (type === nl.IFLA_VF_VLAN_LIST) settings.vlanProto = readProtocol(attribute.nested());
		else if (type === nl.IFLA_VF_RATE) [settings.minTxRate, settings.maxTxRate] = [attribute.u32(4), attribute.u32(8)];
		else if (type === nl.IFLA_VF_SPOOFCHK) settings.spoofCheck = onOff(attribute.u32(4));
		else if (type === nl.IFLA_VF_TRUST) settings.trust = onOff(attribute.u32(4));
		else if (type === nl.IFLA_VF_LINK_STATE) settings.linkState = LINK_STATES[attribute.u32(4)] ?? "auto";
	}
	return settings;
}

function readProtocol(info: Attributes): VfSettings["vlanProto"] {
	return info.next() && info.type === nl.IFLA_VF_VLAN_INFO && info.u16be(12) === nl.ETH_P_8021AD ? "802.1ad" : "802.1q";
}

function onOff(setting: number): boolean | undefined {
	return setting === NOT_TOLD ? undefined : setting !== 0;
}

/**
 * Sets what is given (undefined: left alone) in one request, in this order: VLAN, MAC, rates, spoof check, trust, link
 * state. The kernel stops at the first setting that the driver refuses and keeps those before it; it does not say which
 * one it was: read back.
 *
 * `minTxRate` and `maxTxRate` are one setting, so both must be given; `vlanQos` and `vlanProto` need `vlan`, and are 0
 * and "802.1q" if missing.
 *
 * Equivalent: `ip link set dev PF vf N vlan V qos Q proto P mac M min_tx_rate A max_tx_rate B spoofchk on trust on
 * state auto`.
 */
export function setVf(socket: NetlinkSocket, pf: LinkIndex, index: VfIndex, settings: Partial<VfSettings>): void {
	const message = linkMessage(nl.RTM_SETLINK, nl.NLM_F_ACK, pf);
	const list = message.begin(nl.IFLA_VFINFO_LIST);
	const { mac, vlan, vlanQos, vlanProto, minTxRate, maxTxRate, spoofCheck, trust, linkState, ...rest } = settings;
	// A setting that is not sent here does not compile.
	rest satisfies Record<string, never>;
	if (vlan !== undefined) {
		const protocol = vlanProto === "802.1ad" ? nl.ETH_P_8021AD : nl.ETH_P_8021Q;
		writeSetting(message, nl.IFLA_VF_VLAN_LIST, () => {
			// 16 bytes with its padding; the kernel refuses 14. The protocol is in network byte order.
			const info = message.begin(nl.IFLA_VF_VLAN_INFO);
			message.u32(index).u32(vlan);
			message.u32(vlanQos ?? 0).bytes(Uint8Array.of(protocol >> 8, protocol & 0xff, 0, 0));
			message.end(info);
		});
	} else if (vlanQos !== undefined || vlanProto !== undefined) {
		throw new TypeError("vlanQos and vlanProto cannot be set without vlan");
	}
	if (mac !== undefined) {
		const bytes = new Uint8Array(nl.VF_MAC_BYTES);
		bytes.set(macBytes(mac));
		writeSetting(message, nl.IFLA_VF_MAC, () => message.u32(index).bytes(bytes));
	}
	if (minTxRate !== undefined && maxTxRate !== undefined) {
		writeSetting(message, nl.IFLA_VF_RATE, () => message.u32(index).u32(minTxRate).u32(maxTxRate));
	} else if (minTxRate !== undefined || maxTxRate !== undefined) {
		throw new TypeError("minTxRate and maxTxRate are one setting: give both");
	}
	const number = (type: number, value: number): void =>
		writeSetting(message, type, () => message.u32(index).u32(value));
	if (spoofCheck !== undefined) number(nl.IFLA_VF_SPOOFCHK, spoofCheck ? 1 : 0);
	if (trust !== undefined) number(nl.IFLA_VF_TRUST, trust ? 1 : 0);
	if (linkState !== undefined) number(nl.IFLA_VF_LINK_STATE, LINK_STATES.indexOf(linkState));
	message.end(list);
	const name = linkRequest(socket, "RTM_SETLINK", pf);
	socket.change(message, { request: name.request, subject: `VF ${index} of ${name.subject}` });
}

/**
 * Each setting has an IFLA_VF_INFO of its own: within one, the kernel applies settings in an order of its own (MAC
 * first), whatever their order in the message.
 */
function writeSetting(message: MessageWriter, type: number, write: () => void): void {
	const info = message.begin(nl.IFLA_VF_INFO);
	const setting = message.begin(type);
	write();
	message.end(setting).end(info);
}
