/**
 * An RDMA device as the user wants it in the pod.
 */
import { CniError, Code } from "../cni/error.ts";
import { RDMA_NAME_MAX } from "../netlink/constants.ts";
import type { RdmaFields } from "./schema.ts";

export interface WantedDevice {
	/** Its name, with placeholders; undefined: the host's name stays. */
	readonly podName: string | undefined;
	/** Type of service and traffic class, where asked for. */
	readonly tos: number | undefined;
	readonly trafficClass: number | undefined;
	readonly sharedMode: RdmaFields["sharedMode"];
}

/** `name` is that of `fields` unless another has been found for it. Throws CniError 7. */
export function wantedDevice(fields: RdmaFields, name = fields.rdmaDeviceName): WantedDevice {
	const podName = name || undefined;
	if (podName !== undefined) requireName(podName);
	return { podName, tos: fields.rdmaQoS?.tos, trafficClass: fields.rdmaQoS?.tc, sharedMode: fields.sharedMode };
}

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
