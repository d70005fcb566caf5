/**
 * The log of host-local: warnings, which few calls have.
 */
import loadLog from "later:lib/log/log.ts";
import type { Request } from "../../lib/cni/types.ts";
import type * as LogModule from "../../lib/log/log.ts";

export function logOf({ network, containerId }: Request): LogModule.Log {
	const { Log } = loadLog() as typeof LogModule;
	return new Log({
		level: undefined,
		file: undefined,
		fields: { cniName: "host-local", network, containerID: containerId },
	});
}
