/**
 * GC: RDMA devices of attachments that are not valid return to the host.
 */
import { attempt, throwTogether } from "../../lib/cni/failures.ts";
import type { Request, ValidAttachment } from "../../lib/cni/types.ts";
import type { Log } from "../../lib/plugin/log.ts";
import { namesOnHost } from "../../lib/rdma/device.ts";
import {
	isRecordOf,
	listRecords,
	type RdmaRecord,
	readRecord,
	removeTemporary,
	takeLock,
} from "../../lib/rdma/record.ts";
import { release } from "../../lib/rdma/release.ts";
import { looseConfig } from "./config.ts";
import { openLog } from "./log.ts";

/**
 * Reclaims every device of this network whose attachment is not valid. Goes on after errors, and tells of all of
 * them.
 */
export function gc(request: Request, valid: readonly ValidAttachment[] | undefined): void {
	if (valid === undefined) return;
	const { network } = request;
	const log = openLog(request, looseConfig(request));
	const keep = valid.map(({ containerID, ifname }) => ({ network, containerId: containerID, ifName: ifname }));
	const failures: unknown[] = [];
	attempt(failures, clean);
	for (const record of listRecords()) {
		if (isOfNetwork(record, network) && !keep.some((each) => isRecordOf(record, each))) {
			attempt(failures, () => collect(record, log));
		}
	}
	throwTogether(failures);
}

/**
 * The file name of a record does not tell where the network's name ends. Ours says it inside; one of Go's, or one
 * that was truncated, may be another network's, so it counts only where its pod has no device any more.
 */
function isOfNetwork(record: RdmaRecord, network: string): boolean {
	if (record.own) return record.network === network;
	const mayBe = `${record.network}-${record.containerId}-`.startsWith(`${network}-`);
	return mayBe && record.deviceId !== "" && namesOnHost(record.deviceId).length > 0;
}

/** False where there was nothing. */
export function clean(): boolean {
	using _lock = takeLock();
	return removeTemporary();
}

/**
 * The device of a record, unless `isNeeded` says otherwise by now, or there is none any more: undefined then. False: to
 * be tried again.
 */
export function collect(
	record: RdmaRecord,
	log: Log,
	isNeeded: (record: RdmaRecord) => boolean = () => false,
): boolean | undefined {
	using _lock = takeLock();
	const now = readRecord(record);
	if (now === undefined || isNeeded(now)) return undefined;
	log.info(`the RDMA device of ${now.deviceId} returns from container ${now.containerId}, which is not valid any more`);
	release(now, now.netns, log);
	return readRecord(record) === undefined;
}
