/**
 * STATUS: an ADD would find an address.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import type { Request } from "../../lib/cni/types.ts";
import { rangeOf } from "../../lib/ip/range.ts";
import { chooseFree, exhaustion, shortage } from "../../lib/store/allocate.ts";
import { Store } from "../../lib/store/store.ts";
import * as sys from "../../lib/sys/sys.ts";
import { loadHostLocal } from "./config.ts";
import { storeSettings } from "./settings.ts";

/** Ready when an ADD would find a store that can be written and an address in every range set. */
export function status(request: Request): void {
	const { sets } = loadHostLocal(request);
	const { directory, ...settings } = storeSettings(request);
	try {
		using store = Store.open(directory, settings);
		store.requireWritable();
		// ADD would release these first.
		const reclaimable = settings.reclaimAfterReboot ? store.allocatedEarlier() : [];
		for (const set of sets) {
			if (reclaimable.some((ip) => rangeOf(set, ip) !== undefined)) continue;
			if (chooseFree(store, set, undefined) !== undefined) continue;
			throw new CniError(Code.notAvailable, exhaustion(set), shortage(store, set));
		}
	} catch (error) {
		const isIo = sys.isSystemError(error) || (error instanceof CniError && error.code === Code.io);
		if (!isIo) throw error;
		throw new CniError(Code.notAvailable, `the store cannot be used: ${error.message}`);
	}
}
