/**
 * Addresses of this node's block: handed out by the store that host-local has, with no request to the API server.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import type { Request } from "../../lib/cni/types.ts";
import { formatIp, type Ip } from "../../lib/ip/address.ts";
import { contains, parseCidr } from "../../lib/ip/cidr.ts";
import { vfIndex } from "../../lib/linux/pci.ts";
import { UndoStack } from "../../lib/plugin/undo-stack.ts";
import { isAlive } from "../../lib/state/liveness.ts";
import { chooseFree, shortage } from "../../lib/store/allocate.ts";
import type { Attachment } from "../../lib/store/owner.ts";
import { Store } from "../../lib/store/store.ts";
import { statIfPresent } from "../../lib/sys/files.ts";
import { invalidConfig } from "../fields.ts";
import type { ReleaseSettings, Whereabouts } from "./config.ts";
import { learnBlock } from "./learn-block.ts";
import { logOf } from "./log.ts";
import { knownBlock, type NodeBlock, storeName, storeOf, storePath, storesOf } from "./node-block.ts";
import { hashedOrder } from "./order.ts";
import { addressAt, mayHandOut, type PoolRange } from "./ranges.ts";
import { type FoundRecord, Records, recordedOf, TAKEN_OVER } from "./record.ts";
import { type Trouble, withApiServer } from "./session.ts";
import { rangeOfBlock, rangeSetOf, type Slicing } from "./slicing.ts";

/** ADD: an address of this node's block; the one that the attachment has already, where it has one. */
export function addFromBlock(request: Request, config: Whereabouts, slicing: Slicing, podRef: string): Ip {
	const { dataDir } = config;
	const block = requireBlock(config, slicing, Code.tryAgain);
	const range = rangeOfBlock(config.ranges[0]!, parseCidr(block.block)!);
	const wanted = wantedAddress(config, slicing, range, block);
	const records = new Records(dataDir);
	const earlier = records.find(request);
	// Of a block that the node had before: its record is about to name this one.
	if (earlier !== undefined && earlier.record.store !== storeName(block)) releaseInStore(config, records, earlier);
	using store = Store.open(storeOf(dataDir, block), config);
	const own = store.addressesOf(request).find((ip) => mayHandOut(range, ip));
	if (own !== undefined) return own;
	using undo = new UndoStack((what, error) => logOf(request).error(`could not ${what} after a failed ADD: ${error}`));
	if (earlier === undefined) undo.push("remove the record", () => records.forget(request));
	// First: by this DEL and GC know of it.
	records.write({
		...recordedOf(request, block.boot),
		podRef,
		kubeconfig: config.kubeconfig,
		namespace: block.namespace,
		claims: earlier?.record.claims ?? [],
		store: storeName(block),
		device: config.device,
	});
	// A VF has one pod at a time: what an earlier sandbox had of it, which is gone, is not in use.
	const isInherited = ({ containerId, ifName = "" }: Owner): boolean => {
		if (!slicing.isByVfIndex || config.device === "") return false;
		const record = records.find({ network: request.network, containerId, ifName })?.record;
		const isOfDevice = record?.device === config.device;
		return isOfDevice && !isAlive({ netns: record.netns, netnsIdentity: "", bootId: record.boot });
	};
	// What it waits for is that others forget who had it: a VF's address is the same VF's again.
	const waitMs = wanted === undefined || slicing.isByVfIndex ? 0 : store.cooldown.remaining(wanted);
	if (wanted !== undefined && waitMs > 0) {
		const reason = `requested address ${formatIp(wanted)} was released a short time ago`;
		throw new CniError(Code.tryAgain, reason, `it is free in ${Math.ceil(waitMs / 1000)} s`);
	}
	// "hashed" looks from where pod and interface lead on, "lowest" from the first.
	const seed = `${podRef}/${request.ifName}/${block.pool}`;
	const first = wanted === undefined && config.policy === "hashed" ? hashedOrder(range, seed).next().value : undefined;
	const ip =
		wanted === undefined
			? reserveFree(store, range, first, request)
			: reserveWanted(store, wanted, request, isInherited);
	if (ip === undefined) throw exhausted(Code.tryAgain, store, range, block);
	undo.commit();
	return ip;
}

/** The block that this node has; asks the API server where it does not know it. Throws CniError `code`. */
function requireBlock(config: Whereabouts, slicing: Slicing, code: Trouble): NodeBlock {
	const known = knownBlock(config.dataDir, slicing);
	if (known?.lost === "") return known;
	return withApiServer(config.kubeconfig, (session) => learnBlock(session, config, slicing, code), code);
}

