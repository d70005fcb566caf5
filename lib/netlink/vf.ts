/**
 * SR-IOV virtual function settings, set and read through the physical function.
 *
 * Wire format: linux/if_link.h, IFLA_VFINFO_LIST > IFLA_VF_INFO > IFLA_VF_*; each of those is a struct that starts with
 * the number of the VF. Nothing here knows about CNI.
 */
import { formatMac } from "../ip/mac.ts";
import {
	ETH_P_8021AD,
	ETH_P_8021Q,
	IFINFOMSG_BYTES,
	IFLA_ADDRESS,
	IFLA_EXT_MASK,
	IFLA_VF_INFO,
	IFLA_VF_LINK_STATE,
	IFLA_VF_MAC,
	IFLA_VF_RATE,
	IFLA_VF_SPOOFCHK,
	IFLA_VF_TRUST,
	IFLA_VF_VLAN,
	IFLA_VF_VLAN_INFO,
	IFLA_VF_VLAN_LIST,
	IFLA_VFINFO_LIST,
	NLM_F_ACK,
	RTEXT_FILTER_SKIP_STATS,
	RTEXT_FILTER_VF,
	RTM_GETLINK,
	RTM_SETLINK,
	VF_MAC_BYTES,
} from "./constants.ts";
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
		return allVfs(this.#answer);
	}

	/** The settings of one VF; undefined where the PF does not list it. */
	vf(index: VfIndex): VfSettings | undefined {
		return oneVf(this.#answer, index);
	}

	/** Whether the driver tells of any VF. */
	get listsVfs(): boolean {
		let any = false;
		eachVf(this.#answer, () => {
			any = true;
			return false;
		});
		return any;
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
	return allVfs(askVfs(socket, pf));
}

/** The settings of one VF; undefined where the PF does not list it. Errors as for `getVfs`. */
export function getVf(socket: NetlinkSocket, pf: LinkIndex, index: VfIndex): VfSettings | undefined {
	return oneVf(askVfs(socket, pf), index);
}

function askVfs(socket: NetlinkSocket, pf: LinkIndex): Message {
	return socket.get(vfsMessage(pf), linkRequest(socket, "RTM_GETLINK", pf));
}

function vfsMessage(pf: LinkTarget): MessageWriter {
	return linkMessage(RTM_GETLINK, 0, pf).attributeU32(IFLA_EXT_MASK, RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS);
}

function allVfs(answer: Message): (VfSettings | undefined)[] {
	const vfs: (VfSettings | undefined)[] = [];
	eachVf(answer, (attributes, macLength) => {
		const vf = parseVf(attributes, macLength);
		if (vf !== undefined) vfs[vf.index] = vf.settings;
		return true;
	});
	return vfs;
}

function oneVf(answer: Message, index: VfIndex): VfSettings | undefined {
	let found: VfSettings | undefined;
	eachVf(answer, (attributes, macLength, number) => {
		// The kernel leaves out a VF whose driver does not answer just now, so that its place in the list does not
		// tell.
		if (number !== index) return true;
		found = parseVf(attributes, macLength)?.settings;
		return false;
	});
	return found;
}

/**
 * Walks the VFs in an answer until `visit` returns false. `number` is the VF's, -1 where the kernel does not begin with
 * its MAC.
 */
function eachVf(answer: Message, visit: (vf: Attributes, macLength: number, number: number) => boolean): void {
	const attribute = answer.attributes(IFINFOMSG_BYTES);
	let macLength = 6;
	while (attribute.next()) {
		// A VF's MAC is as long as its PF's (20 bytes for InfiniBand); the kernel writes the PF's first.
		if (attribute.type === IFLA_ADDRESS) macLength = attribute.length;
		if (attribute.type !== IFLA_VFINFO_LIST) continue;
		const vf = attribute.nested();
		while (vf.next()) {
			if (vf.type !== IFLA_VF_INFO) continue;
			const first = vf.nested();
			const number = first.next() && first.type === IFLA_VF_MAC ? first.u32() : -1;
			if (!visit(vf.nested(), macLength, number)) return;
		}
	}
}

