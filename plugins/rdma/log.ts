/**
 * The log of one call.
 */
import type { Request } from "../../lib/cni/types.ts";
import { Log } from "../../lib/plugin/log.ts";
import type { RdmaConfig } from "./schema.ts";

/** Every line tells which attachment it is about, with the names of the Go plugin. */
export function openLog(request: Request, config: RdmaConfig): Log {
	return new Log({
		level: config.args?.cni?.debug === true ? "debug" : config.logLevel,
		file: config.logFile,
		fields: { cniName: "rdma-cni", containerID: request.containerId, netns: request.netns, ifname: request.ifName },
	});
}
