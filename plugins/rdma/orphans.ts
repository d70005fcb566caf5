/**
 * RDMA devices of sandboxes that no longer live, by our records and the kernel alone.
 */
import { isAlive, isOfEarlierBoot } from "../../lib/state/liveness.ts";
import { type Orphan, whyGone } from "../../lib/state/orphan.ts";
import { namesOnHost } from "./device.ts";
import { clean, collect } from "./gc.ts";
import { openLog } from "./log.ts";
import { listRecords, type RdmaRecord, readRecord, temporaryIfAny } from "./record.ts";

export function findOrphans(): Orphan[] {
	return [...orphanedTemporary(), ...orphanedDevices()];
}

/** A living process may be writing it: it has the lock, for which `clean` waits. */
function orphanedTemporary(): Orphan[] {
	const name = temporaryIfAny();
	if (name === "") return [];
	const reclaim = (): boolean => {
		clean();
		return true;
	};
	const why = "a call was killed while it wrote its record";
	return [{ kind: "file", name, containerId: "", ifName: "", network: "", why, reclaim }];
}

function orphanedDevices(): Orphan[] {
	return listRecords().flatMap((record): Orphan[] => {
		if (isNeeded(record)) return [];
		const { deviceId, containerId, ifName, network, netns } = record;
		// One of Go's does not say where its sandbox is: only a device that has come back by itself is nobody's.
		const isBack = netns === "" && deviceId !== "" && namesOnHost(deviceId).length > 0;
		const isKnown = netns !== "" || isOfEarlierBoot(record) || isBack;
		return [
			{
				...{ kind: "RDMA device", name: deviceId || "?", containerId, ifName, network },
				why: isBack ? "the device is back on the host" : whyGone(netns, isOfEarlierBoot(record)),
				reclaim: isKnown
					? (request) => {
							collect(record, openLog(request, { name: network }), isNeeded);
							return readRecord(record) === undefined;
						}
					: undefined,
			},
		];
	});
}

const isNeeded = (record: RdmaRecord): boolean => isAlive(record);
