/**
 * The log of whereabouts.
 */
import type { Request } from "../../lib/cni/types.ts";
import { Log } from "../../lib/plugin/log.ts";
import { settingsOf } from "./config.ts";

export function logOf(request: Request): Log {
	const { logFile, logLevel } = settingsOf(request);
	const { network, containerId } = request;
	return new Log({
		level: logLevel || "error",
		file: logFile,
		fields: { cniName: "whereabouts", network, containerID: containerId },
	});
}
