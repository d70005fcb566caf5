/**
 * The text of a record: that of the Go plugin (sriov-cni v2.10.0), its configuration with `OrigVfState` in it, so
 * that either can delete what the other added. Ours has one key more, `berth`.
 */
import { fold } from "../../lib/cni/keys.ts";
import type { JsonObject } from "../../lib/cni/types.ts";
import { isPciAddress } from "../../lib/linux/pci.ts";
import type { VfSettings } from "../../lib/netlink/vf.ts";
import { type DeviceState, stateFromJson, stateToJson } from "../../lib/rdma/given.ts";
import { deviceName, integer, namePart, object, type Told, text } from "../../lib/state/json.ts";
import { type RecordedSandbox, sandboxIn } from "../../lib/state/liveness.ts";
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
	/** Undefined in a record of Go's, which leaves them on the interface (or of one that was truncated). */
	readonly altNames: readonly string[] | undefined;
	readonly up: boolean;
	/** The administrator's wish for all frames, of all destinations and of all multicast ones. */
	readonly promiscuous: boolean;
	readonly allMulticast: boolean;
	/** ifalias, txqueuelen and group, which a pod may change; undefined in a record of Go's. */
	readonly alias: string | undefined;
	readonly txQueueLength: number | undefined;
	readonly group: number | undefined;
	/**
	 * Name of its device on its bus, by which it is known wherever it is; "" where the kernel does not tell (before
	 * 5.14).
	 */
	readonly parentDevice: string;
}

export interface VfRecord extends RecordedSandbox {
	readonly containerId: string;
	readonly ifName: string;
	readonly network: string;
	/** "namespace/name" and UID of the pod, as far as CNI_ARGS tell; "" in a record of Go's. */
	readonly pod: string;
	readonly podUid: string;
	readonly pci: string;
	/** "" where the PF is not on this host. */
	readonly pfName: string;
	readonly vfIndex: number;
	readonly original: OriginalState;
	/** What there is to know of the RDMA device; undefined: it was none of this attachment's. */
	readonly rdma: DeviceState | undefined;
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
		// First, so that it is the last to go where a file is truncated.
		...original,
		...withoutOwnKeys(config as JsonObject),
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

/** Go reads keys in any case, and takes the last: a key of the configuration must not be one of the record's own. */
function withoutOwnKeys(config: JsonObject): JsonObject {
	return Object.fromEntries(Object.entries(config).filter(([key]) => !OWN_KEYS.includes(fold(key))));
}
const OWN_KEYS: readonly string[] = ["origvfstate", "vfid", "master", "berth"];

function formatOriginal(record: VfRecord): object {
	const { rdma, original } = record;
	const { settings, netdev } = original;
	const { name: _name, mac: _mac, mtu: _mtu, ...inOwn } = netdev ?? {};
	return {
		OrigVfState: {
			HostIFName: netdev?.name ?? "",
			EffectiveMAC: netdev?.mac ?? "",
			...settingsToGo(settings),
			MTU: netdev?.mtu ?? 0,
		},
		berth: {
			// Once more: where a file was truncated, this has to be left.
			deviceID: record.pci,
			containerID: record.containerId,
			ifname: record.ifName,
			netns: record.netns,
			netnsIdentity: record.netnsIdentity,
			bootId: record.bootId,
			pod: record.pod,
			podUid: record.podUid,
			...(rdma && { rdma: { hostName: rdma.hostName, podName: rdma.podName, ...stateToJson(rdma) } }),
			netdev: netdev === undefined ? null : inOwn,
			settings: settingsToOwn(settings),
		},
	};
}

/** What our own part tells of an RDMA device. */
export function parseRdma(own: JsonObject | undefined): DeviceState | undefined {
	const rdma = object(own?.rdma);
	return rdma && stateFromJson(rdma, rdma.hostName, rdma.podName);
}

/** The attachment that a record of ours says it is of, damaged or not; undefined where it does not say. */
export function ownerIn({ json }: Told): { containerId: string; ifName: string } | undefined {
	const own = object(json.berth);
	const [containerId, ifName] = [namePart(own?.containerID), namePart(own?.ifname)];
	return containerId === "" || ifName === "" ? undefined : { containerId, ifName };
}

/** PCI address of the VF that a record is of, damaged or not, if that is left of it. */
export function pciIn({ json }: Told): string | undefined {
	const own = object(json.berth);
	const known = [json.deviceID, own?.deviceID, object(own?.netdev)?.parentDevice];
	return known.map((each) => text(each).toLowerCase()).find(isPciAddress);
}

/**
 * Undefined for anything that is not a whole record: state files may be truncated (Go does not write them
 * atomically), and what is in them may make no sense. What becomes a path or a name is checked like a user's; a
 * number that cannot be is as good as none.
 */
export function parseRecord(
	{ json: record, isWhole }: Told,
	containerId: string,
	ifName: string,
): VfRecord | undefined {
	const go = object(record.OrigVfState);
	const pci = text(record.deviceID).toLowerCase();
	if (!isWhole || go === undefined || !isPciAddress(pci)) return undefined;
	if (text(go.HostIFName) !== deviceName(go.HostIFName)) return undefined;
	const own = object(record.berth);
	return {
		containerId: namePart(own?.containerID) || containerId,
		ifName: namePart(own?.ifname) || ifName,
		...sandboxIn(own),
		pod: text(own?.pod),
		podUid: text(own?.podUid),
		network: text(record.name),
		pci,
		pfName: deviceName(record.Master),
		vfIndex: integer(record.VFID, MOST_VFS) ?? 0,
		original: {
			netdev: parseNetdev(go, own, pci),
			settings: settingsFromRecord(go, ownSettings(own)),
		},
		rdma: parseRdma(own),
		config: record as unknown as SriovConfig,
		requestedMac: text(record.MAC) || undefined,
	};
}

/** A PCI device has at most so many VFs (PCI-SIG SR-IOV 1.1, NumVFs). */
const MOST_VFS = 0xffff;

export function parseNetdev(go: JsonObject, own: JsonObject | undefined, pci: string): OriginalNetdev | undefined {
	const name = deviceName(go.HostIFName);
	if (name === "") return undefined;
	const netdev = object(own?.netdev);
	const altNames = netdev?.altNames;
	return {
		name,
		mac: macOrNone(go.EffectiveMAC),
		mtu: integer(go.MTU, 0xffff_ffff) ?? 0,
		altNames: Array.isArray(altNames) ? altNames.map(deviceName).filter(Boolean) : undefined,
		up: netdev?.up === true,
		promiscuous: netdev?.promiscuous === true,
		allMulticast: netdev?.allMulticast === true,
		alias: typeof netdev?.alias === "string" ? netdev.alias : undefined,
		txQueueLength: integer(netdev?.txQueueLength, 0xffff_ffff),
		group: integer(netdev?.group, 0xffff_ffff),
		// Go knows no VF whose netdev hangs on anything but the PCI device. (A record that was truncated may have
		// lost it, too.)
		parentDevice: typeof netdev?.parentDevice === "string" ? netdev.parentDevice : pci,
	};
}

/** Our own part of the settings. */
export const ownSettings = (own: JsonObject | undefined): JsonObject | null | undefined =>
	own?.settings === null ? null : object(own?.settings);
