/**
 * host-local: addresses for the containers of this host, from ranges, on record in files.
 *
 * DEL is here; it needs the store only. The others read more code, each when it is called.
 */
import loadAdd from "later:ipam/host-local/add.ts";
import loadSeldom from "later:ipam/host-local/seldom.ts";
import type { Plugin, Request } from "../../lib/cni/types.ts";
import type * as Add from "./add.ts";
import { noteRelease } from "./release.ts";
import type * as Seldom from "./seldom.ts";
import { storeSettings } from "./settings.ts";
import { Store } from "./store.ts";

/** Needs no valid ranges, and no store: what is not held is released. */
function del(request: Request): void {
	const settings = storeSettings(request);
	using store = Store.openIfPresent(settings.directory, settings.reclaimAfterReboot);
	store?.releaseAll(request, (names) => noteRelease(request, settings, names));
}

export const plugin: Plugin = {
	add: (request) => (loadAdd() as typeof Add).add(request),
	del,
	check: (request) => (loadSeldom() as typeof Seldom).check(request),
	gc: (request, valid) => (loadSeldom() as typeof Seldom).gc(request, valid),
	status: (request) => (loadSeldom() as typeof Seldom).status(request),
};
