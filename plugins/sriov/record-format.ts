/**
 * The text of a record: that of the Go plugin (sriov-cni v2.10.0), its configuration with `OrigVfState` in it, so that either can delete
 * what the other added. Ours has one key more, `berth`.
 */
import type { JsonObject } from "../../lib/cni/types.ts";
import type { VfSettings } from "../../lib/netlink/vf.ts";
import { number, object, parseObject, text } from "../../lib/state/json.ts";
import type { SriovConfig } from "./schema.ts";
import { macOrNone, settingsFromRecord, settingsToGo, settingsToOwn } from "./vf-settings.ts";

/** What the VF was before ADD. */
interface OriginalState {
	/** Undefined for a VF without a netdev (userspace driver). */
	readonly netdev: OriginalNetdev | undefined;
	/** Undefined where the PF reports no settings of its VFs. */
	readonly settings: VfSettings | undefined;
}

export interface OriginalNetdev {
	readonly name: string;
	/** Address of the netdev, not the administrative one. "" in a record of Go's that has none. */
	readonly mac: string;
	/** 0 in a record of Go's that has none. */
	readonly mtu: number;
	/** Undefined in a record of Go's, which leaves them on the interface (or of one that was cut off). */
	readonly altNames: readonly string[] | undefined;
	readonly up: boolean;
	/** The administrator's wish for all frames, of all destinations and of all multicast ones. */
	readonly promiscuous: boolean;
	readonly allMulticast: boolean;
	/** Remark, queue length and group, which a pod may change; undefined in a record of Go's. */
	readonly alias: string | undefined;
	readonly txQueueLength: number | undefined;
	readonly group: number | undefined;
	/** Name of its device on its bus, by which it is known wherever it is; "" where the kernel does not tell (before 5.14). */
	readonly parentDevice: string;
}

export interface VfRecord {
	readonly containerId: string;
	readonly ifName: string;
	/** CNI_NETNS of ADD; "" in a record of Go's. */
	readonly netns: string;
	/** `Sandbox.identity` of ADD; "" in a record of Go's. */
	readonly netnsIdentity: string;
	/** `bootId` of ADD; "" in a record of Go's. */
	readonly bootId: string;
	readonly network: string;
	readonly pci: string;
	/** "" where the PF is not on this host. */
	readonly pfName: string;
	readonly vfIndex: number;
	readonly original: OriginalState;
	/** The configuration that ADD was given. */
	readonly config: SriovConfig;
	/** MAC that ADD was asked for, from whichever source. */
	readonly requestedMac: string | undefined;
}

/** The text of a record. */
export function formatRecord(record: VfRecord): string {
	const { config } = record;
	const original = formatOriginal(record);
	return JSON.stringify({
		// First, so that it is the last to go where a file is cut off.
		...original,
		...(config as JsonObject),
		vlan: config.vlan ?? null,
		vlanQoS: config.vlanQoS ?? null,
		vlanProto: config.vlanProto ?? null,
		min_tx_rate: config.min_tx_rate ?? null,
		max_tx_rate: config.max_tx_rate ?? null,
		deviceID: record.pci,
		VFID: record.vfIndex,
		Master: record.pfName,
		MAC: record.requestedMac ?? "",
		MTU: config.mtu ?? record.original.netdev?.mtu ?? 0,
		...original,
	});
}

function formatOriginal(record: VfRecord): JsonObject {
	const { settings, netdev } = record.original;
	return {
		OrigVfState: {
			HostIFName: netdev?.name ?? "",
			EffectiveMAC: netdev?.mac ?? "",
			...settingsToGo(settings),
			MTU: netdev?.mtu ?? 0,
		},
		berth: {
			// Once more: where a file was cut off, this has to be left.
			deviceID: record.pci,
			containerID: record.containerId,
			ifname: record.ifName,
			netns: record.netns,
			netnsIdentity: record.netnsIdentity,
			bootId: record.bootId,
			netdev:
				netdev === undefined
					? null
					: {
							altNames: netdev.altNames === undefined ? null : [...netdev.altNames],
							up: netdev.up,
							promiscuous: netdev.promiscuous,
							allMulticast: netdev.allMulticast,
							alias: netdev.alias ?? null,
							txQueueLength: netdev.txQueueLength ?? null,
							group: netdev.group ?? null,
							parentDevice: netdev.parentDevice,
						},
			settings: settingsToOwn(settings),
		},
	};
}

/** Undefined for anything that is not a whole record: state files may be cut off (Go does not write them atomically). */
export function parseRecord(json: string, containerId: string, ifName: string): VfRecord | undefined {
	const record = parseObject(json);
	const go = object(record?.OrigVfState);
	if (record === undefined || go === undefined || !text(record.deviceID)) return undefined;
	const own = object(record.berth);
	return {
		containerId: text(own?.containerID) || containerId,
		ifName: text(own?.ifname) || ifName,
		netns: text(own?.netns),
		netnsIdentity: text(own?.netnsIdentity),
		bootId: text(own?.bootId),
		network: text(record.name),
		pci: text(record.deviceID),
		pfName: text(record.Master),
		vfIndex: number(record.VFID) ?? 0,
		original: {
			netdev: parseNetdev(go, own, text(record.deviceID)),
			settings: settingsFromRecord(go, ownSettings(own)),
		},
		config: record as unknown as SriovConfig,
		requestedMac: text(record.MAC) || undefined,
	};
}

export function parseNetdev(go: JsonObject, own: JsonObject | undefined, pci: string): OriginalNetdev | undefined {
	const name = text(go.HostIFName);
	if (!name) return undefined;
	const netdev = object(own?.netdev);
	const altNames = netdev?.altNames;
	return {
		name,
		mac: macOrNone(go.EffectiveMAC),
		mtu: number(go.MTU) ?? 0,
		altNames: Array.isArray(altNames) ? altNames.map(text) : undefined,
		up: netdev?.up === true,
		promiscuous: netdev?.promiscuous === true,
		allMulticast: netdev?.allMulticast === true,
		alias: typeof netdev?.alias === "string" ? netdev.alias : undefined,
		txQueueLength: typeof netdev?.txQueueLength === "number" ? netdev.txQueueLength : undefined,
		group: typeof netdev?.group === "number" ? netdev.group : undefined,
		// Go knows no VF whose netdev hangs on anything but the PCI device. (A record that was cut off may have lost it, too.)
		parentDevice: typeof netdev?.parentDevice === "string" ? netdev.parentDevice : pci,
	};
}

/** Our own part of the settings. */
export const ownSettings = (own: JsonObject | undefined): JsonObject | null | undefined =>
	own?.settings === null ? null : object(own?.settings);