function parseVf(
	attribute: Attributes,
	macLength: number,
): { readonly index: number; readonly settings: VfSettings } | undefined {
	let index = -1;
	const settings: { -readonly [K in keyof VfSettings]: VfSettings[K] } = {
		mac: "",
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
		switch (attribute.type) {
			case IFLA_VF_MAC:
				index = attribute.u32();
				settings.mac = formatMac(attribute.bytes().subarray(4, 4 + macLength));
				break;
			case IFLA_VF_VLAN:
				settings.vlan = attribute.u32(4);
				settings.vlanQos = attribute.u32(8);
				break;
			case IFLA_VF_VLAN_LIST: {
				const info = attribute.nested();
				if (info.next() && info.type === IFLA_VF_VLAN_INFO && info.u16be(12) === ETH_P_8021AD) {
					settings.vlanProto = "802.1ad";
				}
				break;
			}
			case IFLA_VF_RATE:
				settings.minTxRate = attribute.u32(4);
				settings.maxTxRate = attribute.u32(8);
				break;
			case IFLA_VF_SPOOFCHK:
				settings.spoofCheck = onOff(attribute.u32(4));
				break;
			case IFLA_VF_TRUST:
				settings.trust = onOff(attribute.u32(4));
				break;
			case IFLA_VF_LINK_STATE:
				settings.linkState = LINK_STATES[attribute.u32(4)] ?? "auto";
				break;
		}
	}
	return index < 0 ? undefined : { index, settings };
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
	const message = linkMessage(RTM_SETLINK, NLM_F_ACK, pf);
	const list = message.begin(IFLA_VFINFO_LIST);
	const { mac, vlan, vlanQos, vlanProto, minTxRate, maxTxRate, spoofCheck, trust, linkState, ...rest } = settings;
	// A setting that is not sent here does not compile.
	rest satisfies Record<string, never>;
	if (vlan !== undefined) writeVlan(message, index, vlan, vlanQos ?? 0, vlanProto ?? "802.1q");
	else if (vlanQos !== undefined || vlanProto !== undefined) {
		throw new TypeError("vlanQos and vlanProto cannot be set without vlan");
	}
	if (mac !== undefined) {
		const bytes = macBytes(mac);
		const at = beginVf(message, IFLA_VF_MAC, index);
		message.bytes(bytes).zeros(VF_MAC_BYTES - bytes.length);
		endVf(message, at);
	}
	if (minTxRate !== undefined && maxTxRate !== undefined) {
		const at = beginVf(message, IFLA_VF_RATE, index);
		message.u32(minTxRate).u32(maxTxRate);
		endVf(message, at);
	} else if (minTxRate !== undefined || maxTxRate !== undefined) {
		throw new TypeError("minTxRate and maxTxRate are one setting: give both");
	}
	if (spoofCheck !== undefined) writeNumber(message, IFLA_VF_SPOOFCHK, index, spoofCheck ? 1 : 0);
	if (trust !== undefined) writeNumber(message, IFLA_VF_TRUST, index, trust ? 1 : 0);
	if (linkState !== undefined) writeNumber(message, IFLA_VF_LINK_STATE, index, LINK_STATES.indexOf(linkState));
	message.end(list);
	const name = linkRequest(socket, "RTM_SETLINK", pf);
	socket.change(message, { request: name.request, subject: `VF ${index} of ${name.subject}` });
}

/**
 * `struct ifla_vf_vlan_info`: 16 bytes with its padding; the kernel refuses 14. The protocol is in network byte order.
 */
function writeVlan(
	message: MessageWriter,
	index: VfIndex,
	vlan: number,
	qos: number,
	proto: "802.1q" | "802.1ad",
): void {
	const info = message.begin(IFLA_VF_INFO);
	const list = message.begin(IFLA_VF_VLAN_LIST);
	const entry = message.begin(IFLA_VF_VLAN_INFO);
	message.u32(index).u32(vlan).u32(qos);
	message.u16be(proto === "802.1ad" ? ETH_P_8021AD : ETH_P_8021Q).zeros(2);
	message.end(entry).end(list).end(info);
}

function writeNumber(message: MessageWriter, type: number, index: VfIndex, value: number): void {
	const at = beginVf(message, type, index);
	message.u32(value);
	endVf(message, at);
}

/**
 * Each setting has an IFLA_VF_INFO of its own: within one, the kernel applies settings in an order of its own (MAC
 * first), whatever their order in the message.
 */
function beginVf(message: MessageWriter, type: number, index: VfIndex): { info: number; setting: number } {
	const info = message.begin(IFLA_VF_INFO);
	const setting = message.begin(type);
	message.u32(index);
	return { info, setting };
}

function endVf(message: MessageWriter, at: { info: number; setting: number }): void {
	message.end(at.setting).end(at.info);
}
