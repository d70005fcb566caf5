/**
 * The store of the Go plugin on disk, shared with it: a folder for each network, a file for each address that is held.
 *
 * - `<address>`, mode 0600: whom it is held for (holder.ts).
 * - `last_reserved_ip.<N>`, mode 0600: the address that range set N handed out last.
 * - `lock`, mode 0750: flock(2), held while any of the others is read or written.
 *
 * Go makes an address file empty and then fills it; a kill or a full disk between the two leaves an address that Go never
 * hands out again and never releases. Here a file gets its name when its text is complete. An address file that is empty, or
 * that names no container, is free: with the lock held nobody is about to fill it.
 *
 * Where many addresses are held there is an index beside the store (index.ts), so that not all of these files are read each time.
 */
import loadIndex from "later:ipam/host-local/index.ts";
import { CniError, Code } from "../../lib/cni/error.ts";
import { formatIp, type Ip, nextIp, parseIp } from "../../lib/ip/address.ts";
import { makeDirectories, readTextIfPresent, removeIfPresent } from "../../lib/linux/files.ts";
import { Lock } from "../../lib/linux/lock.ts";
import * as sys from "../../lib/linux/sys.ts";
import {
	type Contents,
	readContents,
	readHolder,
	removeTemporary,
	sentenceOf,
	tryToWrite,
	writeStoreFile,
} from "./address-files.ts";
import { isAnythingBeside } from "./beside.ts";
import { type Attachment, formatHolder, type Holder } from "./holder.ts";
import type * as Indexes from "./index.ts";
import type { Holding, Index } from "./index.ts";

/** Most stores have no index, so its code is read when one is found, or is to be made. */
const indexes = () => (loadIndex() as typeof Indexes).Index;

const LOCK_DEADLINE_MS = 60_000;

/** To read so many files costs no more than an index does. */
const MANY = 16;

/** The store of one network, locked until it is disposed of. What it says of addresses is read once, when first asked for. */
export class Store {
	readonly directory: string;
	readonly #lock: Lock;
	readonly #keepIndex: boolean;
	/** What all address files say; undefined until somebody must read them. */
	#contents: Contents | undefined;
	/** The index, where it is valid but for our own changes; null where there is none; undefined until somebody asks. */
	#index: Index | null | undefined;
	#mayHaveIndex = true;
	/** The store has been changed, the index does not say so yet. */
	#uncommitted = false;

	private constructor(directory: string, lock: Lock, keepIndex: boolean) {
		this.directory = directory;
		this.#lock = lock;
		this.#keepIndex = keepIndex;
	}

	/**
	 * Locks the store in `directory`, which is made if missing. With `keepIndex` there is an index however few addresses are held, since it
	 * tells in which boot they were. Throws code 5, or 11 when the lock is not to be had.
	 */
	static open(directory: string, keepIndex = false): Store {
		try {
			return new Store(directory, acquire(`${directory}/lock`), keepIndex);
		} catch (error) {
			if (!sys.isSystemError(error, "ENOENT")) throw error;
			makeDirectories(directory, 0o755);
			return new Store(directory, acquire(`${directory}/lock`), keepIndex);
		}
	}

	/** As `open`, but makes no directory: undefined where there is none, and so nothing held. */
	static openIfPresent(directory: string, keepIndex = false): Store | undefined {
		try {
			return new Store(directory, acquire(`${directory}/lock`), keepIndex);
		} catch (error) {
			if (sys.isSystemError(error, "ENOENT", "ENOTDIR")) return undefined;
			throw error;
		}
	}

