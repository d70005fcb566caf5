/**
 * The log of one call.
 */
import type { Request } from "../../lib/cni/types.ts";
import { Log } from "../../lib/plugin/log.ts";
import type { SriovConfig } from "./schema.ts";

/** Every line tells which attachment it is about, with the names of the Go plugin. */
export function openLog(request: Request, config: SriovConfig): Log {
	return new Log({
		level: config.logLevel,
		file: config.logFile,
		fields: { cniName: "sriov-cni", containerID: request.containerId, netns: request.netns, ifname: request.ifName },
	});
}
