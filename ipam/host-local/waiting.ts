/**
 * Which released addresses wait until they may be handed out again. Most stores know no such wait, so its code (cooldown.ts) is read
 * where one is configured.
 */
import loadCooldown from "later:ipam/host-local/cooldown.ts";
import type * as Module from "./cooldown.ts";
import type { Cooldown } from "./cooldown.ts";
import type { StoreSettings } from "./settings.ts";

export type Waiting = Pick<Cooldown, "remaining" | "first" | "note">;

const NOTHING_WAITS: Waiting = { remaining: () => 0, first: () => undefined, note: () => {} };

/** To be used while the store is locked. */
export function waitingIn({ directory, reuseDelayMs }: StoreSettings): Waiting {
	if (reuseDelayMs === 0) return NOTHING_WAITS;
	return new (loadCooldown() as typeof Module).Cooldown(directory, reuseDelayMs);
}
