/**
 * `whereabouts reconcile --node`: what a node has handed out of its blocks is brought to the pools in the API, where
 * people and Go nodes read it; what pods hold that are gone is freed; a block that was taken away is noticed.
 *
 * The store on the node is the truth, the pool follows. What the store holds is read before the pods are: an address
 * is handed out for a pod that is there, so one whose pod is not there afterwards is nobody's.
 */
import type { JsonObject } from "../../lib/cni/types.ts";
import { formatIp } from "../../lib/ip/address.ts";
import { type Cidr, formatCidr } from "../../lib/ip/cidr.ts";
import type { KubeClient } from "../../lib/kube/client.ts";
import { NoAnswerError } from "../../lib/kube/errors.ts";
import { requireLock } from "../../lib/plugin/verb-lock.ts";
import { Store } from "../../lib/store/store.ts";
import { bootId } from "../../lib/sys/boot.ts";
import * as sys from "../../lib/sys/sys.ts";
import { isLiving, podRefOf } from "./cluster.ts";
import * as blocks from "./node-block.ts";
import { type Allocation, poolObject, poolsPath, slicePoolsPath, slicesOf } from "./objects.ts";
import { type Allocations, allocationsOf, NO_MANAGED_FIELDS } from "./pool-object.ts";
import { offsetOf } from "./ranges.ts";
import { type FoundRecord, Records } from "./record.ts";
import type { Session } from "./session.ts";
import type { Tally } from "./tally.ts";

/** An address of a block, and what is known of who has it. */
type Held = ReturnType<typeof readHeld>[number];

/** How many addresses each pool held when it was read. */
export type PoolUse = ReadonlyMap<string, number>;

export function reconcileNode(session: Session, dataDir: string, tally: Tally): PoolUse {
	const used = new Map<string, number>();
	const own = sys.variable("NODENAME")?.trim().toLowerCase() ?? "";
	const records = new Records(dataDir);
	// Of an earlier boot, or of the machine that a state directory was copied from, one says nothing.
	for (const block of blocks.knownBlocks(dataDir).filter(({ boot }) => boot === bootId())) {
		const here = { ...session, namespace: block.namespace };
		const stores = blocks.storesOf(dataDir, block.pool).map((directory) => ({
			directory,
			block: blocks.blockOfStore(directory)!,
			held: readHeld(directory, blocks.blockOfStore(directory)!, records),
		}));
		noticeLoss(here, block, own, dataDir, stores.flatMap(({ held }) => held).length, tally);
		// Whose pods are this node's is not known then.
		if (isMisnamed(block, own)) continue;
		const pods = podsOf(session, block.node);
		for (const { directory, block: cidr, held } of stores) {
			const gone = held.filter(({ record }) => record !== undefined && !pods.has(record.record.podRef));
			for (const each of gone) {
				const { podRef } = each.record!.record;
				tally.change(`${each.address}: freed, pod ${podRef} is gone`, "freed", () => free(directory, each, records));
			}
			const pool = blocks.poolOfBlock(block, cidr);
			const kept = held.filter((each) => !gone.includes(each));
			project(here, pool, cidr, kept, tally);
			used.set(pool, held.length);
		}
	}
	return used;
}

function readHeld(directory: string, block: Cidr, records: Records) {
	using store = Store.openIfPresent(directory);
	const name = directory.slice(directory.lastIndexOf("/") + 1);
	const byOwner = new Map<string, FoundRecord>();
	// While the store is locked: ADD and DEL write both under its lock.
	for (const found of records.all()) {
		const { store: of, containerId, ifName } = found.record;
		if (of === name) byOwner.set(`${containerId}/${ifName}`, found);
	}
	return (store?.allocated() ?? []).map(({ ip, owner: { containerId, ifName = "" } }) => ({
		offset: offsetOf({ network: block }, ip),
		address: formatIp(ip),
		containerId,
		ifName,
		record: byOwner.get(`${containerId}/${ifName}`),
	}));
}

/** "namespace/name" of the node's pods that have not finished. */
function podsOf({ client }: Session, node: string): Set<string> {
	const path = `/api/v1/pods?fieldSelector=${encodeURIComponent(`spec.nodeName=${node}`)}`;
	return new Set([...client.list(path)].filter(isLiving).map(podRefOf));
}

