/**
 * Giving back what an attachment left that is not valid any more, or whose sandbox is dead: for GC and `berth heal`.
 * Each looks again with the VF's lock held.
 */
import { attempt, throwTogether } from "../../lib/cni/failures.ts";
import type { Request } from "../../lib/cni/types.ts";
import { vfNetdev } from "../../lib/linux/pci.ts";
import { NETLINK_ROUTE } from "../../lib/netlink/constants.ts";
import { NetlinkSocket } from "../../lib/netlink/socket.ts";
import type { Log } from "../../lib/plugin/log.ts";
import { Sandbox } from "../../lib/plugin/sandbox.ts";
import { releaseAddressesOf, takeLock } from "./claim.ts";
import {
	type DamagedRecord,
	listDamaged,
	readMarker,
	readRecord,
	recordsOf,
	removeMarker,
	removeRecord,
} from "./record.ts";
import { pciIn, type VfRecord } from "./record-format.ts";
import { recover } from "./recover.ts";
import { release } from "./release.ts";
import type { SriovConfig } from "./schema.ts";

/** The VF of a record, and its addresses, unless `isNeeded` says otherwise by now. False: to be tried again. */
export function collect(
	record: VfRecord,
	request: Request,
	log: Log,
	isNeeded: (record: VfRecord) => boolean = () => false,
): boolean {
	using _lock = takeLock(record.pci);
	// A DEL may have done it while we waited, or an ADD have come.
	const now = readRecord(record.containerId, record.ifName);
	if (now === undefined || now === "damaged" || isNeeded(now)) return true;
	using host = NetlinkSocket.open(NETLINK_ROUTE);
	log.info(`VF ${now.pci} comes back from container ${now.containerId}, which is not valid any more`);
	const failures: unknown[] = [];
	// GC of the IPAM plugin does not find what was handed out before the network was edited.
	attempt(failures, () => releaseAddressesOf(now, request));
	let isBack = false;
	attempt(failures, () => {
		isBack = release(host, now, now.netns, log);
	});
	throwTogether(failures);
	return isBack;
}

/**
 * What a damaged record still tells of; with `request`, for which no GC of the IPAM plugin follows, its addresses,
 * too. False: to be tried again.
 */
export function collectDamaged(
	{ containerId, ifName, told }: DamagedRecord,
	network: string,
	config: SriovConfig,
	log: Log,
	request?: Request,
): boolean {
	log.warning(
		`the record of ${containerId} ${ifName}, which is not valid any more, is damaged or truncated: using defaults for what is lost`,
	);
	const pci = pciIn(told);
	if (pci === undefined) {
		removeRecord({ containerId, ifName }, undefined);
		return true;
	}
	using _lock = takeLock(pci);
	if (readRecord(containerId, ifName) !== "damaged") return true;
	using host = NetlinkSocket.open(NETLINK_ROUTE);
	const record = recover(host, { containerId, ifName, network }, config, pci);
	const failures: unknown[] = [];
	if (request !== undefined) attempt(failures, () => releaseAddressesOf(record, request));
	let isBack = false;
	attempt(failures, () => {
		isBack = release(host, record, "", log);
	});
	throwTogether(failures);
	return isBack;
}

/**
 * Removes a marker without a record, of whatever network: what an ADD that was killed at its beginning left, or a DEL
 * at its end, so that there is nothing else to put back. With the VF's lock held nobody is about to write the record.
 * A damaged one may be its own. And where the VF is not on the host, but the sandbox is there, it may be in that: its
 * record was lost.
 */
export function collectOrphan(pci: string): void {
	using _lock = takeLock(pci);
	if (recordsOf(pci).length > 0) return;
	using sandbox = vfNetdev(pci) === undefined ? Sandbox.openIfAlive(readMarker(pci) ?? "") : undefined;
	if (sandbox !== undefined) return;
	const mayBeIts = ({ told }: DamagedRecord): boolean => (pciIn(told) ?? pci) === pci;
	if (!listDamaged().some(mayBeIts)) removeMarker(pci);
}
