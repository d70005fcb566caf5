/**
 * What DEL and GC have in common.
 */
import loadCooldown from "later:ipam/host-local/cooldown.ts";
import type { Request } from "../../lib/cni/types.ts";
import * as sys from "../../lib/linux/sys.ts";
import type * as CooldownModule from "./cooldown.ts";
import { logOf } from "./log.ts";
import type { StoreSettings } from "./settings.ts";

/** A release must not fail because its time cannot be noted: the address would stay held. */
export function noteRelease(
	request: Request,
	{ directory, reuseDelayMs }: StoreSettings,
	names: readonly string[],
): void {
	if (reuseDelayMs === 0) return;
	try {
		const { Cooldown } = loadCooldown() as typeof CooldownModule;
		new Cooldown(directory, reuseDelayMs).note(names);
	} catch (error) {
		if (!sys.isSystemError(error)) throw error;
		logOf(request).warning(`reuseDelaySeconds will not hold for ${names.join(", ")}: ${error.message}`);
	}
}
