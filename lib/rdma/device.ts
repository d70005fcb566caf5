/**
 * Which RDMA device belongs to a PCI or auxiliary device, and where it is, from sysfs; its index, from netlink.
 *
 * `infiniband/` below a device lists its RDMA devices in the network namespace of the sysfs mount, which is the
 * host's. `infiniband_verbs/` lists their device nodes (uverbsN) whatever the namespace, and `ibdev` of each tells
 * the RDMA device's name of now: so a device is found by where it is plugged in, even when it was moved or renamed
 * behind our back.
 */
import { CniError, Code } from "../cni/error.ts";
import { isPciAddress } from "../linux/pci.ts";
import { findRdmaDevice, type RdmaDevice } from "../netlink/rdma.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import { listIfPresent, readLineIfPresent, readLinkIfPresent, statIfPresent } from "../sys/files.ts";
import { poll } from "../sys/poll.ts";
import { isSystemError } from "../sys/sys.ts";

/** How long a device may take from its place in sysfs to being ready. */
const READY = { deadlineMs: 2000, everyMs: 10 };

const VERBS_CLASS = "/sys/class/infiniband_verbs";

/**
 * A device's name on its bus as sysfs spells it; undefined for what can be none: that must not become part of a path.
 */
export function toDeviceId(given: string): string | undefined {
	const lower = given.toLowerCase();
	if (isPciAddress(lower)) return lower;
	return /^[A-Za-z0-9_-][A-Za-z0-9_.-]*$/.test(given) ? given : undefined;
}

function directory(deviceId: string): string {
	// No auxiliary device has a colon in its name.
	const bus = deviceId.includes(":") ? "pci" : "auxiliary";
	return `/sys/bus/${bus}/devices/${deviceId}`;
}

/** Names of the device's RDMA devices that are on the host. */
export function namesOnHost(deviceId: string): string[] {
	return listIfPresent(`${directory(deviceId)}/infiniband`) ?? [];
}

/** An RDMA device in whichever namespace it is, by its node /dev/infiniband/uverbsN. */
export interface VerbsNode {
	readonly uverbs: number;
	/** Name of the RDMA device. */
	readonly name: string;
}

/** Those of the device; empty where the kernel has no verbs for programs (ib_uverbs). */
export function nodesAnywhere(deviceId: string): VerbsNode[] {
	return nodesOf(deviceId).flatMap((uverbs) => nodeAnywhere(deviceId, uverbs) ?? []);
}

/** Whether the device has the node with this number, in whichever namespace it is. */
export const hasNode = (deviceId: string, uverbs: number): boolean =>
	statIfPresent(nodePath(deviceId, uverbs)) !== undefined;

const nodePath = (deviceId: string, uverbs: number): string =>
	`${directory(deviceId)}/infiniband_verbs/uverbs${uverbs}`;

/** That with this number, if it is the device's. */
export function nodeAnywhere(deviceId: string, uverbs: number): VerbsNode | undefined {
	const name = readName(`${nodePath(deviceId, uverbs)}/ibdev`);
	return name === "" ? undefined : { uverbs, name };
}

/** The names of `nodesAnywhere`. */
export const namesAnywhere = (deviceId: string): string[] => nodesAnywhere(deviceId).map(({ name }) => name);

/**
 * Number of the device's node /dev/infiniband/uverbsN, in whichever namespace its RDMA device is; undefined for none.
 */
export const uverbsOf = (deviceId: string): number | undefined => nodesOf(deviceId)[0];

function nodesOf(deviceId: string): number[] {
	const nodes = listIfPresent(`${directory(deviceId)}/infiniband_verbs`) ?? [];
	return nodes.map((node) => Number(node.slice("uverbs".length)));
}

/** "" while the kernel moves the device: its node is made again, and may be gone between two system calls. */
function readName(path: string): string {
	try {
		return readLineIfPresent(path) ?? "";
	} catch (error) {
		if (isSystemError(error, "ENODEV")) return "";
		throw error;
	}
}

/**
 * The one RDMA device that ADD moves, of those on the host. Throws CniError where there is none, or more than one;
 * `owner` is who may have it.
 */
export function requireOne(names: readonly string[], deviceId: string, owner: string | undefined): string {
	const name = names[0];
	if (name === undefined) throw noneOnHost(deviceId, owner);
	if (names.length === 1) return name;
	throw new CniError(
		Code.device,
		`failed to get RDMA device for device ID ${deviceId}: discovered more than one RDMA device [${names.join(" ")}]. Unsupported state`,
	);
}

function noneOnHost(deviceId: string, owner: string | undefined): CniError {
	const what = `failed to get RDMA device for device ID ${deviceId}`;
	const [elsewhere] = namesAnywhere(deviceId);
	if (elsewhere !== undefined) {
		return new CniError(
			Code.tryAgain,
			`${what}: RDMA device ${elsewhere} is busy in another network namespace${owner === undefined ? "" : ` (${owner})`}`,
			"another pod has it, or the kernel is still taking it back from one that has ended",
		);
	}
	const path = directory(deviceId);
	const isThere = statIfPresent(path) !== undefined;
	const why = isThere
		? "its driver offers none: look at its driver and at modules such as mlx5_ib"
		: `${path} does not exist`;
	return new CniError(Code.device, `${what}: no RDMA devices found`, why);
}

/**
 * The RDMA device on the host that sysfs shows as `name`; `likely` is where to look first. sysfs does so a little
 * before the kernel has made a device ready that changed its namespace, and tells of it by netlink. Undefined where
 * that does not come: it has left again.
 */
export function deviceOnHost(host: NetlinkSocket, name: string, likely: number | undefined): RdmaDevice | undefined {
	return poll(READY, () => findRdmaDevice(host, [name], likely));
}

/** The device on its bus that has the node /dev/infiniband/uverbsN; undefined for none, and for a software device. */
export function deviceOfNode(uverbs: number): string | undefined {
	// ../../devices/pci0000:00/.../0000:01:10.0/infiniband_verbs/uverbs0
	const node = readLinkIfPresent(`${VERBS_CLASS}/uverbs${uverbs}`);
	const end = node?.lastIndexOf("/infiniband_verbs/") ?? -1;
	if (node === undefined || end < 0) return undefined;
	const deviceId = node.slice(node.lastIndexOf("/", end - 1) + 1, end);
	return deviceId === "virtual" ? undefined : deviceId;
}
