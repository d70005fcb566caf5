/**
 * A pool: the object in which people and Go nodes read who has which address of a range.
 *
 * Where reservations are claims, the pool follows them. What is to be written to it waits in a directory of this
 * node, a file for each change; whoever has the pool's lock writes all that waits in one patch. A patch costs the
 * server the more the more the pool holds, and those of several nodes get into each other's way: so a node whose last
 * patch was slow leaves the next to a process that writes for all who come meanwhile (writer.ts). What a killed
 * process left is written by the next.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { isObject } from "../../lib/cni/json.ts";
import type { JsonObject } from "../../lib/cni/types.ts";
import { type Cidr, formatCidr } from "../../lib/ip/cidr.ts";
import { fnv1a } from "../../lib/ip/fnv.ts";
import { type KubeClient, type PatchStep, TOO_LARGE } from "../../lib/kube/client.ts";
import { isStatus, KubeError, NoAnswerError } from "../../lib/kube/errors.ts";
import { requireLock } from "../../lib/plugin/verb-lock.ts";
import { readTold, text } from "../../lib/state/json.ts";
import * as files from "../../lib/sys/files.ts";
import { Lock } from "../../lib/sys/lock.ts";
import * as sys from "../../lib/sys/sys.ts";
import { type Allocation, poolName, poolObject, poolsPath } from "./objects.ts";
import type { Session } from "./session.ts";

/** Which pool. */
interface PoolName {
	readonly namespace: string;
	readonly name: string;
	/** Its network, as CIDR. */
	readonly range: string;
}

/** A change of one entry. */
export interface Change extends Allocation {
	readonly offset: string;
	readonly op: "add" | "remove";
	/** Name of the reservation; "" where there is none. */
	readonly reservation: string;
}

/** A change that has a file, whose name says when. */
interface Waiting extends Change {
	/** ADD has not waited for it: it has said "yours" already. */
	readonly isLater: boolean;
}

/** The last patch of this node: when it began (CLOCK_BOOTTIME), how long it took, and what the pool held after it. */
interface LastPatch {
	readonly startedMs: number;
	readonly tookMs: number;
	readonly offsets: readonly string[];
}

/** After a patch, this node leaves the pool alone for so many times what it took, */
const REST = 20;
/** but no longer than this: then entries are there soon after their ADD. */
const LONGEST_REST_MS = 7000;
/** How long ADD and DEL wait for a patch. */
const PATIENCE_MS = 1500;
/** End of the name of a change's file, for which nobody waits. */
const LATER = "@later";

/** What a pool holds, by offset. */
export type Allocations = ReadonlyMap<string, Allocation>;

/**
 * `managedFields` says who wrote which entry, which nobody asks; without it the server needs half the time for a
 * patch.
 */
export const NO_MANAGED_FIELDS: PatchStep = { op: "add", path: "/metadata/managedFields", value: [{}] };

/** The pool of a network. */
export function poolOf(session: Session, networkName: string, network: Cidr, dataDir: string): Pool {
	return new Pool(session, { name: poolName(networkName, network), range: formatCidr(network) }, dataDir);
}

export class Pool {
	readonly where: PoolName;
	/** Path. */
	readonly kubeconfig: string;
	readonly dataDir: string;
	readonly #client: KubeClient;
	/** What waits to be written. */
	readonly #directory: string;

	constructor({ client, namespace, kubeconfig }: Session, where: Omit<PoolName, "namespace">, dataDir: string) {
		this.where = { namespace, ...where };
		this.kubeconfig = kubeconfig;
		this.dataDir = dataDir;
		this.#client = client;
		// Two clusters may have pools of one name: they have two kubeconfigs.
		const cluster = fnv1a(kubeconfig, 128).toString(36);
		this.#directory = `${dataDir}/pools/${cluster}@${namespace}@${where.name}`;
	}

	get name(): string {
		return this.where.name;
	}

