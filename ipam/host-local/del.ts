/**
 * DEL: releases what the attachment has.
 */
import type { Request } from "../../lib/cni/types.ts";
import { Store } from "../../lib/store/store.ts";
import { recordRelease } from "./release.ts";
import { storeSettings } from "./settings.ts";

/** Needs no valid ranges, and no store: what is not allocated is released. */
export function del(request: Request): void {
	const settings = storeSettings(request);
	using store = Store.openIfPresent(settings.directory, settings);
	store?.releaseAll(request, (names) => recordRelease(request, store, names));
}