	[Symbol.dispose](): void {
		if (this.#uncommitted) this.#withIndex((index) => index.commit());
		this.#lock.release();
	}

	/** Whom the address is held for; undefined where it is free. Reads one file. Throws code 5. */
	holderOf(ip: Ip): Holder | undefined {
		return readHolder(this.directory, formatIp(ip));
	}

	/** The first free address from `from` to `to`, both included. A file that cannot be read holds its address. */
	nextFree(from: Ip, to: Ip): Ip | undefined {
		this.#look();
		const found = this.#withIndex((index) => ({ ip: index.nextFree(from, to) }));
		if (found !== undefined && (found.ip === undefined || this.holderOf(found.ip) === undefined)) return found.ip;
		const { holders, unreadable } = this.#read();
		for (let ip: Ip | undefined = from; ip !== undefined && ip.value <= to.value; ip = nextIp(ip)) {
			const name = formatIp(ip);
			if (holders.get(name) === undefined && !unreadable.has(name)) return ip;
		}
		return undefined;
	}

	/**
	 * The addresses that are held for `attachment`, or for its container and no interface in particular; in the order of their files, in
	 * which Go looks at them and names the first.
	 */
	addressesOf(attachment: Attachment): Ip[] {
		const { exact, legacy } = this.#holdingsOf(attachment);
		const names = [...exact, ...legacy].map(({ name }) => name).sort();
		return names.map(parseIp).filter((ip) => ip !== undefined);
	}

	/** How many addresses that `within` accepts are held, and for how many containers. Reads every file. */
	countHeld(within: (ip: Ip) => boolean): { addresses: number; containers: number } {
		const { holders, unreadable } = this.#read();
		const isWithin = (name: string): boolean => {
			const ip = parseIp(name);
			return ip !== undefined && within(ip);
		};
		const containers = new Set<string>();
		let addresses = 0;
		for (const name of unreadable.keys()) if (isWithin(name)) addresses++;
		for (const [name, holder] of holders) {
			if (holder === undefined || !isWithin(name)) continue;
			addresses++;
			containers.add(holder.containerId);
		}
		return { addresses, containers: containers.size };
	}

	/** Reads every file anew if only the index has been asked so far; false where what is known came from the files. */
	readAgain(): boolean {
		if (this.#contents !== undefined) return false;
		this.#read();
		return true;
	}

	/** Holds a free address for `attachment`. Throws code 5. */
	reserve(ip: Ip, attachment: Attachment): void {
		const holding = { name: formatIp(ip), ...attachmentOf(attachment) };
		this.#forgetEarlier(holding.name);
		this.#change(
			() => writeStoreFile(this.directory, holding.name, formatHolder(attachment)),
			(index) => index.add(holding),
		);
		this.#contents?.holders.set(holding.name, holding);
	}

	/** Gives back what `attachment` holds. Throws code 5. */
	release(ip: Ip, attachment: Attachment): void {
		this.#remove({ name: formatIp(ip), ...attachmentOf(attachment) });
	}

	/**
	 * Releases all addresses of `attachment`; where there are none, those of its container and no interface in particular.
	 * `before` is told of them first. Releases what it can; throws code 5 if any file could not be read or removed, since it may
	 * still hold an address.
	 */
	releaseAll(attachment: Attachment, before: (names: readonly string[]) => void = () => {}): void {
		const { exact, legacy } = this.#holdingsOf(attachment);
		this.#removeAll(exact.length > 0 ? exact : legacy, before);
	}

	/** Releases every address that `keep` refuses, and removes the files that hold nothing. As `releaseAll`. */
	releaseUnless(keep: (holder: Holder) => boolean, before: (names: readonly string[]) => void = () => {}): void {
		const holdings: Holding[] = [];
		const empty: string[] = [];
		for (const [name, holder] of this.#read().holders) {
			if (holder === undefined) empty.push(name);
			else if (!keep(holder)) holdings.push({ name, ...holder });
		}
		this.#removeAll(holdings, before, empty);
	}

	/** The addresses that have been held since an earlier boot, as far as there is a record of that. */
	heldEarlier(): Ip[] {
		return this.#heldEarlier()
			.map(({ name }) => parseIp(name))
			.filter((ip) => ip !== undefined);
	}

	/** Releases what has been held since an earlier boot, and tells what. As `releaseAll`. */
	releaseEarlier(): string[] {
		const held = this.#heldEarlier();
		if (held.length === 0) return [];
		this.#removeAll(held, () => {});
		this.#withIndex((index) => index.setEarlier([]));
		return held.map(({ name }) => name);
	}

	#heldEarlier(): Holding[] {
		this.#look();
		const recorded = this.#withIndex((index) => index.earlier()) ?? this.#earlier();
		return recorded.filter((holding) => isSameHolder(readHolder(this.directory, holding.name), holding));
	}

