/**
 * RoCE quality of service of an RDMA device. The kernel keeps neither setting of a device that changes its namespace.
 *
 * Type of service: the default of connections that RDMA-CM makes, in configfs
 * (Documentation/ABI/testing/configfs-rdma_cm). A directory with the device's name makes its files appear; configfs
 * knows no namespaces, so the host's serves devices in pods, too. Traffic class: a sysfs file of NVIDIA's own driver,
 * which takes it only while the device is on the host.
 */
import { CniError, Code } from "../cni/error.ts";
import type { Log } from "../plugin/log.ts";
import { readText, readTextIfPresent, statIfPresent, writeExisting } from "../sys/files.ts";
import * as sys from "../sys/sys.ts";
import type { DeviceState, QosSettings } from "./given.ts";
import type { WantedDevice } from "./wanted.ts";

const RDMA_CM = "/sys/kernel/config/rdma_cm";
/** VFs have one port. */
const TOS_FILE = "ports/1/default_roce_tos";

const trafficClassPath = (name: string): string => `/sys/class/infiniband/${name}/tc/1/traffic_class`;

/**
 * Whether the administrator has made the directory of a device in configfs: then it has to stay. Undefined where there
 * is no configfs, no rdma_cm, or no right to look: an errno that is thrown costs more than this look.
 */
export function hasDirectory(name: string): boolean | undefined {
	const look = () => statIfPresent(RDMA_CM) && statIfPresent(`${RDMA_CM}/${name}`) !== undefined;
	return sys.unlessFailed(look, "EPERM", "EACCES");
}

/**
 * `device` with the host's and the pod's quality of service; undefined where there is nothing to tell of them. The look
 * at the host's makes a directory in configfs, which a killed process would leave: the device has to be on record by
 * now. Throws CniError for a type of service that cannot be set.
 */
export function withQos<D extends DeviceState>(device: D, wanted: WantedDevice, log: Log): D | undefined {
	const name = device.hostName;
	const tos = device.qosDirectory === undefined ? undefined : readTos(name);
	if (wanted.tos !== undefined && tos === undefined) {
		throw new CniError(
			Code.device,
			`rdmaQoS.tos ${wanted.tos} cannot be set for RDMA device ${name}: ${RDMA_CM} is not there or does not know the device`,
			"load the module rdma_cm and mount configfs: mount -t configfs configfs /sys/kernel/config",
		);
	}
	const trafficClass = wanted.trafficClass === undefined ? undefined : readTrafficClass(name);
	if (wanted.trafficClass !== undefined && trafficClass === undefined) {
		log.warning(
			`rdmaQoS.tc ${wanted.trafficClass} is not set: the driver of RDMA device ${name} offers no ${trafficClassPath(name)}`,
		);
	}
	if (!tos && wanted.tos === undefined && trafficClass === undefined) return undefined;
	return {
		...device,
		qos: { tos, trafficClass },
		podQos: { tos: wanted.tos ?? tos, trafficClass: trafficClass === undefined ? undefined : wanted.trafficClass },
	};
}

/** The type of service of a device, wherever it is; undefined where the kernel does not offer it. */
export function readTos(name: string): number | undefined {
	return withDirectory(name, (directory) => Number(readText(`${directory}/${TOS_FILE}`)));
}

/** Throws CniError where the kernel does not offer it. */
export function writeTos(name: string, tos: number): void {
	const written = withDirectory(name, (directory) => {
		writeExisting(`${directory}/${TOS_FILE}`, String(tos));
		return true;
	});
	if (!written) throw new CniError(Code.device, `${RDMA_CM} is not there or does not know RDMA device ${name}`);
}

/** Runs `body` with the device's directory in configfs, which is removed again if it was not there. */
function withDirectory<T>(name: string, body: (directory: string) => T): T | undefined {
	const directory = `${RDMA_CM}/${name}`;
	let made = true;
	try {
		sys.mkdirat(sys.AT_FDCWD, directory, 0o755);
	} catch (error) {
		if (sys.isSystemError(error, "EEXIST")) made = false;
		// No configfs or rdma_cm, or no more; a device that it does not know; a container without the right to it.
		else if (sys.isSystemError(error, "ENOENT", "ENODEV", "EROFS", "EPERM", "EACCES")) return undefined;
		else throw error;
	}
	try {
		return body(directory);
	} catch (error) {
		// The directory is an old one, of a device that has gone.
		if (sys.isSystemError(error, "ENODEV")) return undefined;
		throw error;
	} finally {
		if (made) sys.unlinkat(sys.AT_FDCWD, directory, sys.AT_REMOVEDIR);
	}
}

/** The file's first line is "Global tclass=96"; where nothing was ever set it is empty, which means 0. */
function readTrafficClass(name: string): number | undefined {
	const text = readTextIfPresent(trafficClassPath(name));
	if (text === undefined) return undefined;
	const [line = ""] = text.split("\n");
	return Number.parseInt(line.slice(line.indexOf("=") + 1), 10) || 0;
}

export function writeTrafficClass(name: string, trafficClass: number): void {
	writeExisting(trafficClassPath(name), String(trafficClass));
}

/** Removes the directory of a device in configfs which a process left that was killed while it looked into it. */
export function removeDirectory(name: string): void {
	try {
		sys.unlinkat(sys.AT_FDCWD, `${RDMA_CM}/${name}`, sys.AT_REMOVEDIR);
	} catch (error) {
		if (!sys.isSystemError(error)) throw error;
	}
}

/**
 * Puts the host's settings back on a device that is on the host under the name `name`. Adds to `failures` what could
 * not be put back.
 */
export function restoreQos(name: string, host: QosSettings, failures: string[]): void {
	const restore = (what: string, put: () => void): void => {
		try {
			put();
		} catch (error) {
			if (!(error instanceof CniError || sys.isSystemError(error))) throw error;
			failures.push(`${what} of RDMA device ${name} could not be put back: ${error.message}`);
		}
	};
	const { tos, trafficClass } = host;
	// The move to the host has made it 0.
	if (tos) restore("type of service", () => writeTos(name, tos));
	if (trafficClass !== undefined && readTrafficClass(name) !== trafficClass) {
		restore("traffic class", () => writeTrafficClass(name, trafficClass));
	}
}
