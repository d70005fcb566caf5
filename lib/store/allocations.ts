/**
 * What the files of a store say: from the index (index.ts) where there is a valid one, so that not all of them are read
 * each time, and else from the files themselves, once.
 */
import { formatIp, type Ip, nextIp } from "../ip/address.ts";
import { statIfPresent } from "../sys/files.ts";
import { type Contents, privateDirectory, readContents, readOwner, sentenceOf } from "./address-files.ts";
import { type Allocation, Index, StaleError } from "./index.ts";
import { type Content, isAllocated, isSameOwner } from "./owner.ts";

/** To read so many files costs no more than an index does. */
const MANY = 16;

/** To be used while the store is locked. What is not said of errors: code 5 where the directory cannot be read. */
export class Allocations {
	readonly #directory: string;
	readonly #keepIndex: boolean;
	/** What all address files say; undefined until somebody must read them. */
	#contents: Contents | undefined;
	/**
	 * The index, where it is valid but for our own changes; null where there is none; undefined until somebody asks.
	 */
	#index: Index | null | undefined;
	#mayHaveIndex = true;
	/** The store has been changed, the index does not say so yet. */
	#uncommitted = false;
	#isChanged = false;
	readonly #isLocked: () => boolean;
	/** Addresses that could not be had after all. Each is tried once. */
	readonly #refused = new Set<string>();

	/**
	 * With `keepIndex` there is an index however few addresses are allocated, since it tells in which boot they were.
	 * `isLocked`: whether the store's lock still keeps others out.
	 */
	constructor(directory: string, keepIndex: boolean, isLocked: () => boolean) {
		this.#directory = directory;
		this.#keepIndex = keepIndex;
		this.#isLocked = isLocked;
	}

	/** Whether the store has been changed. */
	get isChanged(): boolean {
		return this.#isChanged;
	}

