/**
 * DEL: the RDMA device returns to the host.
 */
import type { Request } from "../../lib/cni/types.ts";
import { emptyRecord, readRecord, takeLock } from "../../lib/rdma/record.ts";
import { release, releaseLost } from "../../lib/rdma/release.ts";
import { deviceIdIfAny, looseConfig } from "./config.ts";
import { openLog } from "./log.ts";

/**
 * Idempotent. Works from the record; where that is gone or truncated, from what the configuration tells: a device
 * that is still in the pod returns in any case.
 */
export function del(request: Request): void {
	const config = looseConfig(request);
	const log = openLog(request, config);
	using _lock = takeLock();
	const record = readRecord(request) ?? emptyRecord(request);
	const given = deviceIdIfAny(config) ?? "";
	release(record.deviceId === "" ? { ...record, deviceId: given } : record, request.netns, log);
	const isOfAnother = record.deviceId !== "" && given !== "" && given !== record.deviceId;
	if (isOfAnother) releaseLost(request, given, request.netns, log);
}
