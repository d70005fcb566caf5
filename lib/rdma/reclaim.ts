/**
 * An RDMA device on its way back to the host.
 */
import { Netns } from "../linux/netns.ts";
import { NETLINK_RDMA } from "../netlink/constants.ts";
import { NetlinkError } from "../netlink/error.ts";
import { findRdmaDevice, type RdmaDevice, renameRdmaDevice } from "../netlink/rdma.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import type { Log } from "../plugin/log.ts";
import type { Sandbox } from "../plugin/sandbox.ts";
import { isOfEarlierBoot, openSandboxOf } from "../state/liveness.ts";
import { poll } from "../sys/poll.ts";
import * as sys from "../sys/sys.ts";
import { deviceOnHost, namesAnywhere, namesOnHost, nodeAnywhere, nodesAnywhere, type VerbsNode } from "./device.ts";
import type { GivenDevice } from "./given.ts";
import { move } from "./move.ts";
import { removeDirectory, restoreQos } from "./qos.ts";

/** How long the kernel may take to return a device from a namespace that has ended. */
const RETURN = { deadlineMs: 5000, everyMs: 10 };
/** A device that is nowhere may be on its way for so long. */
const TRANSIT_MS = 1000;

/**
 * Returns the device to the host from wherever it is, under its old name and with its old settings. `netns` is
 * CNI_NETNS of this call. False: it is where we cannot get at it, and has to be put right once it is back. The caller
 * holds the lock. What cannot be put back is a warning in the log. Throws where the device could not leave the pod.
 */
export function reclaim(given: GivenDevice, netns: string, log: Log): boolean {
	let name = nameOnHost(given);
	const wasOnHost = name !== undefined;
	if (name === undefined) {
		using sandbox = openPod(given, netns || given.netns);
		name = sandbox && returnToHost(sandbox, given, log);
		// Nothing is known that would have to be put back: then it may return by itself.
		name ??= sandbox === undefined && given.hostName !== "" ? awaitReturn(given) : nameOnHost(given);
	}
	if (name !== undefined) {
		// The devices of this boot are others, even if they have the same names.
		if (wasOnHost && isOfEarlierBoot(given)) return true;
		for (const failure of putRight(given, name)) log.warning(failure);
		return true;
	}
	const [elsewhere] = namesAnywhere(given.deviceId);
	if (elsewhere === undefined) return true;
	log.warning(`RDMA device ${elsewhere} of ${given.deviceId} is in a network namespace that is not the pod's`);
	return given.hostName === "" || (elsewhere === given.hostName && !given.qos.tos);
}

/** The name under which the device is on the host. Of several, one that we know: others have come since. */
export function nameOnHost({ deviceId, hostName, podName }: GivenDevice): string | undefined {
	const names = namesOnHost(deviceId);
	if (names.includes(podName)) return podName;
	return names.includes(hostName) ? hostName : names[0];
}

/** The pod's namespace with its RDMA socket, if the kernel's RDMA modules have not been unloaded. */
export function openPod(given: GivenDevice, netns: string): Sandbox | undefined {
	try {
		return openSandboxOf(given, netns, NETLINK_RDMA);
	} catch (error) {
		if (sys.isSystemError(error, "EPROTONOSUPPORT")) return openSandboxOf(given, netns);
		throw error;
	}
}

/** Returns the name that it has on the host; undefined where it was not in the pod. */
function returnToHost(sandbox: Sandbox, given: GivenDevice, log: Log): string | undefined {
	const found = deviceInPod(sandbox, given);
	if (found === undefined) return undefined;
	const { device, uverbs } = found;
	sandbox.netns.run(() => move(sandbox.rdma, device, given.deviceId, uverbs, Netns.host(), log));
	return device.name;
}

interface DeviceInPod {
	readonly device: RdmaDevice;
	/** The number of its node. */
	readonly uverbs: number | undefined;
}

/**
 * The device in the pod, whatever its name is by now. By the recorded name only where the kernel does not tell the
 * present one.
 */
export function deviceInPod(sandbox: Sandbox, given: GivenDevice): DeviceInPod | undefined {
	const { deviceId, uverbs } = given;
	// Its node is nearly always the one that it had.
	const likely = uverbs === undefined ? undefined : nodeAnywhere(deviceId, uverbs);
	return (likely && findInPod(sandbox, given, [likely])) ?? findInPod(sandbox, given, nodesAnywhere(deviceId));
}

function findInPod(sandbox: Sandbox, given: GivenDevice, nodes: readonly VerbsNode[]): DeviceInPod | undefined {
	const names = nodes.length > 0 ? nodes.map(({ name }) => name) : [given.podName];
	try {
		const device = findRdmaDevice(sandbox.rdma, names, given.index ?? nodes[0]?.uverbs);
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
function awaitReturn(given: GivenDevice): string | undefined {
	let lastSeen = sys.monotonicMs();
	const isLost = (): boolean => {
		const now = sys.monotonicMs();
		if (namesAnywhere(given.deviceId).length > 0) lastSeen = now;
		return now - lastSeen > TRANSIT_MS;
	};
	const ask = (): string | undefined => nameOnHost(given);
	return poll(RETURN, ask, (name) => name !== undefined || isLost());
}

/** Name and settings of a device that is on the host. Returns what could not be put back. */
function putRight(given: GivenDevice, name: string): string[] {
	const { hostName, podName, qos } = given;
	const failures: string[] = [];
	const renamed = hostName === "" || hostName === name || rename(name, given, failures);
	const now = renamed && hostName !== "" ? hostName : name;
	restoreQos(now, qos, failures);
	if (given.qosDirectory === false) {
		removeDirectory(now);
		if (podName !== now) removeDirectory(podName);
	}
	return failures;
}

function rename(name: string, { hostName, index }: GivenDevice, failures: string[]): boolean {
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