	/** Makes the index say what has been changed. */
	commit(): void {
		if (this.#uncommitted) this.#withIndex((index) => index.commit(this.#isLocked));
	}

	/**
	 * The first free address from `from` to `to`, both included; with `mayBeBlank` it may have a file that says
	 * nothing. A file that cannot be read keeps its address.
	 */
	nextFree(from: Ip, to: Ip, mayBeBlank: boolean): Ip | undefined {
		this.#look();
		const accepts = (name: string, content: Content): boolean =>
			(content === undefined || (mayBeBlank && content === "blank")) && !this.#refused.has(name);
		for (let at: Ip | undefined = from; at !== undefined; ) {
			const start: Ip = at;
			const found = this.#withIndex((index) => ({ ip: index.nextFree(start, to) }));
			if (found === undefined) break;
			if (found.ip === undefined) return undefined;
			const name = formatIp(found.ip);
			const content = readOwner(this.#directory, name);
			if (accepts(name, content)) return found.ip;
			// Of one that is allocated the index should know: what else does it not know?
			if (isAllocated(content)) break;
			at = nextIp(found.ip);
		}
		const { owners, unreadable } = this.contents();
		for (let ip: Ip | undefined = from; ip !== undefined && ip.value <= to.value; ip = nextIp(ip)) {
			const name = formatIp(ip);
			if (accepts(name, owners.get(name)) && !unreadable.has(name)) return ip;
		}
		return undefined;
	}

	/** Whether the address could not be had when it was tried. */
	isRefused(name: string): boolean {
		return this.#refused.has(name);
	}

	/** What is allocated to the container. */
	allocationsOf(containerId: string): Allocation[] {
		this.#look();
		const indexed = this.#withIndex((index) => index.allocationsOf(containerId));
		// The index is right unless somebody has edited a file.
		if (indexed?.every((allocation) => isSameOwner(readOwner(this.#directory, allocation.name), allocation)))
			return indexed;
		const allocations: Allocation[] = [];
		for (const [name, owner] of this.contents().owners) {
			if (typeof owner === "object" && owner.containerId === containerId) allocations.push({ name, ...owner });
		}
		return allocations;
	}

	/** What has been allocated since an earlier boot, as far as there is a record of that. */
	sinceEarlierBoot(): Allocation[] {
		this.#look();
		const recorded = this.#withIndex((index) => index.earlier()) ?? this.#earlier();
		return recorded.filter((allocation) => isSameOwner(readOwner(this.#directory, allocation.name), allocation));
	}

	/** Forgets what `sinceEarlierBoot` tells of these addresses; of all without `names`. */
	forgetEarlierBoot(names?: readonly string[]): void {
		this.#withIndex((index) => {
			const earlier = index.earlier();
			const others = names === undefined ? [] : earlier.filter(({ name }) => !names.includes(name));
			if (others.length < earlier.length) index.setEarlier(others);
		});
	}

	/**
	 * What every file says. Makes an index where it is worth it, and says nothing if it cannot: the store does without.
	 */
	contents(): Contents {
		if (this.#contents !== undefined) return this.#contents;
		this.#dropIndex();
		const contents = readContents(this.#directory);
		this.#contents = contents;
		ignoreFailure(() => this.#makeIndex(contents));
		return contents;
	}

	/** Reads every file anew if only the index has been asked so far; false where what is known came from the files. */
	readAgain(): boolean {
		if (this.#contents !== undefined) return false;
		this.contents();
		return true;
	}

	/** Why files could not be read, as far as they have been. */
	unreadable(): string[] {
		return [...(this.#contents?.unreadable.values() ?? [])];
	}

	/**
	 * Makes the file of `allocation` by `work`, which says whether it could: then somebody else had it. Throws what
	 * `work` throws.
	 */
	add(allocation: Allocation, work: () => boolean): boolean {
		if (!this.change(work, (index) => index.add(allocation))) {
			this.#refused.add(allocation.name);
			return false;
		}
		this.#contents?.owners.set(allocation.name, allocation);
		return true;
	}

	/** Removes the file of `allocation` by `work`. Throws what `work` throws. */
	remove(allocation: Allocation, work: () => void): void {
		this.change(work, (index) => index.remove(allocation));
		this.#contents?.owners.delete(allocation.name);
	}

	/**
	 * Changes the store by `work`, then the index by `record`. Where `work` fails, or says false, nobody knows what the
	 * store is like: the index is no more, and the files are to be read again.
	 */
	change<T>(work: () => T, record: (index: Index) => void = () => {}): T {
		const index = this.#openIndex();
		this.#dropIndex();
		this.#isChanged = true;
		const done = work();
		if (done === false) this.#contents = undefined;
		if (index === null || done === false) return done;
		this.#index = index;
		this.#uncommitted = true;
		this.#withIndex(record);
		return done;
	}

	/** Finds out what is allocated: from the index, or from the files. */
	#look(): void {
		if (this.#openIndex() === null) this.contents();
	}

	#openIndex(): Index | null {
		if (this.#index === undefined) {
			// Most stores are small, and have none.
			const directory = privateDirectory(this.#directory);
			this.#mayHaveIndex = ignoreFailure(() => statIfPresent(directory) !== undefined) ?? true;
			const index = this.#mayHaveIndex ? ignoreFailure(() => Index.openIfValid(this.#directory)) : undefined;
			this.#index = index ?? null;
		}
		return this.#index;
	}

	/**
	 * Runs `work` with the index, if there is one. If that fails there is none from here on, and the next call makes a
	 * new one.
	 */
	#withIndex<T>(work: (index: Index) => T): T | undefined {
		const index = this.#openIndex();
		if (index === null) return undefined;
		const done = ignoreFailure(() => ({ result: work(index) }));
		if (done === undefined) this.#dropIndex();
		return done?.result;
	}

	#dropIndex(): void {
		this.#index = null;
		this.#uncommitted = false;
	}

	#makeIndex({ owners, unreadable }: Contents): void {
		const isSmall = owners.size <= MANY && !this.#keepIndex;
		if (isSmall && !this.#mayHaveIndex) return;
		const earlier = this.#earlier();
		const isWorthIt = !isSmall || earlier.length > 0;
		if (!isWorthIt || unreadable.size > 0) {
			Index.remove(this.#directory);
			return;
		}
		const allocations: Allocation[] = [];
		for (const [name, owner] of owners) if (typeof owner === "object") allocations.push({ name, ...owner });
		const index = Index.build(this.#directory, allocations, earlier);
		index.commit(this.#isLocked);
		this.#index = index;
	}

	/** What has been allocated since an earlier boot, as far as indexes on disk say and the files still do. */
	#earlier(): Allocation[] {
		const { owners } = this.contents();
		const earlier = new Map<string, Allocation>();
		for (const allocation of Index.earlierAllocations(this.#directory)) {
			if (isSameOwner(owners.get(allocation.name), allocation)) earlier.set(allocation.name, allocation);
		}
		return [...earlier.values()];
	}
}

/** What `work` returns; undefined where a system call of it failed, or the index is not what it was. */
function ignoreFailure<T>(work: () => T): T | undefined {
	try {
		return work();
	} catch (error) {
		if (!(error instanceof StaleError)) sentenceOf(error);
		return undefined;
	}
}
