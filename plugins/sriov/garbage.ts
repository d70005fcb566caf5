/**
 * What GC gives back: VFs whose attachment is not valid any more, and markers that nothing else tells of.
 */
import type { Log } from "../../lib/log/log.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../../lib/netlink/socket.ts";
import { takeLock } from "./claim.ts";
import { hasDamagedRecord, readRecord, recordsOf, removeMarker } from "./record.ts";
import type { VfRecord } from "./record-format.ts";
import { release } from "./release.ts";

/** Gives back the VF of a record. */
export function collect(record: VfRecord, log: Log): void {
	using _lock = takeLock(record.pci);
	// A DEL may have done it while we waited.
	const now = readRecord(record.containerId, record.ifName);
	if (now === undefined || now === "damaged") return;
	using host = NetlinkSocket.open(NETLINK_ROUTE);
	log.info(`VF ${now.pci} comes back from container ${now.containerId}, which is not valid any more`);
	release(host, now, now.netns, log);
}

/**
 * Removes a marker without a record, of whatever network: what an ADD that was killed at its beginning left, or a DEL at its end, so that
 * there is nothing else to put back. With the VF's lock held nobody is about to write the record. A damaged one may be its own.
 */
export function collectOrphan(pci: string): void {
	if (recordsOf(pci).length > 0) return;
	using _lock = takeLock(pci);
	if (recordsOf(pci).length === 0 && !hasDamagedRecord()) removeMarker(pci);
}
