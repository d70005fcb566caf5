/**
 * Who has an RDMA device: found out before ADD, written down before the first change.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import type { CniResult, Request } from "../../lib/cni/types.ts";
import type { RdmaDevice } from "../../lib/netlink/rdma.ts";
import type { NetlinkSocket } from "../../lib/netlink/socket.ts";
import type { Log } from "../../lib/plugin/log.ts";
import type { Sandbox } from "../../lib/plugin/sandbox.ts";
import { isAlive } from "../../lib/state/liveness.ts";
import { bootId } from "../../lib/sys/boot.ts";
import { type Attachment, fillName } from "./config.ts";
import { deviceOnHost, namesOnHost, requireOne, uverbsOf } from "./device.ts";
import { refuseSoftwareInterface } from "./interface.ts";
import { hasDirectory, planQos } from "./qos.ts";
import { isRecordOf, listRecords, NO_QOS, type RdmaRecord, type RecordKey, readRecord, writeRecord } from "./record.ts";
import { release } from "./release.ts";

/**
 * The name of the RDMA device of `deviceId`. Throws unless it has one, on the host, that no living pod has. One whose
 * pod is dead, without a DEL, is put right first, so that this ADD starts from the host's own name and settings.
 */
export function requireFree(key: RecordKey, deviceId: string, sandbox: Sandbox, previous: CniResult, log: Log): string {
	const records = listRecords().filter((record) => record.deviceId === deviceId);
	const [owner] = records;
	const names = namesOnHost(deviceId);
	if (names.length === 0) refuseSoftwareInterface(sandbox, previous);
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

const describe = ({ containerId, ifName }: RecordKey): string => `container ${containerId}, interface ${ifName}`;

/** Writes down what the device is now and who gets it. From here on DEL can put everything back. */
export function claim(
	request: Request,
	attachment: Attachment,
	deviceId: string,
	hostName: string,
	sandbox: Sandbox,
	host: NetlinkSocket,
): { record: RdmaRecord; device: RdmaDevice } {
	const uverbs = uverbsOf(deviceId);
	const device = deviceOnHost(host, hostName, uverbs);
	if (device === undefined) {
		throw new CniError(Code.tryAgain, `RDMA device ${hostName} of ${deviceId} left the host just now`);
	}
	const { network, containerId, ifName, netns } = request;
	const { podName } = attachment;
	const record: RdmaRecord = {
		network,
		containerId,
		ifName,
		own: true,
		deviceId,
		hostName,
		podName: podName === undefined ? hostName : fillName(podName, ifName, device.index),
		netns,
		netnsIdentity: sandbox.identity,
		bootId: bootId(),
		index: device.index,
		uverbs,
		qos: NO_QOS,
		podQos: NO_QOS,
		qosDirectory: hasDirectory(hostName),
	};
	if (!writeRecord(record)) {
		const other = readRecord(record)?.deviceId;
		throw new CniError(
			Code.tryAgain,
			`${describe(record)}, has the RDMA device of ${other} already: a DEL has to come first`,
		);
	}
	return { record, device };
}

/**
 * The record with the host's and the pod's quality of service, written again where there is anything to tell. After
 * `claim`, since the look at the host's makes a directory in configfs, which a killed process would leave.
 */
export function claimQos(record: RdmaRecord, attachment: Attachment, log: Log): RdmaRecord {
	const { host, pod } = planQos(record.hostName, attachment, log);
	if (!host.tos && attachment.tos === undefined && host.trafficClass === undefined) return record;
	const complete = { ...record, qos: host, podQos: pod };
	writeRecord(complete);
	return complete;
}