	/** The address that range set `index` handed out last; undefined where none or nonsense is on record, as in Go. */
	lastReserved(index: number): Ip | undefined {
		try {
			return parseIp(readTextIfPresent(this.#path(`last_reserved_ip.${index}`)) ?? "");
		} catch (error) {
			// Only the turn is lost: the next address is the first free one.
			if (sys.isSystemError(error)) return undefined;
			throw error;
		}
	}

	/** Throws code 5. */
	setLastReserved(index: number, ip: Ip): void {
		this.#change(() => writeStoreFile(this.directory, `last_reserved_ip.${index}`, formatIp(ip)));
	}

	/** Throws code 5 when no file can be written here. */
	requireWritable(): void {
		this.#change(() => tryToWrite(this.directory));
	}

	#path(name: string): string {
		return `${this.directory}/${name}`;
	}

	/** Finds out what is held: from the index, or from the files. */
	#look(): void {
		if (this.#openIndex() === null) this.#read();
	}

	#openIndex(): Index | null {
		if (this.#index === undefined) {
			this.#mayHaveIndex = ignoreFailure(() => isAnythingBeside(this.directory)) ?? true;
			const index = this.#mayHaveIndex ? ignoreFailure(() => indexes().openIfValid(this.directory)) : undefined;
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

	/**
	 * Changes the store by `work`, then the index by `record`. Where `work` fails nobody knows what the store is like: the index is no more.
	 */
	#change(work: () => void, record: (index: Index) => void = () => {}): void {
		const index = this.#openIndex();
		this.#dropIndex();
		work();
		if (index === null) return;
		this.#index = index;
		this.#uncommitted = true;
		this.#withIndex(record);
	}

	/** Reads every file. Makes an index where it is worth it, and says nothing if it cannot: the store does without. */
	#read(): Contents {
		if (this.#contents !== undefined) return this.#contents;
		this.#dropIndex();
		const contents = readContents(this.directory);
		this.#contents = contents;
		ignoreFailure(() => this.#makeIndex(contents));
		return contents;
	}

	#makeIndex({ holders, unreadable }: Contents): void {
		const isSmall = holders.size <= MANY && !this.#keepIndex;
		if (isSmall && !this.#mayHaveIndex) return;
		const earlier = this.#earlier();
		const isWorthIt = !isSmall || earlier.length > 0;
		if (!isWorthIt || unreadable.size > 0) {
			indexes().remove(this.directory);
			return;
		}
		const holdings: Holding[] = [];
		for (const [name, holder] of holders) if (holder !== undefined) holdings.push({ name, ...holder });
		const index = indexes().build(this.directory, holdings, earlier);
		index.commit();
		this.#index = index;
	}

	/** What has been held since an earlier boot, as far as indexes on disk say and the files still do. */
	#earlier(): Holding[] {
		const { holders } = this.#read();
		const earlier = new Map<string, Holding>();
		for (const holding of indexes().earlierHoldings(this.directory)) {
			if (isSameHolder(holders.get(holding.name), holding)) earlier.set(holding.name, holding);
		}
		return [...earlier.values()];
	}

	/** The address is about to be held anew. */
	#forgetEarlier(name: string): void {
		this.#withIndex((index) => {
			const earlier = index.earlier();
			const others = earlier.filter((holding) => holding.name !== name);
			if (others.length < earlier.length) index.setEarlier(others);
		});
	}

	#holdingsOf(attachment: Attachment): { exact: Holding[]; legacy: Holding[] } {
		this.#look();
		const { containerId } = attachment;
		const indexed = this.#withIndex((index) => index.holdingsOf(containerId));
		// The index is right unless somebody has edited a file.
		if (indexed?.every((holding) => isSameHolder(readHolder(this.directory, holding.name), holding))) {
			return split(indexed, attachment);
		}
		const holdings: Holding[] = [];
		for (const [name, holder] of this.#read().holders) {
			if (holder?.containerId === containerId) holdings.push({ name, ...holder });
		}
		return split(holdings, attachment);
	}

	#remove(holding: Holding): void {
		this.#change(
			() => removeIfPresent(this.#path(holding.name)),
			(index) => index.remove(holding),
		);
		this.#contents?.holders.delete(holding.name);
	}

	/** Removes these files and what a killed process left. Throws code 5 for what could not be removed or read. */
	#removeAll(
		holdings: readonly Holding[],
		before: (names: readonly string[]) => void,
		others: readonly string[] = [],
	): void {
		const failures = [...(this.#contents?.unreadable.values() ?? [])];
		const attempt = (remove: () => void): void => {
			try {
				remove();
			} catch (error) {
				failures.push(sentenceOf(error));
			}
		};
		if (holdings.length > 0) before(holdings.map(({ name }) => name));
		for (const holding of holdings) attempt(() => this.#remove(holding));
		for (const name of others) attempt(() => this.#change(() => removeIfPresent(this.#path(name))));
		attempt(() => this.#change(() => removeTemporary(this.directory)));
		if (failures.length === 0) return;
		throw new CniError(Code.io, `addresses in ${this.directory} may still be held: ${failures.join("; ")}`);
	}
}

function attachmentOf({ containerId, ifName }: Attachment): Attachment {
	return { containerId, ifName };
}

function isSameHolder(holder: Holder | undefined, { containerId, ifName }: Holder): boolean {
	return holder?.containerId === containerId && holder.ifName === ifName;
}

function split(holdings: readonly Holding[], { ifName }: Attachment): { exact: Holding[]; legacy: Holding[] } {
	return {
		exact: holdings.filter((holding) => holding.ifName === ifName),
		legacy: holdings.filter((holding) => holding.ifName === undefined),
	};
}

/** What `work` returns; undefined where a system call of it failed. */
function ignoreFailure<T>(work: () => T): T | undefined {
	try {
		return work();
	} catch (error) {
		sentenceOf(error);
		return undefined;
	}
}

/** Takes the lock on `path`. Throws SystemError, or code 11. */
function acquire(path: string): Lock {
	const lock = Lock.acquire(path, { deadlineMs: LOCK_DEADLINE_MS, mode: 0o750 });
	if (lock !== undefined) return lock;
	const seconds = LOCK_DEADLINE_MS / 1000;
	throw new CniError(
		Code.tryAgain,
		`cannot lock ${path} within ${seconds} s: another process holds it`,
		"`fuser -v` with that path lists the processes that have it open",
	);
}
