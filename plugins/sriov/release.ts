/**
 * Giving a VF back: DEL, GC, the undo of a failed ADD, and the healing of a VF whose pod is gone are all this.
 */
import * as pci from "../../lib/linux/pci.ts";
import type { Link } from "../../lib/netlink/link.ts";
import type { NetlinkSocket } from "../../lib/netlink/socket.ts";
import type { VfSettings } from "../../lib/netlink/vf.ts";
import type { Log } from "../../lib/plugin/log.ts";
import { Sandbox } from "../../lib/plugin/sandbox.ts";
import { isOfEarlierBoot, openSandboxOf } from "../../lib/state/liveness.ts";
import { awaitNetdevOnHost, findPortIfAny, makesNetdev, netdevOnHost } from "./device.ts";
import { removeDeviceInfoTemporary } from "./device-info.ts";
import { addAltNames, correctName, namedNetdevOnHost, netdevInPod, restoreRest, returnToHost } from "./netdev.ts";
import { returnRdma } from "./rdma.ts";
import { readMarker, recordsOf, removeMarker, removeRecord } from "./record.ts";
import type { OriginalNetdev, VfRecord } from "./record-format.ts";
import { clearMac, restoreSettings } from "./settings.ts";
import { FIELDS, settingsOf } from "./vf-settings.ts";

/**
 * Puts the VF back to what the record says it was, wherever it is now, then forgets the attachment: device, record,
 * marker, in this order. A VF that another sandbox has by now (marker) is not touched. The caller holds the VF's
 * lock.
 *
 * What could not be put back is a warning in the log: it must not keep a pod from ending. If the netdev is nowhere to
 * be seen, or settings are still the pod's, record and marker stay, so that GC or the next ADD of the VF tries again;
 * false then. Throws (they stay, too) where the netdev could not leave the pod.
 */
export function release(host: NetlinkSocket, record: VfRecord, netns: string, log: Log): boolean {
	const marker = readMarker(record.pci);
	using found = locate(host, record, netns || record.netns || marker || "", marker);
	const owner = found.place === "elsewhere" ? othersOf(record).find(hasNetdev)?.netns : undefined;
	if (owner !== undefined || (marker !== undefined && isOfAnother(marker, record, netns, found.place))) {
		log.warning(`VF ${record.pci} belongs to sandbox ${owner ?? marker} by now and is left alone`);
		removeRecord(record, record.pci);
		return true;
	}
	if (isOfEarlierBoot(record) || (record.bootId === "" && !hasTraces(host, record))) {
		// The VFs of this boot are others, even if they have the same addresses: nothing of the old ones is left to
		// restore.
		log.info(`the record of VF ${record.pci} is from before the last boot: nothing on the VF is of it`);
	} else {
		const { minor, retry } = giveBack(host, record, found, netns, log);
		for (const failure of [...minor, ...retry]) log.warning(failure, { func: "release" });
		if (retry.length > 0) return false;
	}
	removeDeviceInfoTemporary(record.config);
	removeRecord(record, record.pci);
	if (marker !== undefined) removeMarker(record.pci);
	return true;
}

/** Where the netdev of a VF is. */
interface Found {
	/** "unknown": it has none, or none that a driver of the kernel's has made. */
	readonly place: "host" | "pod" | "elsewhere" | "unknown";
	readonly onHost?: Link | undefined;
	/** The record's own, if it is there. */
	readonly sandbox?: Sandbox | undefined;
	readonly inPod?: Link | undefined;
	[Symbol.dispose](): void;
}

/**
 * Looks before anything is changed: marker and record may be old ones that somebody brought back, and the VF
 * another's. `path`: where its sandbox should be. One whose sandbox is gone is waited for.
 */
function locate(host: NetlinkSocket, record: VfRecord, path: string, marker: string | undefined): Found {
	const { netdev } = record.original;
	const onHost = netdevOnHost(host, record.pci);
	const sandbox = netdev === undefined || onHost !== undefined ? undefined : openSandboxOf(record, path);
	const found = (place: Found["place"], more: Partial<Found> = {}): Found => ({
		place,
		sandbox,
		...more,
		[Symbol.dispose]: () => sandbox?.[Symbol.dispose](),
	});
	if (netdev === undefined) return found("unknown", { onHost });
	if (onHost !== undefined) return found("host", { onHost });
	const inPod = sandbox && netdevInPod(sandbox, netdev.parentDevice, record.ifName);
	if (inPod !== undefined) return found("pod", { inPod });
	if (!makesNetdev(record.pci)) return found("unknown");
	if (sandbox !== undefined || isOfEarlierBoot(record)) return found("elsewhere");
	using other = marker === path ? undefined : Sandbox.openIfAlive(marker ?? "");
	const late = isIn(other, record) ? undefined : awaitNetdevOnHost(host, record.pci);
	return late === undefined ? found("elsewhere") : found("host", { onHost: late });
}

/** Whether the VF is in the record's own sandbox. */
function hasNetdev(record: VfRecord): boolean {
	using sandbox = openSandboxOf(record, record.netns);
	return isIn(sandbox, record);
}

function isIn(sandbox: Sandbox | undefined, { original: { netdev }, ifName }: VfRecord): boolean {
	if (sandbox === undefined || netdev === undefined) return false;
	return netdevInPod(sandbox, netdev.parentDevice, ifName) !== undefined;
}

