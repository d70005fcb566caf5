/**
 * The RDMA device on its way into the pod.
 */
import { CniError, Code } from "../cni/error.ts";
import { type RdmaDevice, renameRdmaDevice } from "../netlink/rdma.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import type { Log } from "../plugin/log.ts";
import type { Sandbox } from "../plugin/sandbox.ts";
import { isSystemError } from "../sys/sys.ts";
import type { GivenDevice } from "./given.ts";
import { move } from "./move.ts";
import { writeTos, writeTrafficClass } from "./qos.ts";

/**
 * Traffic class and name on the host, then the move, then what the move takes away. The caller undoes with `reclaim`.
 */
export function enterPod(
	host: NetlinkSocket,
	sandbox: Sandbox,
	device: RdmaDevice,
	given: GivenDevice,
	log: Log,
): void {
	const { hostName, podName, podQos } = given;
	if (podQos.trafficClass !== undefined) writeTrafficClass(hostName, podQos.trafficClass);
	const named = podName === hostName ? device : rename(host, device, podName);
	move(host, named, given.deviceId, given.uverbs, sandbox.netns, log);
	if (podQos.tos) writeTos(podName, podQos.tos);
}

function rename(host: NetlinkSocket, device: RdmaDevice, name: string): RdmaDevice {
	try {
		renameRdmaDevice(host, device, name);
		return { ...device, name };
	} catch (error) {
		if (!isSystemError(error, "EEXIST")) throw error;
		throw new CniError(
			Code.device,
			`RDMA device ${device.name} cannot be called ${name}: another RDMA device of this node has that name, here or in a pod`,
			'names are unique on a node: put {index} into rdmaDeviceName, as in "rdma_{ifname}_{index}"',
		);
	}
}
