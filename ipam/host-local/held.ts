/**
 * What the files of a store say: from the index beside it (index.ts) where there is a valid one, so that not all of them are read each
 * time, and else from the files themselves, once.
 */
import { formatIp, type Ip, nextIp } from "../../lib/ip/address.ts";
import { type Contents, readContents, readHolder, sentenceOf } from "./address-files.ts";
import { type Content, type Holder, isHeld } from "./holder.ts";
import { type Holding, Index, StaleError } from "./index.ts";
import { hasPrivateDirectory } from "./private-directory.ts";

/** To read so many files costs no more than an index does. */
const MANY = 16;

/** To be used while the store is locked. What is not said of errors: code 5 where the directory cannot be read. */
export class Held {
	readonly #directory: string;
	readonly #keepIndex: boolean;
	/** What all address files say; undefined until somebody must read them. */
	#contents: Contents | undefined;
	/** The index, where it is valid but for our own changes; null where there is none; undefined until somebody asks. */
	#index: Index | null | undefined;
	#mayHaveIndex = true;
	/** The store has been changed, the index does not say so yet. */
	#uncommitted = false;
	#isChanged = false;
	readonly #isLocked: () => boolean;
	/** Addresses that could not be had after all. Each is tried once. */
	readonly #refused = new Set<string>();

	/**
	 * With `keepIndex` there is an index however few addresses are held, since it tells in which boot they were.
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
	 * nothing. A file that cannot be read holds its address.
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
			const content = this.#holderIn(name);
			if (accepts(name, content)) return found.ip;
			// Of one that is held the index should know: what else does it not know?
			if (isHeld(content)) break;
			at = nextIp(found.ip);
		}
		const { holders, unreadable } = this.contents();
		for (let ip: Ip | undefined = from; ip !== undefined && ip.value <= to.value; ip = nextIp(ip)) {
			const name = formatIp(ip);
			if (accepts(name, holders.get(name)) && !unreadable.has(name)) return ip;
		}
		return undefined;
	}

	/** Whether the address could not be had when it was tried. */
	isRefused(name: string): boolean {
		return this.#refused.has(name);
	}

	/** What is held for the container. */
	holdingsOf(containerId: string): Holding[] {
		this.#look();
		const indexed = this.#withIndex((index) => index.holdingsOf(containerId));
		// The index is right unless somebody has edited a file.
		if (indexed?.every((holding) => isSameHolder(this.#holderIn(holding.name), holding))) return indexed;
		const holdings: Holding[] = [];
		for (const [name, holder] of this.contents().holders) {
			if (typeof holder === "object" && holder.containerId === containerId) holdings.push({ name, ...holder });
		}
		return holdings;
	}

	/** What has been held since an earlier boot, as far as there is a record of that. */
	sinceEarlierBoot(): Holding[] {
		this.#look();
		const recorded = this.#withIndex((index) => index.earlier()) ?? this.#earlier();
		return recorded.filter((holding) => isSameHolder(this.#holderIn(holding.name), holding));
	}

	/** Forgets what `sinceEarlierBoot` tells of these addresses; of all without `names`. */
	forgetEarlierBoot(names?: readonly string[]): void {
		this.#withIndex((index) => {
			const earlier = index.earlier();
			const others = names === undefined ? [] : earlier.filter(({ name }) => !names.includes(name));
			if (others.length < earlier.length) index.setEarlier(others);
		});
	}

	/** What every file says. Makes an index where it is worth it, and says nothing if it cannot: the store does without. */
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

	/** Makes the file of `holding` by `work`, which says whether it could: then somebody else had it. Throws what `work` throws. */
	add(holding: Holding, work: () => boolean): boolean {
		if (!this.change(work, (index) => index.add(holding))) {
			this.#refused.add(holding.name);
			return false;
		}
		this.#contents?.holders.set(holding.name, holding);
		return true;
	}

	/** Removes the file of `holding` by `work`. Throws what `work` throws. */
	remove(holding: Holding, work: () => void): void {
		this.change(work, (index) => index.remove(holding));
		this.#contents?.holders.delete(holding.name);
	}

	/**
	 * Changes the store by `work`, then the index by `record`. Where `work` fails, or says false, nobody knows what the store is like: the index is
	 * no more, and the files are to be read again.
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

	#holderIn(name: string): Content {
		return readHolder(this.#directory, name);
	}

	/** Finds out what is held: from the index, or from the files. */
	#look(): void {
		if (this.#openIndex() === null) this.contents();
	}

	#openIndex(): Index | null {
		if (this.#index === undefined) {
			this.#mayHaveIndex = ignoreFailure(() => hasPrivateDirectory(this.#directory)) ?? true;
			const index = this.#mayHaveIndex ? ignoreFailure(() => Index.openIfValid(this.#directory)) : undefined;
			this.#index = index ?? null;
		}
		return this.#index;
	}

	/** Runs `work` with the index, if there is one. If that fails there is none from here on, and the next call makes a new one. */
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

	#makeIndex({ holders, unreadable }: Contents): void {
		const isSmall = holders.size <= MANY && !this.#keepIndex;
		if (isSmall && !this.#mayHaveIndex) return;
		const earlier = this.#earlier();
		const isWorthIt = !isSmall || earlier.length > 0;
		if (!isWorthIt || unreadable.size > 0) {
			Index.remove(this.#directory);
			return;
		}
		const holdings: Holding[] = [];
		for (const [name, holder] of holders) if (typeof holder === "object") holdings.push({ name, ...holder });
		const index = Index.build(this.#directory, holdings, earlier);
		index.commit(this.#isLocked);
		this.#index = index;
	}

	/** What has been held since an earlier boot, as far as indexes on disk say and the files still do. */
	#earlier(): Holding[] {
		const { holders } = this.contents();
		const earlier = new Map<string, Holding>();
		for (const holding of Index.earlierHoldings(this.#directory)) {
			if (isSameHolder(holders.get(holding.name), holding)) earlier.set(holding.name, holding);
		}
		return [...earlier.values()];
	}
}

function isSameHolder(holder: Content, { containerId, ifName }: Holder): boolean {
	return typeof holder === "object" && holder.containerId === containerId && holder.ifName === ifName;
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
