/**
 * ADD: an address from the network, by the daemon.
 */
import type { CniResult, Request } from "../../lib/cni/types.ts";
import { writeStderr } from "../../lib/sys/stderr.ts";
import { ADD_MS, ask } from "./ask.ts";
import { loadSpec, nearMisses, socketPathOf } from "./config.ts";

export function add(request: Request): CniResult {
	const spec = loadSpec(request);
	for (const sentence of nearMisses(request)) writeStderr(`dhcp: ${sentence}\n`);
	return ask(socketPathOf(request), { method: "add", spec }, ADD_MS) as CniResult;
}
