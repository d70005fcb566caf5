/**
 * Giving an RDMA device back: DEL, GC, the undo of a failed ADD, and the healing of a device whose pod is gone are
 * all this.
 */
import { Netns } from "../../lib/linux/netns.ts";
import { NETLINK_RDMA } from "../../lib/netlink/constants.ts";
import { NetlinkError } from "../../lib/netlink/error.ts";
import { findRdmaDevice, type RdmaDevice, renameRdmaDevice } from "../../lib/netlink/rdma.ts";
import { NetlinkSocket } from "../../lib/netlink/socket.ts";
import type { Log } from "../../lib/plugin/log.ts";
import type { Sandbox } from "../../lib/plugin/sandbox.ts";
import { isOfEarlierBoot, openSandboxOf } from "../../lib/state/liveness.ts";
import { poll } from "../../lib/sys/poll.ts";
import * as sys from "../../lib/sys/sys.ts";
import { deviceOnHost, namesAnywhere, namesOnHost, nodesAnywhere } from "./device.ts";
import { move } from "./move.ts";
import { removeDirectory, restoreQos } from "./qos.ts";
import { emptyRecord, listRecords, type RdmaRecord, type RecordKey, removeRecord } from "./record.ts";

/** How long the kernel may take to return a device from a namespace that has ended. */
const RETURN = { deadlineMs: 5000, everyMs: 10 };
/** A device that is nowhere may be on its way for so long. */
const TRANSIT_MS = 1000;

/**
 * Returns the device to the host from wherever it is, under its old name and with its old settings, then forgets the
 * attachment. `netns` is CNI_NETNS of this call. A device that another attachment has by now is not touched. The
 * caller holds the lock. What cannot be put back is a warning in the log: it must not keep a pod from ending. Throws
 * (the record stays, so that it can be tried again) where the device could not leave the pod.
 */
export function release(record: RdmaRecord, netns: string, log: Log): void {
	const { deviceId } = record;
	const other = deviceId === "" ? undefined : otherOwner(record, netns);
	if (other !== undefined) {
		log.warning(
			`the RDMA device of ${deviceId} belongs to container ${other.containerId}, interface ${other.ifName} by now and is left alone`,
		);
	} else if (deviceId !== "" && !reclaim(record, netns, log)) {
		return;
	}
	removeRecord(record);
}

/**
 * Returns the device to the host if it is in the pod, though the attachment's record is of another device: an old one
 * that somebody brought back.
 */
export function releaseLost(key: RecordKey, deviceId: string, netns: string, log: Log): void {
	const record = { ...emptyRecord(key), deviceId };
	if (isInPod(record, netns) && otherOwner(record, netns) === undefined) reclaim(record, netns, log);
}

/**
 * The record of another attachment that has the device. One of another sandbox says nothing against what is in the
 * pod: it may have been brought back from a backup.
 */
function otherOwner(record: RdmaRecord, netns: string): RdmaRecord | undefined {
	const others = listRecords(record).filter(({ deviceId }) => deviceId === record.deviceId);
	const path = netns || record.netns;
	if (others.length === 0) return undefined;
	return others.find((each) => each.netns === path) ?? (isInPod(record, netns) ? undefined : others[0]);
}

function isInPod(record: RdmaRecord, netns: string): boolean {
	if (nameOnHost(record) !== undefined) return false;
	using sandbox = openPod(record, netns || record.netns);
	return sandbox !== undefined && deviceInPod(sandbox, record) !== undefined;
}

/** False: it is where we cannot get at it, and has to be put right once it is back. */
function reclaim(record: RdmaRecord, netns: string, log: Log): boolean {
	let name = nameOnHost(record);
	const wasOnHost = name !== undefined;
	if (name === undefined) {
		using sandbox = openPod(record, netns || record.netns);
		name = sandbox && returnToHost(sandbox, record, log);
		// Nothing is known that would have to be put back: then it may return by itself.
		name ??= sandbox === undefined && record.hostName !== "" ? awaitReturn(record) : nameOnHost(record);
	}
	if (name !== undefined) {
		// The devices of this boot are others, even if they have the same names.
		if (wasOnHost && isOfEarlierBoot(record)) return true;
		for (const failure of putRight(record, name)) log.warning(failure);
		return true;
	}
	const [elsewhere] = namesAnywhere(record.deviceId);
	if (elsewhere === undefined) return true;
	log.warning(`RDMA device ${elsewhere} of ${record.deviceId} is in a network namespace that is not the pod's`);
	return record.hostName === "" || (elsewhere === record.hostName && !record.qos.tos);
}

