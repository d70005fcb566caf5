/**
 * DEL: gives back what the attachment holds, and nothing that is another's by now. What could not be given back is an
 * error: the runtime asks again, and until then it is on record.
 */
import { CniError } from "../../lib/cni/error.ts";
import type { Request } from "../../lib/cni/types.ts";
import { statIfPresent } from "../../lib/sys/files.ts";
import { releaseInBlocks } from "./block-addresses.ts";
import { loadWhereabouts, settingsOf, type Whereabouts } from "./config.ts";
import { logOf } from "./log.ts";
import { Records } from "./record.ts";
import { releaseAttachment, releaseFound } from "./release.ts";
import { withApiServer } from "./session.ts";

export function del(request: Request): void {
	const settings = settingsOf(request);
	const records = new Records(settings.dataDir);
	const found = records.find(request);
	if (found !== undefined) {
		releaseAttachment(records, found, settings, settings.kubeconfig);
		return;
	}
	records.forget(request);
	const config = loadIfUsable(request);
	if (config === undefined) return;
	if (config.slicing !== undefined) {
		releaseInBlocks(records, config, config.slicing, request);
		return;
	}
	withApiServer(config.kubeconfig, (session) => releaseFound(session, config, request, settings));
}

/**
 * Without a record there is something to release only if Go's plugin made it, or the record is lost. With a
 * configuration that no ADD could have used, or without its kubeconfig, nobody could say what, for ever.
 */
function loadIfUsable(request: Request): Whereabouts | undefined {
	try {
		const config = loadWhereabouts(request);
		return config.slicing !== undefined || statIfPresent(config.kubeconfig) ? config : undefined;
	} catch (error) {
		if (!(error instanceof CniError)) throw error;
		logOf(request).warning(`nothing on record to release, and the configuration cannot be used: ${error.message}`);
		return undefined;
	}
}