/** Records of the VF that are other attachments'. */
const othersOf = (record: VfRecord): VfRecord[] =>
	recordsOf(record.pci).filter(
		({ containerId, ifName }) => containerId !== record.containerId || ifName !== record.ifName,
	);

/**
 * Whether the VF, whose marker names the sandbox `marker`, is another attachment's than the record's. Where neither
 * the record (Go's) nor the call names a sandbox, and several records are of the VF, the newest is that of a living
 * one.
 */
function isOfAnother(marker: string, record: VfRecord, netns: string, place: Found["place"]): boolean {
	const path = record.netns || netns;
	if (path === marker || (path !== "" && place === "pod")) return false;
	const others = othersOf(record);
	// With its netdev on the host no sandbox has it, unless an ADD was killed at its beginning.
	if (path !== "" && place === "host") return others.some((other) => other.netns === marker || other.netns === "");
	using sandbox = Sandbox.openIfAlive(marker);
	if (path !== "") {
		using own = Sandbox.openIfAlive(path);
		if (own !== undefined && sandbox?.netns.same(own.netns)) return false;
		return sandbox !== undefined || others.length > 0;
	}
	return others.some((other) => other.netns === marker) || (sandbox !== undefined && others.length > 0);
}

/**
 * Whether the VF shows that it was given away in this boot, for a record of Go's, which does not say in which boot it
 * was made: its netdev is not on the host, where it begins every boot, or it has the pod's name, or what the record's
 * configuration asked for and the VF had not before.
 */
function hasTraces(
	host: NetlinkSocket,
	{ pci: device, original, config, requestedMac, ifName, ...record }: VfRecord,
): boolean {
	const { netdev, settings } = original;
	const now = netdevOnHost(host, device);
	if (netdev !== undefined) {
		if (now === undefined || (now.name === ifName && ifName !== netdev.name)) return true;
		if (now.mac === requestedMac && requestedMac !== netdev.mac) return true;
	}
	const port = findPortIfAny(host, device, record);
	const seen = port?.seen.vf(port.vf);
	const wanted = { ...settingsOf(config), ...(requestedMac !== undefined && { mac: requestedMac }) };
	return FIELDS.some(
		(field) => wanted[field] !== undefined && seen?.[field] === wanted[field] && seen?.[field] !== settings?.[field],
	);
}

/** What could not be put back: for good, or to be tried again. */
interface Failures {
	readonly minor: string[];
	readonly retry: string[];
}

/**
 * The RDMA device first, as DEL of a chain does it. Settings before the netdev: some drivers refuse changes to the
 * netdev of a VF whose settings are half a pod's. Then the netdev, from the pod or from where the kernel put it when
 * the pod's namespace died. Settings again, if its MAC had to be set: that of a trusted VF becomes the administrative
 * one.
 */
function giveBack(host: NetlinkSocket, record: VfRecord, found: Found, netns: string, log: Log): Failures {
	const failures: Failures = { minor: [], retry: [] };
	if (!returnRdma(record, netns, log)) {
		failures.retry.push(`the RDMA device of VF ${record.pci} is still in a network namespace that is not the pod's`);
	}
	const { netdev, settings } = record.original;
	const port = findPortIfAny(host, record.pci, record);
	const putSettingsBack = (seen?: VfSettings): void => {
		if (port === undefined || settings === undefined) return;
		failures.retry.push(...restoreSettings(host, port, settings, seen));
	};
	putSettingsBack(port?.seen.vf(port.vf));
	if (port === undefined && settings !== undefined && pci.exists(record.pci)) {
		failures.retry.push(
			`the PF of VF ${record.pci} is not to be found on this host: the VF's settings are not put back`,
		);
	}
	if (netdev === undefined) return failures;
	const link = reclaim(host, record, netdev, found, failures);
	if (link === undefined) return failures;
	const freeMac = (): void => {
		if (port !== undefined) clearMac(host, port);
	};
	failures.minor.push(...restoreRest(host, link, netdev, freeMac));
	if (link.mac !== netdev.mac) putSettingsBack();
	return failures;
}

/**
 * The netdev on the host, under its old name; undefined where it is gone, bound to another driver, or nowhere to be
 * seen.
 */
function reclaim(
	host: NetlinkSocket,
	record: VfRecord,
	original: OriginalNetdev,
	{ onHost: found, sandbox, inPod }: Found,
	failures: Failures,
): Link | undefined {
	let onHost = found;
	if (sandbox !== undefined && inPod !== undefined) {
		const notPutBack = returnToHost(host, sandbox, inPod, original);
		failures.minor.push(...notPutBack);
		onHost = namedNetdevOnHost(host, original) ?? netdevOnHost(host, record.pci);
		if (onHost !== undefined && original.altNames === undefined) {
			failures.minor.push(...addAltNames(host, onHost, inPod.altNames));
		}
		if (onHost?.name === original.name || notPutBack.length > 0) return onHost;
	}
	if (onHost === undefined) {
		const missing = `VF ${record.pci} has no network interface on this host or in its sandbox`;
		// Without a kernel driver it cannot have one; with one it is in a namespace that something still holds.
		(makesNetdev(record.pci) ? failures.retry : failures.minor).push(missing);
		return undefined;
	}
	if (onHost.name === original.name) return onHost;
	failures.minor.push(...correctName(host, onHost, original));
	return netdevOnHost(host, record.pci);
}
