/**
 * rdma: the RDMA device of an attachment goes where its interface goes, and comes home.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { attempt, sentence, throwTogether } from "../../lib/cni/failures.ts";
import { parsePrevResult } from "../../lib/cni/result.ts";
import type { CniResult, Plugin, Request, ValidAttachment } from "../../lib/cni/types.ts";
import { withDeviceErrors } from "../../lib/linux/device-errors.ts";
import { Sandbox } from "../../lib/linux/sandbox.ts";
import * as sys from "../../lib/linux/sys.ts";
import { UndoStack } from "../../lib/linux/undo-stack.ts";
import { Log } from "../../lib/log/log.ts";
import { getRdmaNetnsMode } from "../../lib/netlink/rdma.ts";
import { NETLINK_RDMA, NetlinkSocket } from "../../lib/netlink/socket.ts";
import { checkDevice } from "./check.ts";
import { claim, claimQos, requireFree } from "./claim.ts";
import { deviceIdIfAny, loadAttachment, looseConfig } from "./config.ts";
import { namesOnHost } from "./device.ts";
import { enterPod } from "./enter.ts";
import { deviceOfInterface } from "./interface.ts";
import {
	emptyRecord,
	listRecords,
	type RdmaRecord,
	type RecordKey,
	readRecord,
	removeTemporary,
	requireWritable,
	sameAttachment,
	takeLock,
} from "./record.ts";
import { release } from "./release.ts";
import type { RdmaConfig } from "./schema.ts";

function add(request: Request): CniResult {
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
	requireFree(keyOf(request), deviceId, sandbox, previous, log);
	// Last, so that it unwinds first: its steps need the sockets and the lock.
	using undo = new UndoStack((what, error) => log.error(`could not ${what} after a failed ADD: ${sentence(error)}`));
	const claimed = claim(request, attachment, deviceId, sandbox, host);
	let { record } = claimed;
	undo.push(`bring RDMA device ${record.hostName} home`, () => release(record, request.netns, log));
	record = claimQos(record, attachment, log);
	enterPod(host, sandbox, claimed.device, record, log);
	undo.commit();
	log.debug("the RDMA device is in the sandbox", { deviceID: deviceId, rdma: record.podName });
	return previous;
}

/**
 * Never sticks. Works from the record; where that is gone or was cut off, from what the configuration tells: a device that is still in
 * the pod comes home in any case.
 */
function del(request: Request): void {
	const config = looseConfig(request);
	const log = openLog(request, config);
	using _lock = takeLock();
	const key = keyOf(request);
	const record = readRecord(key) ?? emptyRecord(key);
	release({ ...record, deviceId: record.deviceId || deviceIdIfAny(config) || "" }, request.netns, log);
}

function check(request: Request): void {
	const attachment = loadAttachment(request);
	if (parsePrevResult(request) === undefined) {
		throw new CniError(Code.invalidConfig, "required prevResult missing");
	}
	using host = openRdma();
	if (!isExclusive(host, attachment.config)) return;
	const record = readRecord(keyOf(request));
	if (record === undefined || record.deviceId === "" || record.podName === "") {
		const { containerId, ifName } = request;
		throw new CniError(
			Code.checkFailed,
			`there is no record of an RDMA device of container ${containerId}, interface ${ifName}`,
		);
	}
	if (attachment.deviceId !== undefined && record.deviceId !== attachment.deviceId) {
		throw new CniError(
			Code.checkFailed,
			`the attachment has the RDMA device of ${record.deviceId}, not of ${attachment.deviceId}`,
		);
	}
	using sandbox = Sandbox.open(request.netns);
	checkDevice(sandbox, record);
}

/** Brings home every device of this network whose attachment is not valid. Goes on after errors, and tells of all of them. */
function gc(request: Request, valid: readonly ValidAttachment[] | undefined): void {
	if (valid === undefined) return;
	const { network } = request;
	const log = openLog(request, looseConfig(request));
	const keep = valid.map(({ containerID, ifname }) => ({ network, containerId: containerID, ifName: ifname }));
	const failures: unknown[] = [];
	attempt(failures, clean);
	for (const record of listRecords()) {
		if (isOfNetwork(record, network) && !keep.some((each) => sameAttachment(each, record))) {
			attempt(failures, () => collectGarbage(record, log));
		}
	}
	throwTogether(failures);
}

/**
 * The file name of a record does not tell where the network's name ends. Ours says it inside; one of Go's, or one that was cut off,
 * may be another network's, so it counts only where its pod has no device any more.
 */
function isOfNetwork(record: RdmaRecord, network: string): boolean {
	if (record.own) return record.network === network;
	const mayBe = `${record.network}-${record.containerId}-`.startsWith(`${network}-`);
	return mayBe && record.deviceId !== "" && namesOnHost(record.deviceId).length > 0;
}

function clean(): void {
	using _lock = takeLock();
	removeTemporary();
}

function collectGarbage(record: RdmaRecord, log: Log): void {
	using _lock = takeLock();
	const now = readRecord(record);
	if (now === undefined) return;
	log.info(
		`the RDMA device of ${now.deviceId} comes home from container ${now.containerId}, which is not valid any more`,
	);
	release(now, now.netns, log);
}

/** Cheap: it is polled every few seconds. */
function status(request: Request): void {
	const config = looseConfig(request);
	try {
		using host = openRdma();
		if (isExclusive(host, config)) requireWritable();
	} catch (error) {
		if (error instanceof CniError) throw new CniError(Code.notAvailable, error.message, error.details);
		if (sys.isSystemError(error)) throw new CniError(Code.notAvailable, error.message);
		throw error;
	}
}

export const plugin: Plugin = withDeviceErrors({ add, del, check, gc, status });

function openRdma(): NetlinkSocket {
	try {
		return NetlinkSocket.open(NETLINK_RDMA);
	} catch (error) {
		if (!sys.isSystemError(error, "EPROTONOSUPPORT")) throw error;
		throw new CniError(
			Code.device,
			"this node has no RDMA subsystem: the kernel module ib_core is not loaded",
			"load the driver of the card (mlx5_ib, irdma, ...) or take rdma out of the chain",
		);
	}
}

/** True: devices belong to one namespace. False: they do not, and the configuration says that this is all right. Else throws. */
function isExclusive(host: NetlinkSocket, config: RdmaConfig): boolean {
	const mode = getRdmaNetnsMode(host);
	if (mode === "exclusive") return true;
	if (config.sharedMode === "skip") return false;
	throw new CniError(
		Code.device,
		`RDMA subsystem namespace awareness mode is set to ${mode ?? "shared, the only one of kernels before 5.3"}, expecting it to be set to exclusive, invalid system configurations`,
		'set it at boot, before there is any network namespace: "options ib_core netns_mode=0" in /etc/modprobe.d, or `rdma system set netns exclusive`; where RDMA devices are meant to be shared, take rdma out of the chain or give it "sharedMode": "skip"',
	);
}

const keyOf = ({ network, containerId, ifName }: Request): RecordKey => ({ network, containerId, ifName });

function openLog(request: Request, config: RdmaConfig): Log {
	return new Log({
		level: config.args?.cni?.debug === true ? "debug" : config.logLevel,
		file: config.logFile,
		fields: { cniName: "rdma-cni", containerID: request.containerId, netns: request.netns, ifname: request.ifName },
	});
}
