/**
 * The move of an RDMA device between namespaces, with an eye on the numbers of the device nodes.
 */
import type { Netns } from "../linux/netns.ts";
import { moveRdmaDevice, type RdmaDevice } from "../netlink/rdma.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import type { Log } from "../plugin/log.ts";
import { deviceOfNode, hasNode, uverbsOf } from "./device.ts";

/**
 * Moves `device`, the RDMA device of `deviceId`, from the namespace of `from` into `to`. The kernel makes its node
 * again, with the lowest number that is free: warns where that is not `uverbs`, which it was before, since the pod
 * was given the node of that number, and so may be the pod of the device that has it now. The caller holds the lock;
 * what still changes numbers is somebody else's move at the same moment, or a number below that was free.
 */
export function move(
	from: NetlinkSocket,
	device: RdmaDevice,
	deviceId: string,
	uverbs: number | undefined,
	to: Netns,
	log: Log,
): void {
	moveRdmaDevice(from, device, to.fd);
	if (uverbs === undefined || hasNode(deviceId, uverbs)) return;
	const now = uverbsOf(deviceId);
	if (now === undefined || now === uverbs) return;
	log.warning(
		`the device node of ${deviceId} was uverbs${uverbs} and is uverbs${now} now: a pod that was given uverbs${uverbs} for it cannot use it`,
	);
	const owner = deviceOfNode(uverbs);
	if (owner === undefined) return;
	log.warning(`uverbs${uverbs} is the device node of ${owner} now: a pod that was given another for it cannot use it`);
}
