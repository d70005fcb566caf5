/**
 * What of the configuration every verb of host-local needs: where the network's store is, and how it is kept.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { isObject } from "../../lib/cni/json.ts";
import { foldKeys } from "../../lib/cni/keys.ts";
import { joinPath } from "../../lib/cni/path.ts";
import { excerpt } from "../../lib/cni/quote.ts";
import type { JsonObject, JsonValue, Request } from "../../lib/cni/types.ts";
import { invalidConfig } from "../fields.ts";

/** Where the network's store is, and how it is kept: see lib/store. */
interface StoreSettings {
	readonly directory: string;
	readonly reuseDelayMs: number;
	readonly reclaimAfterReboot: boolean;
}

const DEFAULT_DATA_DIR = "/var/lib/cni/networks";

/**
 * What concerns the network's store. It needs nothing else of the configuration: what was handed out can be released
 * though the ranges are no longer valid (Go's DEL fails there). Throws code 6 or 7.
 */
export function storeSettings(request: Request): StoreSettings {
	const { dataDir = "", reuseDelaySeconds, reclaimAfterReboot } = ipamOf(request);
	if (typeof dataDir !== "string") {
		throw new CniError(Code.decoding, `ipam.dataDir must be a string, not ${excerpt(dataDir)}`);
	}
	return {
		directory: joinPath(dataDir || DEFAULT_DATA_DIR, request.network),
		reuseDelayMs: typeof reuseDelaySeconds === "number" ? Math.max(0, reuseDelaySeconds) * 1000 : 0,
		reclaimAfterReboot: reclaimAfterReboot === true,
	};
}

const IPAM_KEYS = { members: { ipam: { members: { dataDir: {}, reuseDelaySeconds: {}, reclaimAfterReboot: {} } } } };

/** `ipam` of the configuration, nothing in it checked. Throws code 6 or 7. */
export function ipamOf(request: Request): JsonObject {
	const { ipam } = foldKeys(request.config, IPAM_KEYS) as { ipam?: JsonValue };
	if (ipam === undefined) throw invalidConfig("IPAM config missing 'ipam' key");
	if (!isObject(ipam)) throw new CniError(Code.decoding, `ipam must be an object, not ${excerpt(ipam)}`);
	return ipam;
}
