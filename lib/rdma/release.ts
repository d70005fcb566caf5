/**
 * Giving an RDMA device back: DEL, GC, the undo of a failed ADD, and the healing of a device whose pod is gone are
 * all this, where rdma itself has the record.
 */
import type { Log } from "../plugin/log.ts";
import { deviceInPod, nameOnHost, openPod, reclaim } from "./reclaim.ts";
import { emptyRecord, listRecords, type RdmaRecord, type RecordKey, removeRecord } from "./record.ts";

/**
 * Returns the device to the host from wherever it is, under its old name and with its old settings, then forgets the
 * attachment. `netns` is CNI_NETNS of this call. A device that another attachment has by now is not touched. The
 * caller holds the lock. What cannot be put back is a warning in the log: it must not keep a pod from ending. Throws
 * (the record stays, so that it can be tried again) where the device could not leave the pod.
 */
export function release(record: RdmaRecord, netns: string, log: Log): void {
	const { deviceId } = record;
	const other = deviceId === "" ? undefined : otherOwner(record, netns);
	if (other !== undefined) {
		log.warning(
			`the RDMA device of ${deviceId} belongs to container ${other.containerId}, interface ${other.ifName} by now and is left alone`,
		);
	} else if (deviceId !== "" && !reclaim(record, netns, log)) {
		return;
	}
	removeRecord(record);
}

/**
 * Returns the device to the host if it is in the pod, though the attachment's record is of another device: an old one
 * that somebody brought back.
 */
export function releaseLost(key: RecordKey, deviceId: string, netns: string, log: Log): void {
	const record = { ...emptyRecord(key), deviceId };
	if (isInPod(record, netns) && otherOwner(record, netns) === undefined) reclaim(record, netns, log);
}

/**
 * The record of another attachment that has the device. One of another sandbox says nothing against what is in the
 * pod: it may have been brought back from a backup.
 */
function otherOwner(record: RdmaRecord, netns: string): RdmaRecord | undefined {
	const others = listRecords(record).filter(({ deviceId }) => deviceId === record.deviceId);
	const path = netns || record.netns;
	if (others.length === 0) return undefined;
	return others.find((each) => each.netns === path) ?? (isInPod(record, netns) ? undefined : others[0]);
}

function isInPod(record: RdmaRecord, netns: string): boolean {
	if (nameOnHost(record) !== undefined) return false;
	using sandbox = openPod(record, netns || record.netns);
	return sandbox !== undefined && deviceInPod(sandbox, record) !== undefined;
}
