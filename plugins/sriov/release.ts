/**
 * Giving a VF back: DEL, GC, the undo of a failed ADD, and the healing of a VF whose pod is gone are all this.
 */
import { Netns } from "../../lib/linux/netns.ts";
import { Sandbox } from "../../lib/linux/sandbox.ts";
import type { Log } from "../../lib/log/log.ts";
import type { Link } from "../../lib/netlink/link.ts";
import type { NetlinkSocket } from "../../lib/netlink/socket.ts";
import { awaitNetdevOnHost, findPortIfAny, netdevOnHost } from "./device.ts";
import { correctAtHome, netdevInPod, restoreRest, takeHome } from "./netdev.ts";
import { readMarker, recordsOf, removeMarker, removeRecord } from "./record.ts";
import type { OriginalNetdev, VfRecord } from "./record-format.ts";
import { clearMac, restoreSettings } from "./settings.ts";

/**
 * Puts the VF back to what the record says it was, wherever it is now, then forgets the attachment: device, record,
 * marker, in this order. A VF that another sandbox has by now (marker) is not touched. The caller holds the VF's lock.
 * What a driver refuses to put back is a warning in the log: it must not keep a pod from ending.
 * Throws (record and marker stay, so that it can be tried again) where the netdev could not leave the pod.
 */
export function release(host: NetlinkSocket, record: VfRecord, netns: string, log: Log): void {
	const holder = readMarker(record.pci);
	if (holder !== undefined && isOfAnother(holder, record, netns)) {
		log.warning(`VF ${record.pci} belongs to sandbox ${holder} by now and is left alone`);
		removeRecord(record);
		return;
	}
	for (const failure of giveBack(host, record, netns)) log.warning(failure, { func: "release" });
	removeRecord(record);
	if (holder !== undefined) removeMarker(record.pci);
}

/** Whether the marker's sandbox is not the record's. Where neither the record (Go's) nor the call names one, another record may. */
function isOfAnother(holder: string, record: VfRecord, netns: string): boolean {
	const owner = record.netns || netns;
	if (owner !== "") return holder !== owner;
	return recordsOf(record.pci).some((other) => other.netns === holder && other.containerId !== record.containerId);
}

/**
 * Settings first: some drivers refuse changes to the netdev of a VF whose settings are half a pod's. Then the netdev, from
 * the pod or from where the kernel put it when the pod's namespace died. Settings again, if its MAC had to be set: that of a
 * trusted VF becomes the administrative one. Returns what could not be put back.
 */
function giveBack(host: NetlinkSocket, record: VfRecord, netns: string): string[] {
	const failures: string[] = [];
	const { netdev, settings } = record.original;
	const port = findPortIfAny(host, record.pci);
	const putSettingsBack = (): string[] =>
		port === undefined || settings === undefined ? [] : restoreSettings(host, port, settings);
	failures.push(...putSettingsBack());
	if (netdev === undefined) return failures;
	const home = bringHome(host, record, netdev, netns, failures);
	if (home === undefined) return failures;
	const freeMac = (): void => {
		if (port !== undefined) clearMac(host, port);
	};
	failures.push(...restoreRest(host, home, netdev, freeMac));
	if (home.mac !== netdev.mac) failures.push(...putSettingsBack());
	return failures;
}

/** The netdev on the host, under its old name with its old MTU; undefined where it is gone or bound to another driver. */
function bringHome(
	host: NetlinkSocket,
	record: VfRecord,
	original: OriginalNetdev,
	netns: string,
	failures: string[],
): Link | undefined {
	let atHome = netdevOnHost(host, record.pci);
	if (atHome === undefined) {
		using sandbox = Sandbox.openIfAlive(netns || record.netns);
		const inPod = sandbox && netdevInPod(sandbox, original.parentDevice, record.ifName);
		if (sandbox !== undefined && inPod !== undefined) {
			using hostNetns = Netns.current();
			failures.push(...takeHome(host, hostNetns, sandbox, inPod, original));
			return netdevOnHost(host, record.pci);
		}
		// Somebody may have taken it out of a living sandbox; out of a dead one it comes by itself.
		if (sandbox === undefined) atHome = awaitNetdevOnHost(host, record.pci);
	}
	if (atHome === undefined) {
		failures.push(
			`VF ${record.pci} has no network interface on this host or in its sandbox, so that none was put back`,
		);
		return undefined;
	}
	failures.push(...correctAtHome(host, atHome, original));
	return netdevOnHost(host, record.pci);
}
