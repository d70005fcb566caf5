/**
 * RDMA devices of sandboxes that no longer live, by our records and the kernel alone.
 */
import type { Request } from "../../lib/cni/types.ts";
import { namesOnHost } from "../../lib/rdma/device.ts";
import { listRecords, type RdmaRecord, temporaryIfAny } from "../../lib/rdma/record.ts";
import { type Fate, fateOf, isOfEarlierBoot } from "../../lib/state/liveness.ts";
import { type Orphan, whyGone } from "../../lib/state/orphan.ts";
import { clean, collect } from "./gc.ts";
import { openLog } from "./log.ts";

export function findOrphans(): Orphan[] {
	return [...orphanedTemporary(), ...orphanedDevices()];
}

/** A living process may be writing it: it has the lock, for which `clean` waits. */
function orphanedTemporary(): Orphan[] {
	const name = temporaryIfAny();
	if (name === "") return [];
	const reclaim = (): true | undefined => clean() || undefined;
	const why = "a call was killed while it wrote its record";
	return [{ kind: "file", name, containerId: "", ifName: "", network: "", why, reclaim }];
}

function orphanedDevices(): Orphan[] {
	return listRecords().flatMap((record): Orphan[] => {
		const found = fate(record);
		if (found === "alive") return [];
		const { deviceId, containerId, ifName, network, netns } = record;
		const reclaim = (request: Request): boolean | undefined =>
			collect(record, openLog(request, { name: network }), (now) => fate(now) !== "gone");
		const isBack = netns === "" && found === "gone" && !isOfEarlierBoot(record);
		return [
			{
				...{ kind: "RDMA device", name: deviceId || "?", containerId, ifName, network },
				why: isBack ? "the device is back on the host" : whyGone(netns, isOfEarlierBoot(record)),
				reclaim: found === "gone" ? reclaim : undefined,
			},
		];
	});
}

/**
 * A record of Go's does not say where its sandbox is, nor does one that was truncated: where the device has come back
 * by itself it is nobody's.
 */
function fate(record: RdmaRecord): Fate {
	if (record.own) return fateOf(record);
	return record.deviceId !== "" && namesOnHost(record.deviceId).length > 0 ? "gone" : "unknown";
}
