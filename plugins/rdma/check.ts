/**
 * CHECK: the RDMA device is in the pod as ADD left it.
 */
import { CniError, Code, checkFailed } from "../../lib/cni/error.ts";
import { parsePrevResult } from "../../lib/cni/result.ts";
import type { Request } from "../../lib/cni/types.ts";
import { NETLINK_RDMA } from "../../lib/netlink/constants.ts";
import { Sandbox } from "../../lib/plugin/sandbox.ts";
import { checkDevice } from "../../lib/rdma/check-device.ts";
import { readRecord } from "../../lib/rdma/record.ts";
import { openExclusive } from "../../lib/rdma/subsystem.ts";
import { loadAttachment } from "./config.ts";

export function check(request: Request): void {
	const attachment = loadAttachment(request);
	if (parsePrevResult(request) === undefined) {
		throw new CniError(Code.invalidConfig, "required prevResult missing");
	}
	using host = openExclusive(attachment.wanted);
	if (host === undefined) return;
	const record = readRecord(request);
	if (record === undefined || record.deviceId === "" || record.podName === "") {
		const { containerId, ifName } = request;
		throw checkFailed(`there is no record of an RDMA device of container ${containerId}, interface ${ifName}`);
	}
	if (attachment.deviceId !== undefined && record.deviceId !== attachment.deviceId) {
		throw checkFailed(`the attachment has the RDMA device of ${record.deviceId}, not of ${attachment.deviceId}`);
	}
	using sandbox = Sandbox.open(request.netns, NETLINK_RDMA);
	checkDevice(sandbox, record);
}
