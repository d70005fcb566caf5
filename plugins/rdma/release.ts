/**
 * Giving an RDMA device back: DEL, GC, the undo of a failed ADD, and the healing of a device whose pod is gone are all this.
 */
import { Netns } from "../../lib/linux/netns.ts";
import { NETLINK_RDMA } from "../../lib/netlink/constants.ts";
import { NetlinkError } from "../../lib/netlink/error.ts";
import { listRdmaDevices, type RdmaDevice, renameRdmaDevice } from "../../lib/netlink/rdma.ts";
import { NetlinkSocket } from "../../lib/netlink/socket.ts";
import type { Log } from "../../lib/plugin/log.ts";
import type { Sandbox } from "../../lib/plugin/sandbox.ts";
import { openSandboxOf } from "../../lib/state/liveness.ts";
import * as sys from "../../lib/sys/sys.ts";
import { namesAnywhere, namesOnHost } from "./device.ts";
import { move } from "./move.ts";
import { removeFolder, restoreQos } from "./qos.ts";
import { listRecords, type RdmaRecord, removeRecord, sameAttachment } from "./record.ts";

/** How long the kernel may take to bring a device home from a namespace that has ended. */
const HOME_DEADLINE_MS = 5000;
/** A device that is nowhere may be on its way for so long. */
const TRANSIT_MS = 300;
const HOME_POLL_MS = 10;

/**
 * Brings the device home from wherever it is, under its old name and with its old settings, then forgets the attachment. `netns` is
 * CNI_NETNS of this call. A device that another attachment has by now is not touched. The caller holds the lock.
 * What cannot be put back is a warning in the log: it must not keep a pod from ending. Throws (the record stays, so that it can be tried
 * again) where the device could not leave the pod.
 */
export function release(record: RdmaRecord, netns: string, log: Log): void {
	const { deviceId } = record;
	const other = deviceId === "" ? undefined : listRecords().find((each) => isAnother(each, record));
	if (other !== undefined) {
		log.warning(
			`the RDMA device of ${deviceId} belongs to container ${other.containerId}, interface ${other.ifName} by now and is left alone`,
		);
	} else if (deviceId !== "" && !bringHome(record, netns, log)) {
		return;
	}
	removeRecord(record);
}

const isAnother = (each: RdmaRecord, record: RdmaRecord): boolean =>
	each.deviceId === record.deviceId && !sameAttachment(each, record);

/** False: it is where we cannot get at it, and has to be put right once it comes home. */
function bringHome(record: RdmaRecord, netns: string, log: Log): boolean {
	let name = nameAtHome(record);
	if (name === undefined) {
		using sandbox = openSandboxOf(record, netns || record.netns);
		if (sandbox !== undefined) takeHome(sandbox, record, log);
		// Nothing is known that would have to be put back: then it may come home by itself.
		name = sandbox === undefined && record.hostName !== "" ? awaitHome(record) : nameAtHome(record);
	}
	if (name !== undefined) {
		for (const failure of putRight(record, name)) log.warning(failure);
		return true;
	}
	const [elsewhere] = namesAnywhere(record.deviceId);
	if (elsewhere === undefined) return true;
	log.warning(`RDMA device ${elsewhere} of ${record.deviceId} is in a network namespace that is not the pod's`);
	return record.hostName === "" || (elsewhere === record.hostName && !record.qos.tos);
}

/** The name under which the device is on the host. Of several, one that we know: others have come since. */
function nameAtHome({ deviceId, hostName, podName }: RdmaRecord): string | undefined {
	const names = namesOnHost(deviceId);
	return names.find((name) => name === podName) ?? names.find((name) => name === hostName) ?? names[0];
}

function takeHome(sandbox: Sandbox, record: RdmaRecord, log: Log): void {
	const device = deviceInPod(sandbox, record);
	if (device === undefined) return;
	using host = Netns.current();
	sandbox.netns.run(() => move(sandbox.rdma, device, host, log));
}

/** The device in the pod, whatever its name is by now. By the record's name only where the kernel does not tell the present one. */
export function deviceInPod(sandbox: Sandbox, record: RdmaRecord): RdmaDevice | undefined {
	const names = namesAnywhere(record.deviceId);
	const wanted = names.length > 0 ? names : [record.podName];
	try {
		return listRdmaDevices(sandbox.rdma).find((device) => wanted.includes(device.name));
	} catch (error) {
		// The kernel's RDMA modules were unloaded, and the device with them.
		if (sys.isSystemError(error, "EPROTONOSUPPORT")) return undefined;
		throw error;
	}
}

/** The kernel takes a device out of a namespace that ends in its own time, on a thread of its own. */
function awaitHome(record: RdmaRecord): string | undefined {
	const start = sys.monotonicMs();
	for (;;) {
		const name = nameAtHome(record);
		const waited = sys.monotonicMs() - start;
		const exists = namesAnywhere(record.deviceId).length > 0;
		if (name !== undefined || waited > (exists ? HOME_DEADLINE_MS : TRANSIT_MS)) return name;
		sys.sleepMs(HOME_POLL_MS);
	}
}

/** Name and settings of a device that is home. Returns what could not be put back. */
function putRight(record: RdmaRecord, name: string): string[] {
	const { hostName, podName, qos } = record;
	const failures: string[] = [];
	const renamed = hostName === "" || hostName === name || rename(name, hostName, failures);
	const now = renamed && hostName !== "" ? hostName : name;
	failures.push(...restoreQos(now, qos));
	if (!record.qosFolder) for (const each of new Set([now, podName])) removeFolder(each);
	return failures;
}

function rename(name: string, hostName: string, failures: string[]): boolean {
	using host = NetlinkSocket.open(NETLINK_RDMA);
	try {
		const device = listRdmaDevices(host).find((each) => each.name === name);
		if (device !== undefined) renameRdmaDevice(host, device, hostName);
		return device !== undefined;
	} catch (error) {
		if (!(error instanceof NetlinkError)) throw error;
		failures.push(`RDMA device ${name} could not get its name ${hostName} back: ${error.message}`);
		return false;
	}
}
