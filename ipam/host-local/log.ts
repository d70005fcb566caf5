/**
 * The log of host-local: warnings.
 */
import type { Request } from "../../lib/cni/types.ts";
import { Log } from "../../lib/plugin/log.ts";

export function logOf({ network, containerId }: Request): Log {
	return new Log({ fields: { cniName: "host-local", network, containerID: containerId } });
}
