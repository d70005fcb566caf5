/**
 * The verbs of host-local that are called now and then: CHECK, GC, STATUS.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { parsePrevResult } from "../../lib/cni/result.ts";
import type { Request, ValidAttachment } from "../../lib/cni/types.ts";
import { formatIp, type Ip } from "../../lib/ip/address.ts";
import { parseCidr } from "../../lib/ip/cidr.ts";
import { type RangeSet, rangeOf } from "../../lib/ip/range.ts";
import * as sys from "../../lib/linux/sys.ts";
import { chooseFree, exhaustion, shortage } from "./allocate.ts";
import { loadHostLocal } from "./config.ts";
import type { Holder } from "./holder.ts";
import { noteRelease } from "./release.ts";
import { storeSettings } from "./settings.ts";
import { Store } from "./store.ts";
import { waitingIn } from "./waiting.ts";

export function check(request: Request): void {
	const { sets } = loadHostLocal(request);
	const { directory, reclaimAfterReboot } = storeSettings(request);
	using store = Store.openIfPresent(directory, reclaimAfterReboot);
	const ours = previousAddresses(request, sets);
	const missing = ours.filter((ip) => !isHolder(store, ip, request));
	// Ranges may have changed since ADD: then, as in Go, any address will do.
	const found = ours.length > 0 ? missing.length < ours.length : (store?.addressesOf(request).length ?? 0) > 0;
	if (!found) {
		throw new CniError(
			Code.checkFailed,
			`host-local: Failed to find address added by container ${request.containerId}`,
			`interface ${request.ifName}, in ${directory}`,
		);
	}
	if (missing.length > 0) {
		throw new CniError(
			Code.checkFailed,
			`host-local: ${missing.map(formatIp).join(", ")} of prevResult is not held for container ${request.containerId}`,
			`interface ${request.ifName}, in ${directory}`,
		);
	}
}

/** The addresses of prevResult that are of our ranges: a chain may have others. */
function previousAddresses(request: Request, sets: readonly RangeSet[]): Ip[] {
	const addresses = (parsePrevResult(request)?.ips ?? []).map(({ address }) => parseCidr(address)!.ip);
	return addresses.filter((ip) => sets.some((set) => rangeOf(set, ip) !== undefined));
}

function isHolder(store: Store | undefined, ip: Ip, { containerId, ifName }: Request): boolean {
	const holder = store?.holderOf(ip);
	return holder?.containerId === containerId && (holder.ifName ?? ifName) === ifName;
}

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
	const isValid = ({ containerId, ifName }: Holder): boolean => {
		const names = interfaces.get(containerId);
		return names !== undefined && (ifName === undefined || names.has(ifName));
	};
	store?.releaseUnless(isValid, (names) => noteRelease(request, settings, names));
}

/** Ready when an ADD would find a store that can be written and an address in every range set. */
export function status(request: Request): void {
	const { sets } = loadHostLocal(request);
	const settings = storeSettings(request);
	const { directory, reclaimAfterReboot } = settings;
	try {
		using store = Store.open(directory, reclaimAfterReboot);
		store.requireWritable();
		const waiting = waitingIn(settings);
		// ADD would release these first.
		const reclaimable = reclaimAfterReboot ? store.heldEarlier() : [];
		for (const set of sets) {
			if (reclaimable.some((ip) => rangeOf(set, ip) !== undefined)) continue;
			if (chooseFree(store, waiting, set, undefined) !== undefined) continue;
			throw new CniError(Code.notAvailable, exhaustion(set), shortage(store, waiting, set));
		}
	} catch (error) {
		const isIo = sys.isSystemError(error) || (error instanceof CniError && error.code === Code.io);
		if (!isIo) throw error;
		throw new CniError(Code.notAvailable, `the store cannot be used: ${error.message}`);
	}
}
