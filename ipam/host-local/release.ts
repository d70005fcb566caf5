/**
 * What DEL and GC have in common.
 */
import type { Request } from "../../lib/cni/types.ts";
import * as sys from "../../lib/linux/sys.ts";
import { logOf } from "./log.ts";
import type { StoreSettings } from "./settings.ts";
import { waitingIn } from "./waiting.ts";

/** A release must not fail because its time cannot be noted: the address would stay held. */
export function noteRelease(request: Request, settings: StoreSettings, names: readonly string[]): void {
	try {
		waitingIn(settings).note(names);
	} catch (error) {
		if (!sys.isSystemError(error)) throw error;
		logOf(request).warning(`reuseDelaySeconds will not hold for ${names.join(", ")}: ${error.message}`);
	}
}
