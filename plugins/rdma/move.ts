/**
 * The move of an RDMA device between namespaces, with an eye on the numbers of the device nodes.
 */
import type { Netns } from "../../lib/linux/netns.ts";
import { moveRdmaDevice, type RdmaDevice } from "../../lib/netlink/rdma.ts";
import type { NetlinkSocket } from "../../lib/netlink/socket.ts";
import type { Log } from "../../lib/plugin/log.ts";
import { uverbsNumbers } from "./device.ts";

/**
 * Moves `device` from the namespace of `from` into `to`, and warns of every node whose number is another one then: the pod that
 * has the old number was given the wrong node. The caller holds the lock; what still changes numbers is somebody else's move at the
 * same moment, or a number below that was free. Returns the numbers from before.
 */
export function move(from: NetlinkSocket, device: RdmaDevice, to: Netns, log: Log): Map<string, number> {
	const before = uverbsNumbers();
	moveRdmaDevice(from, device, to.fd);
	for (const [deviceId, number] of uverbsNumbers()) {
		const old = before.get(deviceId);
		if (old === undefined || old === number) continue;
		log.warning(
			`the device node of ${deviceId} was uverbs${old} and is uverbs${number} now: a pod that was given uverbs${old} for it cannot use it`,
		);
	}
	return before;
}
