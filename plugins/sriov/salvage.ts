/**
 * What a damaged record still says. Go writes its records in place, so a full disk or a power failure can cut one off anywhere.
 */
import type { JsonObject } from "../../lib/cni/types.ts";
import { driver, isPciAddress, isUserspaceDriver } from "../../lib/linux/pci.ts";
import type { NetlinkSocket } from "../../lib/netlink/socket.ts";
import { getVf, type VfSettings } from "../../lib/netlink/vf.ts";
import { object, parseTruncated, text } from "../../lib/state/json.ts";
import { findPortIfAny, netdevOnHost } from "./device.ts";
import { SOME_NAME } from "./netdev.ts";
import { listDamaged, readDamagedRecord } from "./record.ts";
import { parseNetdev, parseSettings, type VfRecord } from "./record-format.ts";
import type { SriovConfig } from "./schema.ts";

/** Whose record it is. */
interface Owner {
	readonly containerId: string;
	readonly ifName: string;
	readonly network: string;
}

/**
 * A record of VF `pci` made of what the damaged one says up to where it was cut off, what the configuration of DEL says and what can be
 * seen. A setting whose old value is lost goes back to the driver's default where the configuration had set it, and else stays. A lost
 * name becomes "dev<N>", unless the netdev is on the host and has another than the pod's.
 */
export function salvage(host: NetlinkSocket, owner: Owner, given: Partial<SriovConfig>, pci: string): VfRecord {
	const { containerId, ifName, network } = owner;
	const told = parseTruncated(readDamagedRecord(containerId, ifName));
	const config = { name: network, ...given, ...(told as Partial<SriovConfig>) };
	const go = object(told.OrigVfState) ?? {};
	const own = object(told.berth);
	const port = findPortIfAny(host, pci);
	const now = port && getVf(host, port.pfIndex, port.vf);
	return {
		containerId,
		ifName,
		netns: text(own?.netns),
		netnsIdentity: text(own?.netnsIdentity),
		bootId: text(own?.bootId),
		network,
		pci,
		pfName: port?.pfName ?? "",
		vfIndex: port?.vf ?? 0,
		original: {
			netdev: isUserspaceDriver(driver(pci) ?? "")
				? undefined
				: parseNetdev({ ...go, HostIFName: text(go.HostIFName) || nameNow(host, pci, ifName) }, own, pci),
			settings: now && { ...now, ...defaultsFor(config, now), ...knownSettings(go, own) },
		},
		config,
		requestedMac: undefined,
	};
}

/** What all damaged records that are of VF `pci` still say of it. */
export function salvageAll(host: NetlinkSocket, pci: string): VfRecord[] {
	const ofVf = listDamaged().filter((each) => damagedPci(each.text) === pci);
	return ofVf.map(({ containerId, ifName, text: json }) =>
		salvage(host, { containerId, ifName, network: text(parseTruncated(json).name) }, {}, pci),
	);
}

/** PCI address of the VF that the text of a damaged record is about, if that is left of it. */
export function damagedPci(json: string): string | undefined {
	const told = parseTruncated(json);
	const own = object(told.berth);
	const known = [told.deviceID, own?.deviceID, object(own?.netdev)?.parentDevice].map(text);
	return known.find(isPciAddress);
}

function nameNow(host: NetlinkSocket, pci: string, ifName: string): string {
	const name = netdevOnHost(host, pci)?.name;
	return name === undefined || name === ifName ? SOME_NAME : name;
}

/** What a driver starts with, for what ADD had changed: the Go plugin undoes no more either. */
function defaultsFor(config: SriovConfig, now: VfSettings): Partial<VfSettings> {
	const isSet = (value: unknown): boolean => value !== undefined && value !== null && value !== "";
	return {
		...(isSet(config.vlan) && ({ vlan: 0, vlanQos: 0, vlanProto: "802.1q" } as const)),
		...(isSet(config.min_tx_rate) && { minTxRate: 0 }),
		...(isSet(config.max_tx_rate) && { maxTxRate: 0 }),
		...(isSet(config.spoofchk) && now.spoofCheck !== undefined && { spoofCheck: true }),
		...(isSet(config.trust) && now.trust !== undefined && { trust: false }),
		...(isSet(config.link_state) && ({ linkState: "auto" } as const)),
	};
}

const GO_SETTINGS = {
	AdminMAC: "mac",
	Vlan: "vlan",
	VlanQoS: "vlanQos",
	VlanProto: "vlanProto",
	MinTxRate: "minTxRate",
	MaxTxRate: "maxTxRate",
	SpoofChk: "spoofCheck",
	Trust: "trust",
	LinkState: "linkState",
} as const satisfies Record<string, keyof VfSettings>;

function knownSettings(go: JsonObject, own: JsonObject | undefined): Partial<VfSettings> {
	const all = parseSettings(go, own);
	if (all === undefined) return {};
	const known = Object.entries(GO_SETTINGS).filter(([key, field]) => key in go && all[field] !== undefined);
	return Object.fromEntries(known.map(([, field]) => [field, all[field]]));
}
