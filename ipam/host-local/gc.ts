/**
 * GC: releases what no valid attachment has.
 */
import type { Request, ValidAttachment } from "../../lib/cni/types.ts";
import type { Owner } from "../../lib/store/owner.ts";
import { Store } from "../../lib/store/store.ts";
import { recordRelease } from "./release.ts";
import { storeSettings } from "./settings.ts";

/** A file that does not tell its interface is kept while its container has any. */
export function gc(request: Request, valid: readonly ValidAttachment[] | undefined): void {
	if (valid === undefined) return;
	const containers = new Set(valid.map(({ containerID }) => containerID));
	const attachments = new Set(valid.map(({ containerID, ifname }) => `${containerID}/${ifname}`));
	const settings = storeSettings(request);
	using store = Store.openIfPresent(settings.directory, settings);
	const isValid = ({ containerId, ifName }: Owner): boolean =>
		ifName === undefined ? containers.has(containerId) : attachments.has(`${containerId}/${ifName}`);
	store?.releaseUnless(isValid, (names) => recordRelease(request, store, names));
}