/** The name under which the device is on the host. Of several, one that we know: others have come since. */
function nameOnHost({ deviceId, hostName, podName }: RdmaRecord): string | undefined {
	const names = namesOnHost(deviceId);
	return names.find((name) => name === podName) ?? names.find((name) => name === hostName) ?? names[0];
}

/** The pod's namespace with its RDMA socket, if the kernel's RDMA modules have not been unloaded. */
function openPod(record: RdmaRecord, netns: string): Sandbox | undefined {
	try {
		return openSandboxOf(record, netns, NETLINK_RDMA);
	} catch (error) {
		if (sys.isSystemError(error, "EPROTONOSUPPORT")) return openSandboxOf(record, netns);
		throw error;
	}
}

/** Returns the name that it has on the host; undefined where it was not in the pod. */
function returnToHost(sandbox: Sandbox, record: RdmaRecord, log: Log): string | undefined {
	const found = deviceInPod(sandbox, record);
	if (found === undefined) return undefined;
	const { device, uverbs } = found;
	sandbox.netns.run(() => move(sandbox.rdma, device, record.deviceId, uverbs, Netns.host(), log));
	return device.name;
}

/**
 * The device in the pod, whatever its name is by now, and the number of its node. By the record's name only where the
 * kernel does not tell the present one.
 */
export function deviceInPod(
	sandbox: Sandbox,
	record: RdmaRecord,
): { readonly device: RdmaDevice; readonly uverbs: number | undefined } | undefined {
	const nodes = nodesAnywhere(record.deviceId);
	const names = nodes.length > 0 ? nodes.map(({ name }) => name) : [record.podName];
	try {
		const device = findRdmaDevice(sandbox.rdma, names, record.index ?? nodes[0]?.uverbs);
		return device && { device, uverbs: nodes.find(({ name }) => name === device.name)?.uverbs };
	} catch (error) {
		// The kernel's RDMA modules were unloaded, and the device with them.
		if (sys.isSystemError(error, "EPROTONOSUPPORT")) return undefined;
		throw error;
	}
}

/**
 * The kernel takes a device out of a namespace that ends in its own time, on a thread of its own; on its way it is
 * nowhere for a moment, which may come long after we have begun to wait.
 */
function awaitReturn(record: RdmaRecord): string | undefined {
	let lastSeen = sys.monotonicMs();
	const isLost = (): boolean => {
		const now = sys.monotonicMs();
		if (namesAnywhere(record.deviceId).length > 0) lastSeen = now;
		return now - lastSeen > TRANSIT_MS;
	};
	return poll(
		RETURN,
		() => nameOnHost(record),
		(name) => name !== undefined || isLost(),
	);
}

/** Name and settings of a device that is on the host. Returns what could not be put back. */
function putRight(record: RdmaRecord, name: string): string[] {
	const { hostName, podName, qos } = record;
	const failures: string[] = [];
	const renamed = hostName === "" || hostName === name || rename(name, record, failures);
	const now = renamed && hostName !== "" ? hostName : name;
	failures.push(...restoreQos(now, qos));
	if (!record.qosDirectory) for (const each of new Set([now, podName])) removeDirectory(each);
	return failures;
}

function rename(name: string, { hostName, index }: RdmaRecord, failures: string[]): boolean {
	using host = NetlinkSocket.open(NETLINK_RDMA);
	try {
		const device = deviceOnHost(host, name, index);
		if (device !== undefined) renameRdmaDevice(host, device, hostName);
		else failures.push(`RDMA device ${name} could not get its name ${hostName} back: it left the host just now`);
		return device !== undefined;
	} catch (error) {
		if (!(error instanceof NetlinkError)) throw error;
		failures.push(`RDMA device ${name} could not get its name ${hostName} back: ${error.message}`);
		return false;
	}
}
