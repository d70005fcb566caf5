/**
 * A pool as this node sees it: the object in which people and Go nodes read who has which address of a range, and what
 * is still to be written to it.
 *
 * Where reservations are claims, the pool follows them. What is to be written to it waits in a directory of this
 * node, a file for each change; whoever has the pool's lock writes all that waits in one patch. A patch costs the
 * server the more the more the pool holds, and those of several nodes get into each other's way: so a node whose last
 * patch was slow leaves the next to a process that writes for all who come meanwhile (writer.ts). What a killed
 * process left is written by the next.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { type Cidr, formatCidr } from "../../lib/ip/cidr.ts";
import { fnv1a } from "../../lib/ip/fnv.ts";
import type { KubeClient } from "../../lib/kube/client.ts";
import { NoAnswerError } from "../../lib/kube/errors.ts";
import { requireLock } from "../../lib/plugin/verb-lock.ts";
import { readTold, text } from "../../lib/state/json.ts";
import * as files from "../../lib/sys/files.ts";
import { Lock } from "../../lib/sys/lock.ts";
import * as sys from "../../lib/sys/sys.ts";
import { poolName } from "./objects.ts";
import { type Allocations, type Change, changePool, isSame, type PoolName, readPool } from "./pool-object.ts";
import type { Session } from "./session.ts";

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

/**
 * One that was truncated by a power failure says nothing: the reservation is there, and a reconciler brings the
 * entry.
 */
function readChange(json: string): Change | undefined {
	const told = readTold(json);
	const { op, offset, id, podref, ifname } = told.json;
	if (!told.isWhole || (op !== "add" && op !== "remove") || !/^\d+$/.test(text(offset))) return undefined;
	return { op, offset: text(offset), id: text(id), podref: text(podref), ifname: text(ifname) };
}
