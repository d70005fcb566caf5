/**
 * ADD: the RDMA device of the attachment goes where its interface is.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { sentence } from "../../lib/cni/failures.ts";
import { parsePrevResult } from "../../lib/cni/result.ts";
import type { CniResult, Request } from "../../lib/cni/types.ts";
import { Sandbox } from "../../lib/plugin/sandbox.ts";
import { UndoStack } from "../../lib/plugin/undo-stack.ts";
import { claim, claimQos, requireFree } from "./claim.ts";
import { loadAttachment } from "./config.ts";
import { enterPod } from "./enter.ts";
import { deviceOfInterface } from "./interface.ts";
import { openLog } from "./log.ts";
import { attachmentOf, takeLock } from "./record.ts";
import { release } from "./release.ts";
import { isExclusive, openRdma } from "./subsystem.ts";

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
	using host = openRdma();
	if (!isExclusive(host, attachment.config)) return previous;
	using sandbox = Sandbox.open(request.netns);
	const deviceId = attachment.deviceId ?? deviceOfInterface(sandbox, previous);
	using _lock = takeLock();
	const hostName = requireFree(attachmentOf(request), deviceId, sandbox, previous, log);
	// Last, so that it unwinds first: its steps need the sockets and the lock.
	using undo = new UndoStack((what, error) => log.error(`could not ${what} after a failed ADD: ${sentence(error)}`));
	const claimed = claim(request, attachment, deviceId, hostName, sandbox, host);
	let { record } = claimed;
	undo.push(`return RDMA device ${record.hostName} to the host`, () => release(record, request.netns, log));
	record = claimQos(record, attachment, log);
	enterPod(host, sandbox, claimed.device, record, log);
	undo.commit();
	log.debug("the RDMA device is in the sandbox", { deviceID: deviceId, rdma: record.podName });
	return previous;
}
