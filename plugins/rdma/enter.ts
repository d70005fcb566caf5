/**
 * The RDMA device on its way into the pod.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { type RdmaDevice, renameRdmaDevice } from "../../lib/netlink/rdma.ts";
import type { NetlinkSocket } from "../../lib/netlink/socket.ts";
import type { Log } from "../../lib/plugin/log.ts";
import type { Sandbox } from "../../lib/plugin/sandbox.ts";
import { isSystemError } from "../../lib/sys/sys.ts";
import { move } from "./move.ts";
import { writeTos, writeTrafficClass } from "./qos.ts";
import type { RdmaRecord } from "./record.ts";

/**
 * Traffic class and name on the host, then the move, then what the move takes away. The caller undoes with `release`.
 */
export function enterPod(
	host: NetlinkSocket,
	sandbox: Sandbox,
	device: RdmaDevice,
	record: RdmaRecord,
	log: Log,
): void {
	const { hostName, podName, podQos } = record;
	if (podQos.trafficClass !== undefined) writeTrafficClass(hostName, podQos.trafficClass);
	if (podName !== hostName) rename(host, device, podName);
	move(host, { ...device, name: podName }, record.deviceId, record.uverbs, sandbox.netns, log);
	if (podQos.tos) writeTos(podName, podQos.tos);
}

function rename(host: NetlinkSocket, device: RdmaDevice, name: string): void {
	try {
		renameRdmaDevice(host, device, name);
	} catch (error) {
		if (!isSystemError(error, "EEXIST")) throw error;
		throw new CniError(
			Code.device,
			`RDMA device ${device.name} cannot be called ${name}: another RDMA device of this node has that name, here or in a pod`,
			'names are unique on a node: put {index} into rdmaDeviceName, as in "rdma_{ifname}_{index}"',
		);
	}
}
