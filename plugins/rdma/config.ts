/**
 * The configuration of one attachment: shape by the generated validator, meaning here.
 */
import validator from "validator:rdma";
import { parseCniArgs } from "../../lib/cni/args.ts";
import { loadConfig, usableConfig } from "../../lib/cni/config.ts";
import { CniError, Code } from "../../lib/cni/error.ts";
import type { Request } from "../../lib/cni/types.ts";
import { RDMA_NAME_MAX } from "../../lib/netlink/constants.ts";
import { toDeviceId } from "./device.ts";
import type { RdmaConfig } from "./schema.ts";

/** An attachment as the user wants it. */
export interface Attachment {
	readonly config: RdmaConfig;
	/** The device that has the RDMA device; undefined: to be found by the interface of prevResult. */
	readonly deviceId: string | undefined;
	/** Name of the RDMA device in the pod, with its placeholders; undefined: the host's name stays. */
	readonly podName: string | undefined;
	/** Type of service and traffic class, where asked for. */
	readonly tos: number | undefined;
	readonly trafficClass: number | undefined;
}

/** Reads the configuration of ADD and CHECK. Throws CniError 4, 6 and 7 with a sentence that names the value. */
export function loadAttachment(request: Request): Attachment {
	parseCniArgs(request.args, []);
	const config = strictConfig(request);
	const given = givenDeviceId(config);
	if (given && deviceIdIfAny(config) === undefined) {
		throw new CniError(
			Code.invalidConfig,
			`deviceID "${given}" is neither a PCI address such as 0000:3b:02.1 nor the name of an auxiliary device such as mlx5_core.sf.4`,
		);
	}
	return {
		config,
		deviceId: deviceIdIfAny(config),
		podName: podNameIn(config),
		tos: config.rdmaQoS?.tos,
		trafficClass: config.rdmaQoS?.tc,
	};
}

const podNameIn = (config: RdmaConfig): string | undefined =>
	config.args?.cni?.rdmaDeviceName || config.rdmaDeviceName || undefined;

/** The configuration with all that can be checked without a device. Throws CniError 6 and 7. */
export function strictConfig(request: Request): RdmaConfig {
	const config = loadConfig<RdmaConfig>(request.config, validator);
	const podName = podNameIn(config);
	if (podName !== undefined) requireName(podName);
	return config;
}

/** The configuration of a verb that must work with what is left of it. */
export const looseConfig = (request: Request): RdmaConfig => usableConfig<RdmaConfig>(request.config, validator);

const givenDeviceId = (config: RdmaConfig): string =>
	config.deviceID || config.runtimeConfig?.deviceID || config.pciBusID || "";

/** The device of a configuration that may have lost other fields (DEL), or undefined where it names none. */
export const deviceIdIfAny = (config: RdmaConfig): string | undefined => toDeviceId(givenDeviceId(config));

/** The name with its placeholders filled in. Throws CniError 7 where it got too long. */
export function fillName(pattern: string, ifName: string, index: number): string {
	const name = pattern.replaceAll("{ifname}", () => ifName).replaceAll("{index}", String(index));
	if (name.length <= RDMA_NAME_MAX) return name;
	throw new CniError(
		Code.invalidConfig,
		`rdmaDeviceName "${pattern}" gives "${name}", which is longer than ${RDMA_NAME_MAX} characters`,
	);
}

/** The kernel makes a sysfs directory of the name; what is in a pattern apart from placeholders must fit one. */
function requireName(pattern: string): void {
	const rest = pattern.replaceAll("{ifname}", "").replaceAll("{index}", "");
	if (/^[A-Za-z0-9_.-]*$/.test(rest) && pattern !== "." && pattern !== ".." && rest.length <= RDMA_NAME_MAX) return;
	throw new CniError(
		Code.invalidConfig,
		`rdmaDeviceName "${pattern}" must be 1 to ${RDMA_NAME_MAX} letters, digits, "_", "." and "-", with {ifname} and {index} as the only placeholders`,
	);
}