function free(directory: string, { address, containerId, ifName, record }: Held, records: Records): boolean {
	using store = Store.openIfPresent(directory);
	const held = store?.allocated().find(({ ip }) => formatIp(ip) === address);
	// Given back, or another's, meanwhile.
	if (held?.owner.containerId !== containerId || held.owner.ifName !== ifName) return false;
	store?.release(held.ip, { containerId, ifName });
	if (record?.record.claims.length === 0) records.remove(record);
	return true;
}

/** Whether the block was learnt for another node than NODENAME, `name`, says. */
const isMisnamed = ({ node }: blocks.NodeBlock, name: string): boolean => name !== "" && name !== node;

/** Puts on record whether the block is still the node's by the NodeSlicePool. */
function noticeLoss(
	{ client, namespace }: Session,
	block: blocks.NodeBlock,
	name: string,
	dataDir: string,
	held: number,
	tally: Tally,
): void {
	const object = client.get(`${slicePoolsPath(namespace)}/${block.pool}`);
	const own = object && slicesOf(object).find(({ node }) => node === block.node);
	const lost = ((): string => {
		if (isMisnamed(block, name)) {
			return `NODENAME says ${name}, and ADD had ${block.block} for node ${block.node}: let the file nodename beside whereabouts.conf say the right name`;
		}
		if (object === undefined) return `there is no NodeSlicePool ${block.pool} in namespace ${namespace} any more`;
		if (own === undefined) return `NodeSlicePool ${block.pool} has no block for node ${block.node} any more`;
		return own.range === block.block ? "" : `NodeSlicePool ${block.pool} gives node ${block.node} ${own.range} now`;
	})();
	if (lost !== block.lost) {
		const line =
			lost === "" ? `block ${block.block} is the node's again` : `block ${block.block} is no longer the node's`;
		tally.change(line, "healed", () => {
			using _lock = requireLock(blocks.lockOf(dataDir, block.pool), `the block of ${block.pool}`, client.leftMs);
			const now = blocks.readBlock(dataDir, block.pool);
			// An ADD has learnt another one meanwhile.
			if (now?.block !== block.block || now.node !== block.node) return false;
			blocks.writeBlock(dataDir, { ...now, lost });
			return true;
		});
	}
	if (lost !== "") tally.fail(`${lost}; this node has handed out ${held} addresses of ${block.block}`);
}

/** Lets the pool in the API say what the store says, in one patch. */
function project({ client, namespace }: Session, name: string, block: Cidr, held: readonly Held[], tally: Tally): void {
	const wanted = new Map<string, Allocation>();
	for (const { offset, containerId, ifName, record } of held) {
		// Without a record nobody can say which pod it is of; the address stays the container's.
		if (record !== undefined) wanted.set(offset, { id: containerId, podref: record.record.podRef, ifname: ifName });
	}
	const path = `${poolsPath(namespace)}/${name}`;
	const object = client.get(path);
	const there = object === undefined ? new Map<string, Allocation>() : allocationsOf(object);
	const missing = [...wanted].filter(([offset, entry]) => !isSame(there.get(offset), entry));
	const surplus = [...there.keys()].filter((offset) => !wanted.has(offset));
	if (missing.length + surplus.length === 0) return;
	const line = `pool ${name}: ${missing.length} entries written, ${surplus.length} removed`;
	tally.change(line, "healed", () => writePool(client, namespace, name, block, wanted));
}

function isSame(there: Allocation | undefined, { id, podref, ifname }: Allocation): boolean {
	return there?.id === id && there.podref === podref && there.ifname === ifname;
}

function writePool(client: KubeClient, namespace: string, name: string, block: Cidr, wanted: Allocations): boolean {
	const allocations = Object.fromEntries(wanted);
	while (client.leftMs > 0) {
		const value = { ...allocations } as unknown as JsonObject;
		const steps = [{ op: "add" as const, path: "/spec/allocations", value }, NO_MANAGED_FIELDS];
		const outcome = client.patch(`${poolsPath(namespace)}/${name}`, steps);
		if (typeof outcome === "object") return true;
		if (client.create(poolsPath(namespace), poolObject(name, formatCidr(block), allocations))) return true;
	}
	throw new NoAnswerError(`pool ${name} was made and removed by others, again and again`);
}
