/**
 * ADD in the version of its configuration, whether its answer goes to stdout or to a plugin in the same process.
 */
import { resultAsVersion } from "./result-render.ts";
import type { JsonObject, Plugin, Request } from "./types.ts";

/**
 * Runs ADD and gives the result the shape of `request.cniVersion`. A result that this version cannot hold (0.2.0 needs an
 * address) fails the ADD after its work is done, so the work is undone: by DEL, whose own failure goes to `report`.
 */
export function addAsVersion(plugin: Plugin, request: Request, report: (failure: unknown) => void): JsonObject {
	const result = plugin.add(request);
	try {
		return resultAsVersion(result, request.cniVersion);
	} catch (error) {
		try {
			plugin.del({ ...request, verb: "DEL" });
		} catch (failure) {
			report(failure);
		}
		throw error;
	}
}
