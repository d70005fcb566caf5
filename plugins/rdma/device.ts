/**
 * Which RDMA device belongs to a PCI or auxiliary device, and where it is, from sysfs.
 *
 * `infiniband/` below a device lists its RDMA devices in the network namespace of the sysfs mount, which is the host's.
 * `infiniband_verbs/` lists their device nodes (uverbsN) whatever the namespace, and `ibdev` of each tells the RDMA
 * device's name of now: so a device is found by where it is plugged in, even when it was moved or renamed behind our back.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { isPciAddress } from "../../lib/linux/pci.ts";
import { listIfPresent, readLinkIfPresent, readTextIfPresent, statIfPresent } from "../../lib/sys/files.ts";
import * as sys from "../../lib/sys/sys.ts";

const VERBS_CLASS = "/sys/class/infiniband_verbs";

/** A device's name on its bus as sysfs spells it; undefined for what can be none: that must not become part of a path. */
export function toDeviceId(given: string): string | undefined {
	const lower = given.toLowerCase();
	if (isPciAddress(lower)) return lower;
	return /^[A-Za-z0-9_-][A-Za-z0-9_.-]*$/.test(given) ? given : undefined;
}

function folder(deviceId: string): string {
	const bus = isPciAddress(deviceId) ? "pci" : "auxiliary";
	return `/sys/bus/${bus}/devices/${deviceId}`;
}

export function deviceExists(deviceId: string): boolean {
	return statIfPresent(folder(deviceId)) !== undefined;
}

/** Names of the device's RDMA devices that are on the host. */
export function namesOnHost(deviceId: string): string[] {
	return listIfPresent(`${folder(deviceId)}/infiniband`) ?? [];
}

/** Names of the device's RDMA devices in whichever namespace they are; empty where the kernel has no verbs for programs (ib_uverbs). */
export function namesAnywhere(deviceId: string): string[] {
	const names: string[] = [];
	for (const node of nodesOf(deviceId)) {
		const name = readName(`${folder(deviceId)}/infiniband_verbs/${node}/ibdev`);
		if (name) names.push(name);
	}
	return names;
}

/** Number of the device's node /dev/infiniband/uverbsN, in whichever namespace its RDMA device is; undefined for none. */
export function uverbsOf(deviceId: string): number | undefined {
	const [node] = nodesOf(deviceId);
	return node === undefined ? undefined : nodeNumber(node);
}

const nodesOf = (deviceId: string): string[] => listIfPresent(`${folder(deviceId)}/infiniband_verbs`) ?? [];
const nodeNumber = (node: string): number => Number(node.slice("uverbs".length));

/** "" while the kernel moves the device: its node is made again, and may be gone between two system calls. */
function readName(path: string): string {
	try {
		return readTextIfPresent(path)?.trim() ?? "";
	} catch (error) {
		if (sys.isSystemError(error, "ENODEV")) return "";
		throw error;
	}
}

/** The one RDMA device that ADD moves. Throws CniError where there is none on the host, or more than one; `holder` is who may have it. */
export function requireOne(deviceId: string, holder: string | undefined): string {
	const [name, ...others] = namesOnHost(deviceId);
	if (name === undefined) throw noneOnHost(deviceId, holder);
	if (others.length === 0) return name;
	throw new CniError(
		Code.device,
		`failed to get RDMA device for device ID ${deviceId}: discovered more than one RDMA device [${[name, ...others].join(" ")}]. Unsupported state`,
	);
}

function noneOnHost(deviceId: string, holder: string | undefined): CniError {
	const what = `failed to get RDMA device for device ID ${deviceId}`;
	const [elsewhere] = namesAnywhere(deviceId);
	if (elsewhere !== undefined) {
		return new CniError(
			Code.tryAgain,
			`${what}: RDMA device ${elsewhere} is busy in another network namespace${holder === undefined ? "" : ` (${holder})`}`,
			"another pod has it, or the kernel is still taking it back from one that has ended",
		);
	}
	const why = deviceExists(deviceId)
		? "its driver offers none: look at its driver and at modules such as mlx5_ib"
		: `${folder(deviceId)} does not exist`;
	return new CniError(Code.device, `${what}: no RDMA devices found`, why);
}

/**
 * Numbers of the device nodes /dev/infiniband/uverbsN, by the device on its bus, of all namespaces. RDMA devices without a device
 * below them (software ones) are left out.
 */
export function uverbsNumbers(): Map<string, number> {
	const numbers = new Map<string, number>();
	for (const node of listIfPresent(VERBS_CLASS) ?? []) {
		if (!node.startsWith("uverbs")) continue;
		// ../../devices/pci0000:00/.../0000:01:10.0/infiniband_verbs/uverbs0
		const parts = readLinkIfPresent(`${VERBS_CLASS}/${node}`)?.split("/");
		const deviceId = parts?.at(-3);
		if (deviceId !== undefined && deviceId !== "virtual") numbers.set(deviceId, nodeNumber(node));
	}
	return numbers;
}
