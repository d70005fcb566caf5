/**
 * Who gets the RDMA device, written down before the first change.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import type { Request } from "../../lib/cni/types.ts";
import type { RdmaDevice } from "../../lib/netlink/rdma.ts";
import type { NetlinkSocket } from "../../lib/netlink/socket.ts";
import type { Sandbox } from "../../lib/plugin/sandbox.ts";
import { describe, lookAt } from "../../lib/rdma/claim.ts";
import { type RdmaRecord, readRecord, writeRecord } from "../../lib/rdma/record.ts";
import type { WantedDevice } from "../../lib/rdma/wanted.ts";
import { bootId } from "../../lib/sys/boot.ts";

/** Writes down what the device is now and who gets it. From here on DEL can put everything back. */
export function claim(
	request: Request,
	wanted: WantedDevice,
	deviceId: string,
	hostName: string,
	sandbox: Sandbox,
	host: NetlinkSocket,
): { record: RdmaRecord; device: RdmaDevice } {
	const { network, containerId, ifName, netns } = request;
	const { device, state } = lookAt(host, deviceId, hostName, wanted, ifName);
	const record: RdmaRecord = {
		network,
		containerId,
		ifName,
		own: true,
		deviceId,
		netns,
		netnsIdentity: sandbox.identity,
		bootId: bootId(),
		...state,
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
