/**
 * A verb of a plugin, whether its answer goes to stdout or to a plugin in the same process.
 */
import { validAttachments } from "./gc.ts";
import { resultAsVersion } from "./result-render.ts";
import type { JsonObject, Plugin, Request } from "./types.ts";

/**
 * Runs the verb that `request` names. Returns the answer of ADD; the other verbs have none. What should be known and is
 * no answer goes to `report`.
 */
export function runVerb(plugin: Plugin, request: Request, report: (sentence: string) => void): JsonObject | undefined {
	switch (request.verb) {
		case "ADD":
			return addAsVersion(plugin, request, report);
		case "DEL":
			plugin.del(request);
			return undefined;
		case "CHECK":
			plugin.check(request);
			return undefined;
		case "GC": {
			const valid = validAttachments(request.config);
			if (valid === undefined) report("GC without cni.dev/valid-attachments: nothing is released");
			plugin.gc(request, valid);
			return undefined;
		}
		default:
			request.verb satisfies "STATUS";
			plugin.status(request);
			return undefined;
	}
}

/**
 * Runs ADD and gives the result the shape of `request.cniVersion`, which may not be able to hold it (0.2.0 needs an
 * address).
 */
function addAsVersion(plugin: Plugin, request: Request, report: (sentence: string) => void): JsonObject {
	const result = plugin.add(request);
	try {
		return resultAsVersion(result, request.cniVersion);
	} catch (error) {
		undoAdd(plugin, request, report);
		throw error;
	}
}

/** Undoes the work of an ADD whose result reaches nobody: by DEL, whose own failure is reported. */
export function undoAdd(plugin: Plugin, request: Request, report: (sentence: string) => void): void {
	try {
		plugin.del({ ...request, verb: "DEL" });
	} catch (failure) {
		report(`undoing the failed ADD: ${failure instanceof Error ? failure.message : String(failure)}`);
	}
}
