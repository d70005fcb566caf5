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
	const interfaces = new Map<string, Set<string>>();
	for (const { containerID, ifname } of valid) {
		const names = interfaces.get(containerID);
		if (names === undefined) interfaces.set(containerID, new Set([ifname]));
		else names.add(ifname);
	}
	const settings = storeSettings(request);
	using store = Store.openIfPresent(settings.directory, settings.reclaimAfterReboot);
	const isValid = ({ containerId, ifName }: Owner): boolean => {
		const names = interfaces.get(containerId);
		return names !== undefined && (ifName === undefined || names.has(ifName));
	};
	store?.releaseUnless(isValid, (names) => recordRelease(request, settings, names));
}
