/**
 * GC: VFs whose attachment is not valid return to the host, and markers without a record go.
 */
import { attempt, throwTogether } from "../../lib/cni/failures.ts";
import type { Request, ValidAttachment } from "../../lib/cni/types.ts";
import { vfNetdev } from "../../lib/linux/pci.ts";
import { NETLINK_ROUTE } from "../../lib/netlink/constants.ts";
import { NetlinkSocket } from "../../lib/netlink/socket.ts";
import { delegate } from "../../lib/plugin/delegate.ts";
import type { Log } from "../../lib/plugin/log.ts";
import { Sandbox } from "../../lib/plugin/sandbox.ts";
import { releaseAddressesOf, takeLock } from "./claim.ts";
import { ipamOf, looseConfig } from "./config.ts";
import { openLog } from "./log.ts";
import {
	type DamagedRecord,
	listDamaged,
	listMarked,
	listRecords,
	type RecordKey,
	readMarker,
	readRecord,
	recordName,
	recordsOf,
	removeMarker,
	removeRecord,
} from "./record.ts";
import { pciIn, type VfRecord } from "./record-format.ts";
import { networkIn, recover } from "./recover.ts";
import { release } from "./release.ts";
import type { SriovConfig } from "./schema.ts";

/**
 * Gives back every VF of this network whose attachment is not valid. Goes on after errors, and tells of all of them.
 */
export function gc(request: Request, valid: readonly ValidAttachment[] | undefined): void {
	const config = looseConfig(request);
	const log = openLog(request, config);
	const failures: unknown[] = [];
	if (valid !== undefined) collectInvalid(request, config, valid, failures, log);
	const ipam = ipamOf(config);
	// Without a list an executed plugin might take every attachment for invalid.
	if (ipam !== undefined && valid !== undefined) attempt(failures, () => delegate("GC", request, ipam));
	throwTogether(failures);
}

/**
 * Gives back every VF of the network whose attachment is not in `valid`. Goes on after errors, which it adds to
 * `failures`.
 */
function collectInvalid(
	request: Request,
	config: SriovConfig,
	valid: readonly ValidAttachment[],
	failures: unknown[],
	log: Log,
): void {
	const { network } = request;
	// Go's by the names of their files, which say the same wherever a dash divides them; ours by what they say.
	const keep = new Set(valid.map(({ containerID, ifname }) => recordName(containerID, ifname)));
	const isInvalid = ({ containerId, ifName }: RecordKey) => !keep.has(recordName(containerId, ifName));
	const isValid = ({ containerId, ifName }: RecordKey) =>
		valid.some(({ containerID, ifname }) => containerID === containerId && ifname === ifName);
	for (const record of listRecords()) {
		if (record.network !== network) continue;
		if (record.bootId === "" ? isInvalid(record) : !isValid(record))
			attempt(failures, () => collect(record, request, log));
	}
	for (const damaged of listDamaged()) {
		if (networkIn(damaged.told) !== network || !isInvalid(damaged)) continue;
		attempt(failures, () => collectDamaged(damaged, network, config, log));
	}
	const known = new Set(listRecords().map(({ pci }) => pci));
	for (const pci of listMarked()) if (!known.has(pci)) attempt(failures, () => collectOrphan(pci));
}

function collect(record: VfRecord, request: Request, log: Log): void {
	using _lock = takeLock(record.pci);
	// A DEL may have done it while we waited.
	const now = readRecord(record.containerId, record.ifName);
	if (now === undefined || now === "damaged") return;
	using host = NetlinkSocket.open(NETLINK_ROUTE);
	log.info(`VF ${now.pci} comes back from container ${now.containerId}, which is not valid any more`);
	const failures: unknown[] = [];
	// GC of the IPAM plugin does not find what was handed out before the network was edited.
	attempt(failures, () => releaseAddressesOf(now, request));
	attempt(failures, () => release(host, now, now.netns, log));
	throwTogether(failures);
}

function collectDamaged(
	{ containerId, ifName, told }: DamagedRecord,
	network: string,
	config: SriovConfig,
	log: Log,
): void {
	const pci = pciIn(told);
	log.warning(
		`the record of ${containerId} ${ifName}, which is not valid any more, is damaged or truncated: using defaults for what is lost`,
	);
	if (pci === undefined) {
		removeRecord({ containerId, ifName }, undefined);
		return;
	}
	using _lock = takeLock(pci);
	if (readRecord(containerId, ifName) !== "damaged") return;
	using host = NetlinkSocket.open(NETLINK_ROUTE);
	release(host, recover(host, { containerId, ifName, network }, config, pci), "", log);
}

/**
 * Removes a marker without a record, of whatever network: what an ADD that was killed at its beginning left, or a DEL
 * at its end, so that there is nothing else to put back. With the VF's lock held nobody is about to write the record. A
 * damaged one may be its own. And where the VF is not on the host, but the sandbox is there, it may be in that: its
 * record was lost.
 */
function collectOrphan(pci: string): void {
	using _lock = takeLock(pci);
	if (recordsOf(pci).length > 0) return;
	using sandbox = vfNetdev(pci) === undefined ? Sandbox.openIfAlive(readMarker(pci) ?? "") : undefined;
	if (sandbox !== undefined) return;
	const mayBeIts = ({ told }: DamagedRecord): boolean => (pciIn(told) ?? pci) === pci;
	if (!listDamaged().some(mayBeIts)) removeMarker(pci);
}