	/** Without the entries that this node is about to remove. Undefined where there is no such pool. */
	read(): Allocations | undefined {
		const there = readPool(this.#client, this.where);
		if (there === undefined) return undefined;
		const left = new Map(there);
		for (const change of this.#waiting()) {
			const entry = left.get(change.offset);
			if (change.op === "remove" && entry !== undefined && isSame(entry, change)) left.delete(change.offset);
		}
		return left;
	}

	/**
	 * Puts `change` where it waits to be written, and writes all that waits; unless this node has just done so, or it
	 * takes too long: then a process of its own does it within seconds, for all who come meanwhile. "refused": the
	 * entry is somebody else's, and the change is forgotten. Throws what the server says; then the change waits.
	 * `mayLeave` says whether it may be written later at all.
	 */
	write(change: Change, mayLeave: () => boolean): "written" | "later" | "refused" {
		files.makeDirectories(this.#directory, 0o700);
		this.#forget(change);
		const isLater = this.restMs() > 0 && mayLeave();
		files.writeAtomic(this.#fileOf(change, isLater), JSON.stringify(change), 0o600);
		if (isLater) return "later";
		try {
			this.#client.within(PATIENCE_MS, () => this.flush());
		} catch (error) {
			const isSlow = error instanceof NoAnswerError || (error instanceof CniError && error.code === Code.tryAgain);
			if (!isSlow || this.#client.leftMs === 0) throw error;
			if (!mayLeave()) this.flush();
			else if (files.renameIfPresent(this.#fileOf(change, false), this.#fileOf(change, true))) return "later";
		}
		return files.removeIfPresent(this.#refusedOf(change)) ? "refused" : "written";
	}

	/** Writes all that waits. */
	flush(): void {
		using _lock = this.#lock();
		const waiting = this.#waiting();
		if (waiting.length > 0) this.#apply(waiting, []);
	}

	/**
	 * Makes a change for which the pool's own word counts, and all that wait: false where another has the entry, or
	 * nobody whom it is to be taken from.
	 */
	claim(change: Change): boolean {
		files.makeDirectories(this.#directory, 0o700);
		using _lock = this.#lock();
		this.#forget(change);
		return !this.#apply(this.#waiting(), [change]).includes(change);
	}

	/**
	 * Returns those that are refused. Of a change that was to be written later nobody can be told: a reconciler finds
	 * it.
	 */
	#apply(waiting: readonly Waiting[], more: readonly Change[]): readonly Change[] {
		const startedMs = sys.boottimeMs();
		const { refused, allocations } = changePool<Change>(this.#client, this.where, [...waiting, ...more]);
		this.#remember({ startedMs, tookMs: sys.boottimeMs() - startedMs, offsets: [...allocations.keys()] });
		for (const change of waiting) {
			if (refused.includes(change) && !change.isLater) files.writeAtomic(this.#refusedOf(change), "", 0o600);
			files.removeIfPresent(this.#fileOf(change, change.isLater));
		}
		return refused;
	}

	/** What waits of the same attachment and entry, and what became of it: that no longer counts. */
	#forget(change: Change): void {
		for (const op of ["add", "remove"] as const) {
			for (const isLater of [true, false]) files.removeWritten(this.#fileOf({ ...change, op }, isLater));
		}
		files.removeWritten(this.#refusedOf(change));
	}

	/** How long the next patch of this node should wait, in ms. */
	restMs(): number {
		const last = this.#last();
		return last === undefined ? 0 : restAfter(last);
	}

	/** The offsets that were held when this node wrote last; undefined where that is too long ago to say anything. */
	recent(): readonly string[] | undefined {
		const last = this.#last();
		return last !== undefined && restAfter(last) > 0 ? last.offsets : undefined;
	}

	hasWaiting(): boolean {
		return this.#waiting().length > 0;
	}

	/** Held by the process that writes what waits; undefined where there is one. */
	writerLock(): Lock | undefined {
		return Lock.acquire(`${this.#directory}/.writer`, { deadlineMs: 0, mode: 0o600 });
	}

	#lock(): Lock {
		return requireLock(`${this.#directory}/.lock`, `pool ${this.name}`, this.#client.leftMs);
	}

	#last(): LastPatch | undefined {
		const { startedMs, tookMs, offsets } = readTold(files.readTextIfFile(this.#lastFile) ?? "").json;
		if (typeof startedMs !== "number" || typeof tookMs !== "number" || !Array.isArray(offsets)) return undefined;
		return { startedMs, tookMs, offsets: offsets.map(text) };
	}

	#remember(last: LastPatch): void {
		files.writeAtomic(this.#lastFile, JSON.stringify(last), 0o600);
	}

	get #lastFile(): string {
		return `${this.#directory}/.last`;
	}

	/** What is no change, or a copy of one under another name, is nobody's. */
	#waiting(): Waiting[] {
		const names = (files.listIfPresent(this.#directory) ?? []).filter((name) => /^\d/.test(name));
		return names.flatMap((name) => {
			const path = `${this.#directory}/${name}`;
			const change = readChange(files.readTextIfFile(path) ?? "");
			const isLater = name.endsWith(LATER);
			return change !== undefined && this.#fileOf(change, isLater) === path ? [{ ...change, isLater }] : [];
		});
	}

	#fileOf({ op, offset, id, ifname }: Change, isLater: boolean): string {
		return `${this.#directory}/${offset}@${id}@${ifname}@${op}${isLater ? LATER : ""}`;
	}

	#refusedOf({ offset, id, ifname }: Change): string {
		return `${this.#directory}/refused@${offset}@${id}@${ifname}`;
	}
}

function restAfter({ startedMs, tookMs }: LastPatch): number {
	const sinceMs = sys.boottimeMs() - startedMs;
	// By the clock of an earlier boot it may be in the future.
	return sinceMs < 0 ? 0 : Math.max(0, Math.min(LONGEST_REST_MS, tookMs * REST) - sinceMs);
}

const pathOf = ({ namespace, name }: PoolName): string => `${poolsPath(namespace)}/${name}`;

function readPool(client: KubeClient, where: PoolName): Allocations | undefined {
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
			if (added.length === 0 || createPool(client, where, allocations)) return { refused: [], allocations };
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

/** False where somebody was quicker. */
function createPool(client: KubeClient, { namespace, name, range }: PoolName, allocations: Allocations): boolean {
	return client.create(poolsPath(namespace), poolObject(name, range, Object.fromEntries(allocations)));
}

const entryOf = ({ id, podref, ifname }: Allocation): Allocation => ({ id, podref, ifname });

/**
 * One that was truncated by a power failure says nothing: the reservation is there, and a reconciler brings the
 * entry.
 */
function readChange(json: string): Change | undefined {
	const told = readTold(json);
	const { op, offset, id, podref, ifname, reservation } = told.json;
	if (!told.isWhole || (op !== "add" && op !== "remove") || !/^\d+$/.test(text(offset))) return undefined;
	return {
		op,
		offset: text(offset),
		id: text(id),
		podref: text(podref),
		ifname: text(ifname),
		reservation: text(reservation),
	};
}

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

const isSame = (entry: Allocation, { id, ifname }: Allocation): boolean => entry.id === id && entry.ifname === ifname;

/** Whether an entry that is to be added is somebody else's. */
function isRefused({ op, offset, podref, ifname }: Change, there: Allocations): boolean {
	const entry = there.get(offset);
	return op === "add" && entry !== undefined && (entry.podref !== podref || entry.ifname !== ifname);
}

export function allocationsOf({ spec }: JsonObject): Allocations {
	const allocations = isObject(spec) && isObject(spec.allocations) ? spec.allocations : {};
	const entries = new Map<string, Allocation>();
	for (const [offset, entry] of Object.entries(allocations)) {
		// Go passes over a key that is no number, too.
		if (!isObject(entry) || !/^\d{1,39}$/.test(offset)) continue;
		entries.set(offset, { id: text(entry.id), podref: text(entry.podref), ifname: text(entry.ifname) });
	}
	return entries;
}
