/**
 * host-local: addresses for the containers of this host, from ranges, on record in files.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { parsePrevResult } from "../../lib/cni/result.ts";
import type { CniDns, CniResult, Plugin, Request, ValidAttachment } from "../../lib/cni/types.ts";
import { formatIp, type Ip } from "../../lib/ip/address.ts";
import { parseCidr } from "../../lib/ip/cidr.ts";
import { capacityOf, formatRangeSet, type RangeSet, rangeOf } from "../../lib/ip/range.ts";
import { readText, statIfPresent } from "../../lib/linux/files.ts";
import * as sys from "../../lib/linux/sys.ts";
import { UndoStack } from "../../lib/linux/undo-stack.ts";
import { Log } from "../../lib/log/log.ts";
import { allocate, nextInTurn } from "./allocate.ts";
import { type HostLocal, loadHostLocal, storeDirectory } from "./config.ts";
import { parseResolvConf } from "./resolv-conf.ts";
import { Store } from "./store.ts";

function add(request: Request): CniResult {
	const config = loadHostLocal(request);
	const dns = readDns(config.resolvConf);
	using store = Store.open(storeDirectory(request));
	using undo = new UndoStack((what, error) => reportUndo(request, what, error));
	const ips = allocate(store, config.sets, config.requested, request, undo);
	undo.commit();
	return { ips, routes: config.routes, ...(dns && { dns }) };
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

function reportUndo(request: Request, what: string, error: unknown): void {
	const fields = { cniName: "host-local", network: request.network, containerID: request.containerId };
	new Log({ level: undefined, file: undefined, fields }).error(`could not ${what} after a failed ADD: ${error}`);
}

/** Needs no valid ranges, and no store: what is not held is released. */
function del(request: Request): void {
	using store = Store.openIfPresent(storeDirectory(request));
	store?.releaseAll(request);
}

function check(request: Request): void {
	const { sets } = loadHostLocal(request);
	using store = Store.openIfPresent(storeDirectory(request));
	const ours = previousAddresses(request, sets);
	const missing = ours.filter((ip) => !isHolder(store, ip, request));
	// Ranges may have changed since ADD: then, as in Go, any address will do.
	const found = ours.length > 0 ? missing.length < ours.length : (store?.addressesOf(request).length ?? 0) > 0;
	if (!found) {
		throw new CniError(
			Code.checkFailed,
			`host-local: Failed to find address added by container ${request.containerId}`,
			`interface ${request.ifName}, in ${storeDirectory(request)}`,
		);
	}
	if (missing.length > 0) {
		throw new CniError(
			Code.checkFailed,
			`host-local: ${missing.map(formatIp).join(", ")} of prevResult is not held for container ${request.containerId}`,
			`interface ${request.ifName}, in ${storeDirectory(request)}`,
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
	using store = Store.openIfPresent(storeDirectory(request));
	store?.releaseUnless(({ containerId, ifName }) => {
		const names = interfaces.get(containerId);
		return names !== undefined && (ifName === undefined || names.has(ifName));
	});
}

/** Ready when an ADD would find a store that can be written and an address in every range set. */
function status(request: Request): void {
	const config = loadHostLocal(request);
	try {
		using store = Store.open(storeDirectory(request));
		store.requireWritable();
		requireFreeAddresses(store, config);
	} catch (error) {
		const isIo = sys.isSystemError(error) || (error instanceof CniError && error.code === Code.io);
		if (!isIo) throw error;
		throw new CniError(Code.notAvailable, `the store cannot be used: ${error.message}`);
	}
}

function requireFreeAddresses(store: Store, { sets }: HostLocal): void {
	for (const set of sets) {
		if (nextInTurn(set, undefined, (from, to) => store.nextFree(from, to)) !== undefined) continue;
		const { addresses } = store.countHeld((ip) => rangeOf(set, ip) !== undefined);
		throw new CniError(
			Code.notAvailable,
			`no IP addresses available in range set: ${formatRangeSet(set)}`,
			`${addresses} of ${capacityOf(set)} addresses are held, in ${store.directory}`,
		);
	}
}

export const plugin: Plugin = { add, del, check, gc, status };
