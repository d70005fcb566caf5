/**
 * ADD: the RDMA device of the attachment goes where its interface is.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { sentence } from "../../lib/cni/failures.ts";
import { parsePrevResult } from "../../lib/cni/result.ts";
import type { CniResult, Request } from "../../lib/cni/types.ts";
import type { RdmaDevice } from "../../lib/netlink/rdma.ts";
import type { NetlinkSocket } from "../../lib/netlink/socket.ts";
import { Sandbox } from "../../lib/plugin/sandbox.ts";
import { UndoStack } from "../../lib/plugin/undo-stack.ts";
import { describe, lookAt, requireFree } from "../../lib/rdma/claim.ts";
import { enterPod } from "../../lib/rdma/enter.ts";
import { withQos } from "../../lib/rdma/qos.ts";
import { type RdmaRecord, readRecord, takeLock, writeRecord } from "../../lib/rdma/record.ts";
import { release } from "../../lib/rdma/release.ts";
import { openExclusive } from "../../lib/rdma/subsystem.ts";
import type { WantedDevice } from "../../lib/rdma/wanted.ts";
import { bootId } from "../../lib/sys/boot.ts";
import { loadAttachment } from "./config.ts";
import { deviceOfInterface, refuseMoved } from "./interface.ts";
import { openLog } from "./log.ts";

export function add(request: Request): CniResult {
	const attachment = loadAttachment(request);
	const previous = parsePrevResult(request);
	if (previous === undefined) {
		throw new CniError(
			Code.invalidConfig,
			"RDMA-CNI is expected to be called as part of a plugin chain: prevResult is missing",
			"put rdma after sriov or host-device in the plugins of the network",
		);
	}
	const log = openLog(request, attachment.config);
	using host = openExclusive(attachment.wanted);
	if (host === undefined) return previous;
	using sandbox = Sandbox.open(request.netns);
	const deviceId = attachment.deviceId ?? deviceOfInterface(sandbox, previous);
	using _lock = takeLock();
	const hostName = requireFree(request, deviceId, () => refuseMoved(sandbox, deviceId, previous), log);
	// Last, so that it unwinds first: its steps need the sockets and the lock.
	using undo = new UndoStack((what, error) => log.error(`could not ${what} after a failed ADD: ${sentence(error)}`));
	const claimed = claim(request, attachment.wanted, deviceId, hostName, sandbox, host);
	let { record } = claimed;
	undo.push(`return RDMA device ${record.hostName} to the host`, () => release(record, request.netns, log));
	const complete = withQos(record, attachment.wanted, log);
	if (complete !== undefined) {
		record = complete;
		writeRecord(record);
	}
	enterPod(host, sandbox, claimed.device, record, log);
	undo.commit();
	log.debug("the RDMA device is in the sandbox", { deviceID: deviceId, rdma: record.podName });
	return previous;
}

/** Writes down what the device is now and who gets it. From here on DEL can put everything back. */
function claim(
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
