/**
 * The object of a pool: what it holds, and changes to it, which are made against what it holds at that moment.
 */
import { isObject } from "../../lib/cni/json.ts";
import type { JsonObject } from "../../lib/cni/types.ts";
import { type KubeClient, type PatchStep, TOO_LARGE } from "../../lib/kube/client.ts";
import { isStatus, KubeError, NoAnswerError } from "../../lib/kube/errors.ts";
import { object, text } from "../../lib/state/json.ts";
import { type Allocation, poolObject, poolsPath } from "./objects.ts";

export interface PoolName {
	readonly namespace: string;
	readonly name: string;
	/** Its network, as CIDR. */
	readonly range: string;
}

export interface Change extends Allocation {
	readonly offset: string;
	readonly op: "add" | "remove";
}

/** What a pool holds, by offset. */
export type Allocations = ReadonlyMap<string, Allocation>;

/**
 * `managedFields` says who wrote which entry, which nobody asks; without it the server needs half the time for a
 * patch.
 */
export const NO_MANAGED_FIELDS: PatchStep = { op: "add", path: "/metadata/managedFields", value: [{}] };

const pathOf = ({ namespace, name }: PoolName): string => `${poolsPath(namespace)}/${name}`;

export function readPool(client: KubeClient, where: PoolName): Allocations | undefined {
	const object = client.get(pathOf(where));
	return object && allocationsOf(object);
}

/**
 * Makes the changes; a pool that is not there is made. `refused` are those of entries that another has; `allocations`
 * is what the pool holds then. Throws what the client throws.
 */
export function changePool<T extends Change>(
	client: KubeClient,
	where: PoolName,
	changes: readonly T[],
): { refused: readonly T[]; allocations: Allocations } {
	// What one attachment gives back, another may have by now.
	const ordered = [...changes.filter(({ op }) => op === "remove"), ...changes.filter(({ op }) => op === "add")];
	// Most often the pool is as is thought: then this is all.
	let steps = ordered.flatMap((change) => stepsFor(change));
	let refused: T[] = [];
	let there: Allocations | undefined;
	while (steps.length > 0) {
		if (client.leftMs === 0) throw new NoAnswerError(`pool ${where.name} was changed by others, again and again`);
		const outcome = patchPool(client, where, steps);
		if (typeof outcome === "object") return { refused, allocations: allocationsOf(outcome) };
		there = outcome === "gone" ? undefined : readPool(client, where);
		if (there === undefined) {
			const added = changes.filter(({ op }) => op === "add");
			const allocations = new Map(added.map((change) => [change.offset, entryOf(change)]));
			const object = poolObject(where.name, where.range, Object.fromEntries(allocations));
			const isDone = added.length === 0 || client.create(poolsPath(where.namespace), object);
			if (isDone) return { refused: [], allocations };
			// Somebody was quicker.
			continue;
		}
		const entries = new Map(there);
		refused = [];
		steps = [];
		for (const change of ordered) {
			if (isRefused(change, entries)) {
				refused.push(change);
				continue;
			}
			const more = stepsAfter(change, entries.get(change.offset));
			if (more.length > 0 && change.op === "remove") entries.delete(change.offset);
			if (change.op === "add") entries.set(change.offset, entryOf(change));
			steps.push(...more);
		}
	}
	return { refused, allocations: there ?? new Map<string, Allocation>() };
}

function patchPool(client: KubeClient, where: PoolName, steps: readonly PatchStep[]): ReturnType<KubeClient["patch"]> {
	try {
		return client.patch(pathOf(where), [...steps, NO_MANAGED_FIELDS]);
	} catch (error) {
		if (!isStatus(error, TOO_LARGE)) throw error;
		const held = readPool(client, where)?.size ?? 0;
		throw new KubeError(
			TOO_LARGE,
			`pool ${where.name} with its ${held} entries is as large as etcd takes an object (1.5 MB): use smaller ranges, or node_slice_size (${error.message})`,
		);
	}
}

const entryOf = ({ id, podref, ifname }: Allocation): Allocation => ({ id, podref, ifname });

const pointerTo = (offset: string): string => `/spec/allocations/${offset}`;

/** The steps where the pool is as it should be before the change. */
function stepsFor(change: Change): PatchStep[] {
	const path = pointerTo(change.offset);
	if (change.op === "remove") {
		return [
			{ op: "test", path: `${path}/id`, value: change.id },
			{ op: "remove", path },
		];
	}
	return [
		{ op: "test", path, value: null },
		{ op: "add", path, value: { ...entryOf(change) } },
	];
}

/**
 * The steps where the pool has `entry`, of the same attachment or an earlier one of the same pod and interface, or
 * none.
 */
function stepsAfter(change: Change, entry: Allocation | undefined): PatchStep[] {
	const path = pointerTo(change.offset);
	if (entry === undefined) return change.op === "add" ? stepsFor(change) : [];
	if (change.op === "remove") return isSame(entry, change) ? stepsFor(change) : [];
	if (isSame(entry, change)) return [];
	// Of an earlier sandbox.
	return [
		{ op: "test", path: `${path}/id`, value: entry.id },
		{ op: "replace", path, value: { ...entryOf(change) } },
	];
}

export const isSame = (entry: Allocation, { id, ifname }: Allocation): boolean =>
	entry.id === id && entry.ifname === ifname;

/** Whether an entry that is to be added is somebody else's. */
function isRefused({ op, offset, podref, ifname }: Change, there: Allocations): boolean {
	const entry = there.get(offset);
	return op === "add" && entry !== undefined && (entry.podref !== podref || entry.ifname !== ifname);
}

export function allocationsOf({ spec }: JsonObject): Allocations {
	const entries = new Map<string, Allocation>();
	for (const [offset, entry] of Object.entries(object(object(spec)?.allocations) ?? {})) {
		// Go passes over a key that is no number, too.
		if (!isObject(entry) || !/^\d{1,39}$/.test(offset)) continue;
		entries.set(offset, { id: text(entry.id), podref: text(entry.podref), ifname: text(entry.ifname) });
	}
	return entries;
}
