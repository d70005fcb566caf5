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
	listMarked,
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

/** The VF of a record, and its addresses. */
export function collect(record: VfRecord, request: Request, log: Log): void {
	withRecord(record, (host, now) => {
		log.info(`VF ${now.pci} comes back from container ${now.containerId}, which is not valid any more`);
		const failures: unknown[] = [];
		// GC of the IPAM plugin does not find what was handed out before the network was edited.
		attempt(failures, () => releaseAddressesOf(now, request));
		attempt(failures, () => release(host, now, now.netns, log));
		throwTogether(failures);
	});
}

/**
 * The same where `isGone` still says so of the record's sandbox. Where addresses cannot be released the record stays,
 * since no other call comes that knows of them. False: to be tried again; undefined: nothing of it is left to do.
 */
export function collectGone(
	record: VfRecord,
	request: Request,
	log: Log,
	isGone: (record: VfRecord) => boolean,
): boolean | undefined {
	return withRecord(record, (host, now) => {
		if (!isGone(now)) return undefined;
		releaseAddressesOf(now, request);
		return release(host, now, now.netns, log);
	});
}

/** `work` with the VF's lock held and the record that there is then; undefined where there is none any more. */
function withRecord<T>(record: VfRecord, work: (host: NetlinkSocket, now: VfRecord) => T): T | undefined {
	using _lock = takeLock(record.pci);
	// A DEL may have done it while we waited, or an ADD have come.
	const now = readRecord(record);
	if (now === undefined || now === "damaged" || now.pci !== record.pci) return undefined;
	using host = NetlinkSocket.open(NETLINK_ROUTE);
	return work(host, now);
}

/**
 * What a damaged record still tells of; with `request`, for which no GC of the IPAM plugin follows, its addresses,
 * too. False: to be tried again.
 */
export function collectDamaged(
	damaged: DamagedRecord,
	network: string,
	config: SriovConfig,
	log: Log,
	request?: Request,
): boolean {
	const { containerId, ifName, told } = damaged;
	log.warning(
		`the record of ${containerId} ${ifName}, which is not valid any more, is damaged or truncated: using defaults for what is lost`,
	);
	const pci = pciIn(told);
	if (pci === undefined) {
		removeRecord(damaged, undefined);
		return true;
	}
	using _lock = takeLock(pci);
	if (readRecord(damaged) !== "damaged") return true;
	using host = NetlinkSocket.open(NETLINK_ROUTE);
	const record = recover(host, { containerId, ifName, network }, config, pci);
	if (request !== undefined) releaseAddressesOf(record, request);
	return release(host, record, "", log);
}

/**
 * Removes a marker without a record, of whatever network: what an ADD that was killed at its beginning left, or a DEL
 * at its end, so that there is nothing else to put back. With the VF's lock held nobody is about to write the record.
 * A damaged one may be its own. And where the VF is not on the host, but the sandbox is there, it may be in that: its
 * record was lost. False where there is none, or it stays.
 */
export function collectOrphan(pci: string): boolean {
	using _lock = takeLock(pci);
	if (recordsOf(pci).length > 0 || !listMarked().includes(pci)) return false;
	using sandbox = vfNetdev(pci) === undefined ? Sandbox.openIfAlive(readMarker(pci) ?? "") : undefined;
	if (sandbox !== undefined) return false;
	const mayBeIts = ({ told }: DamagedRecord): boolean => (pciIn(told) ?? pci) === pci;
	if (listDamaged().some(mayBeIts)) return false;
	removeMarker(pci);
	return true;
}
