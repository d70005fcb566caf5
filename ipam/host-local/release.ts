/**
 * The record of releases, for `reuseDelaySeconds`: DEL and GC write it.
 */
import type { Request } from "../../lib/cni/types.ts";
import type { Store } from "../../lib/store/store.ts";
import * as sys from "../../lib/sys/sys.ts";
import { logOf } from "./log.ts";

/** A release must not fail because its time cannot be noted: the address would stay allocated. */
export function recordRelease(request: Request, store: Store, names: readonly string[]): void {
	try {
		store.cooldown.note(names);
	} catch (error) {
		if (!sys.isSystemError(error)) throw error;
		logOf(request).warning(`reuseDelaySeconds will not hold for ${names.join(", ")}: ${error.message}`);
	}
}
