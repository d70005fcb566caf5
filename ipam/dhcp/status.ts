/**
 * STATUS: the configuration is in order, and the daemon answers.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import type { Request } from "../../lib/cni/types.ts";
import { ask, NoDaemonError } from "./ask.ts";
import { loadWanted, socketPathOf } from "./config.ts";

/** A runtime asks often, and waits. */
const DEADLINE_MS = 1000;

export function status(request: Request): void {
	// CNI_ARGS, and a pod's name in them, come with an ADD only.
	loadWanted({ ...request, args: "K8S_POD_NAME=pod" });
	try {
		ask(socketPathOf(request), { method: "status" }, DEADLINE_MS);
	} catch (error) {
		if (error instanceof NoDaemonError) throw new CniError(Code.notAvailable, error.message);
		throw error;
	}
}
