/**
 * host-local: addresses for the containers of this host, from ranges, on record in files.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { parsePrevResult } from "../../lib/cni/result.ts";
import type { CniDns, CniResult, Plugin, Request, ValidAttachment } from "../../lib/cni/types.ts";
import { formatIp, type Ip } from "../../lib/ip/address.ts";
import { contains, formatCidr, parseCidr } from "../../lib/ip/cidr.ts";
import { type RangeSet, rangeOf } from "../../lib/ip/range.ts";
import { readText, statIfPresent } from "../../lib/linux/files.ts";
import * as sys from "../../lib/linux/sys.ts";
import { UndoStack } from "../../lib/linux/undo-stack.ts";
import { Log } from "../../lib/log/log.ts";
import { allocate, chooseFree, exhaustion, shortage } from "./allocate.ts";
import { loadHostLocal, type StoreSettings, storeSettings } from "./config.ts";
import { Cooldown } from "./cooldown.ts";
import type { Holder } from "./holder.ts";
import { parseResolvConf } from "./resolv-conf.ts";
import { Store } from "./store.ts";

function add(request: Request): CniResult {
	const config = loadHostLocal(request);
	const settings = storeSettings(request);
	const dns = readDns(config.resolvConf);
	warnOfGateways(request, config.sets);
	using store = Store.open(settings.directory, settings.reclaimAfterReboot);
	if (settings.reclaimAfterReboot) reclaim(request, store);
	using undo = new UndoStack((what, error) => logOf(request).error(`could not ${what} after a failed ADD: ${error}`));
	const cooldown = new Cooldown(settings.directory, settings.reuseDelayMs);
	const ips = allocate(store, cooldown, config.sets, config.requested, request, undo);
	undo.commit();
	return { ips, routes: config.routes, ...(dns && { dns }) };
}

/** What containers held before the last reboot: they are gone. */
function reclaim(request: Request, store: Store): void {
	const released = store.releaseEarlier();
	if (released.length === 0) return;
	logOf(request).warning(`released what was held since before the last reboot: ${released.join(", ")}`);
}

/** Go takes any gateway. One that is out of reach is most often a slip, but need not be: a route of link scope may lead to it. */
function warnOfGateways(request: Request, sets: readonly RangeSet[]): void {
	for (const { gateway, subnet } of sets.flat()) {
		if (gateway === undefined || contains(subnet, gateway)) continue;
		logOf(request).warning(`gateway ${formatIp(gateway)} is not in subnet ${formatCidr(subnet)}`);
	}
}

function readDns(path: string): CniDns | undefined {
	if (path === "") return undefined;
	const status = statIfPresent(path);
	// To read from a pipe or a terminal could take for ever.
	if (status !== undefined && !sys.isRegular(status.mode)) {
		throw new CniError(Code.invalidConfig, `ipam.resolvConf ${path} is not a regular file`);
	}
	return parseResolvConf(readText(path));
}

function logOf({ network, containerId }: Request): Log {
	const fields = { cniName: "host-local", network, containerID: containerId };
	return new Log({ level: undefined, file: undefined, fields });
}

/** Needs no valid ranges, and no store: what is not held is released. */
function del(request: Request): void {
	const settings = storeSettings(request);
	using store = Store.openIfPresent(settings.directory, settings.reclaimAfterReboot);
	store?.releaseAll(request, (names) => noteRelease(request, settings, names));
}

/** A release must not fail because its time cannot be noted: the address would stay held. */
function noteRelease(request: Request, { directory, reuseDelayMs }: StoreSettings, names: readonly string[]): void {
	try {
		new Cooldown(directory, reuseDelayMs).note(names);
	} catch (error) {
		if (!sys.isSystemError(error)) throw error;
		logOf(request).warning(`reuseDelaySeconds will not hold for ${names.join(", ")}: ${error.message}`);
	}
}

function check(request: Request): void {
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
function gc(request: Request, valid: readonly ValidAttachment[] | undefined): void {
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
function status(request: Request): void {
	const { sets } = loadHostLocal(request);
	const { directory, reuseDelayMs, reclaimAfterReboot } = storeSettings(request);
	try {
		using store = Store.open(directory, reclaimAfterReboot);
		store.requireWritable();
		const cooldown = new Cooldown(directory, reuseDelayMs);
		// ADD would release these first.
		const reclaimable = reclaimAfterReboot ? store.heldEarlier() : [];
		for (const set of sets) {
			if (reclaimable.some((ip) => rangeOf(set, ip) !== undefined)) continue;
			if (chooseFree(store, cooldown, set, undefined) !== undefined) continue;
			throw new CniError(Code.notAvailable, exhaustion(set), shortage(store, cooldown, set));
		}
	} catch (error) {
		const isIo = sys.isSystemError(error) || (error instanceof CniError && error.code === Code.io);
		if (!isIo) throw error;
		throw new CniError(Code.notAvailable, `the store cannot be used: ${error.message}`);
	}
}

export const plugin: Plugin = { add, del, check, gc, status };
