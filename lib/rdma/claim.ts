/**
 * Who has an RDMA device: found out before ADD, with what there is to write down before the first change.
 */
import { CniError, Code } from "../cni/error.ts";
import type { RdmaDevice } from "../netlink/rdma.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import type { Log } from "../plugin/log.ts";
import { isAlive } from "../state/liveness.ts";
import { deviceOnHost, namesOnHost, requireOne, uverbsOf } from "./device.ts";
import { type DeviceState, NO_QOS } from "./given.ts";
import { hasDirectory } from "./qos.ts";
import { isRecordOf, listRecords, type RecordKey } from "./record.ts";
import { release } from "./release.ts";
import { fillName, type WantedDevice } from "./wanted.ts";

/**
 * The name of the RDMA device of `deviceId`. Throws unless it has one, on the host, that no living pod has; `explain`
 * may throw something better before, where it has none there. One whose pod is dead, without a DEL, is put right first,
 * so that this ADD starts from the host's own name and settings. The caller holds the lock.
 */
export function requireFree(key: RecordKey, deviceId: string, explain: () => void, log: Log): string {
	const records = listRecords().filter((record) => record.deviceId === deviceId);
	const [owner] = records;
	const names = namesOnHost(deviceId);
	if (names.length === 0) explain();
	const name = requireOne(names, deviceId, owner && describe(owner));
	for (const record of records) {
		// Its own record, with the device on the host, is that of an ADD that was killed. Go's tell no sandbox: with
		// the device on the host there is none.
		if (!isRecordOf(record, key) && isAlive(record)) {
			throw new CniError(
				Code.tryAgain,
				`the RDMA device of ${deviceId} is already allocated to sandbox ${record.netns} (${describe(record)})`,
			);
		}
		log.info(`the RDMA device of ${deviceId} is back from container ${record.containerId} without a DEL`);
		release(record, "", log);
	}
	return records.length === 0 ? name : requireOne(namesOnHost(deviceId), deviceId, undefined);
}

export const describe = ({ containerId, ifName }: Pick<RecordKey, "containerId" | "ifName">): string =>
	`container ${containerId}, interface ${ifName}`;

/** The device of `deviceId` on the host, `hostName`, as it is before ADD, and as the pod is to have it. */
export function lookAt(
	host: NetlinkSocket,
	deviceId: string,
	hostName: string,
	{ podName }: WantedDevice,
	ifName: string,
): { device: RdmaDevice; state: DeviceState } {
	const uverbs = uverbsOf(deviceId);
	const device = deviceOnHost(host, hostName, uverbs);
	if (device === undefined) {
		throw new CniError(Code.tryAgain, `RDMA device ${hostName} of ${deviceId} left the host just now`);
	}
	const state: DeviceState = {
		hostName,
		podName: podName === undefined ? hostName : fillName(podName, ifName, device.index),
		index: device.index,
		uverbs,
		qos: NO_QOS,
		podQos: NO_QOS,
		qosDirectory: hasDirectory(hostName),
	};
	return { device, state };
}
