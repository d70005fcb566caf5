/**
 * What of the configuration every verb of host-local needs: where the network's store is, and how it is kept.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { joinPath } from "../../lib/cni/path.ts";
import { excerpt } from "../../lib/cni/quote.ts";
import type { Request } from "../../lib/cni/types.ts";
import { ipamIn } from "../fields.ts";

const DEFAULT_DATA_DIR = "/var/lib/cni/networks";

/**
 * What concerns the network's store. It needs nothing else of the configuration: what was handed out can be released
 * though the ranges are no longer valid (Go's DEL fails there). Throws code 6 or 7.
 */
export function storeSettings(request: Request) {
	const { dataDir = "", reuseDelaySeconds, reclaimAfterReboot } = ipamIn(request.config, IPAM_KEYS);
	if (typeof dataDir !== "string") {
		throw new CniError(Code.decoding, `ipam.dataDir must be a string, not ${excerpt(dataDir)}`);
	}
	return {
		directory: joinPath(dataDir || DEFAULT_DATA_DIR, request.network),
		reuseDelayMs: typeof reuseDelaySeconds === "number" ? Math.max(0, reuseDelaySeconds) * 1000 : 0,
		reclaimAfterReboot: reclaimAfterReboot === true,
	};
}

export const IPAM_KEYS = {
	members: { ipam: { members: { dataDir: {}, reuseDelaySeconds: {}, reclaimAfterReboot: {} } } },
};