/** The address that is asked for, or that the VF has; undefined where any will do. */
function wantedAddress(config: Whereabouts, slicing: Slicing, range: PoolRange, block: NodeBlock): Ip | undefined {
	const [requested] = config.requested;
	if (requested !== undefined && !mayHandOut(range, requested)) {
		const isOfBlock = contains(parseCidr(block.block)!, requested);
		const relation = isOfBlock ? "is the first or the last, which stay free," : "is not";
		const reason = `requested address ${formatIp(requested)} ${relation} of block ${block.block}, which node ${block.node} has`;
		throw new CniError(Code.allocation, reason, `NodeSlicePool ${block.pool}`);
	}
	if (requested !== undefined || !slicing.isByVfIndex) return requested;
	const index = config.device === "" ? undefined : vfIndex(config.device);
	if (index === undefined) {
		const reason =
			config.device === ""
				? "the configuration has no deviceID, which Multus sets where the network has the annotation k8s.v1.cni.cncf.io/resourceName"
				: `${config.device} is no VF of this node`;
		throw invalidConfig(`ipam.address "vf-index" needs a VF: ${reason}`, "field ipam.address");
	}
	if (BigInt(index) < range.size) return addressAt(range, BigInt(index));
	const reason = `block ${block.block} of node ${block.node} has ${range.size} addresses to hand out, and none for VF ${index}`;
	throw new CniError(Code.tryAgain, reason, `${config.device}; ipam.address is "vf-index", which counts from VF 0`);
}

type Owner = { readonly containerId: string; readonly ifName: string | undefined };

function reserveWanted(store: Store, ip: Ip, request: Request, isInherited: (owner: Owner) => boolean): Ip {
	const owner = store.ownerOf(ip);
	if (typeof owner === "object" && owner.ifName !== undefined && isInherited(owner)) {
		store.release(ip, { containerId: owner.containerId, ifName: owner.ifName });
	}
	if (store.reserve(ip, request, true)) return ip;
	const holder = typeof owner === "object" ? `container ${owner.containerId}` : "another attachment";
	throw new CniError(
		Code.allocation,
		`requested address ${formatIp(ip)} is held by ${holder}`,
		`${store.directory}/${formatIp(ip)}`,
	);
}

/** A free address, `first` if it is one; undefined where there is none. */
function reserveFree(store: Store, range: PoolRange, first: Ip | undefined, owner: Attachment) {
	// Asked first: to the store a refusal is a sign that others write to it, and it reads everything anew.
	const isFree = first !== undefined && store.ownerOf(first) === undefined && store.cooldown.remaining(first) === 0;
	if (isFree && store.reserve(first, owner, false)) return first;
	for (;;) {
		const choice = chooseFree(store, rangeSetOf(range), first);
		if (choice === undefined || store.reserve(choice.ip, owner, choice.mayBeBlank)) return choice?.ip;
	}
}

function exhausted(code: Trouble, store: Store, range: PoolRange, block: NodeBlock): CniError {
	const reason = `block ${block.block} of node ${block.node} has no address left`;
	return new CniError(code, reason, shortage(store, rangeSetOf(range)));
}

/** STATUS: an ADD would know the block, and find an address in it. */
export function requireBlockAddress(config: Whereabouts, slicing: Slicing): void {
	const { dataDir } = config;
	const block = requireBlock(config, slicing, Code.notAvailable);
	const range = rangeOfBlock(config.ranges[0]!, parseCidr(block.block)!);
	using store = Store.open(storeOf(dataDir, block), config);
	store.requireWritable();
	if (chooseFree(store, rangeSetOf(range), undefined) !== undefined) return;
	throw exhausted(Code.notAvailable, store, range, block);
}

/** CHECK: whether a block that this node has or had holds `ip` for the attachment. */
export function holdsInBlock(dataDir: string, { pool }: Slicing, ip: Ip, { containerId, ifName }: Request): boolean {
	return storesOf(dataDir, pool).some((directory) => {
		using store = Store.openIfPresent(directory);
		const owner = store?.ownerOf(ip);
		return typeof owner === "object" && owner.containerId === containerId && owner.ifName === ifName;
	});
}

/** Gives back what a record says of a store. */
export function releaseInStore(settings: ReleaseSettings, records: Records, { record }: FoundRecord): void {
	if (record.store === "" || release(storePath(settings.dataDir, record.store), settings, record)) return;
	// It may have moved to the store of another block meanwhile (learn-block.ts).
	const now = records.find(record)?.record.store ?? "";
	if (now !== "" && now !== record.store) release(storePath(settings.dataDir, now), settings, record);
}

/** Whether there was something to give back. */
function release(directory: string, settings: ReleaseSettings, attachment: Attachment): boolean {
	using store = Store.openIfPresent(directory, settings);
	let isHeld = false;
	store?.releaseAll(attachment, (names) => {
		isHeld = true;
		store.cooldown.note(names);
	});
	return isHeld;
}

/**
 * DEL without a record of the network: what was taken over from the Go plugin, or what a lost record said. Where the
 * block is not known it is asked for, since the pool in the API may have the address.
 */
export function releaseInBlocks(records: Records, config: Whereabouts, slicing: Slicing, request: Request): void {
	const { dataDir, kubeconfig } = config;
	if (knownBlock(dataDir, slicing) === undefined && statIfPresent(kubeconfig) !== undefined) {
		withApiServer(kubeconfig, (session) => {
			try {
				learnBlock(session, config, slicing, Code.notAvailable);
			} catch (error) {
				// This node has no block: nothing of it can be held. (A lock that is not to be had is another code.)
				if (!(error instanceof CniError && error.code === Code.notAvailable)) throw error;
			}
		});
	}
	for (const directory of storesOf(dataDir, slicing.pool)) release(directory, config, request);
	records.forget({ ...request, network: TAKEN_OVER });
}
