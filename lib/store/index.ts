/**
 * The index of a store: what the address files say, arranged so that ADD and DEL need to look at a few small files
 * however many addresses are allocated. The store stays the truth and does not know of it: the Go plugin walks the
 * store, so the index lies outside, in `<dataDir>/.berth/<network>/<boot>/`. Everything in it may be removed at any
 * time.
 *
 * It is valid while the store's directory is as we left it: it has the time of change (mtime) that we gave it, a random
 * one of the past, and the time of status change (ctime) that the kernel gave it then, which nobody can set. Both are
 * in the file `token` of the index, written last of all. Any change of the directory by anyone (an address file made or
 * removed) gives it the time of now, also when it comes in the same tick of the clock as ours, and when we are killed
 * half-way; and a directory that comes back from a backup with its mtime has another ctime. Address files do not change
 * while they are there. The directory of the boot, because after a power failure files may be older than times.
 *
 * - `c<n>`, 1024 of them: lines "address container interface" of the containers whose name's hash is n. What is not in
 *   one is not allocated, so each must be the very file that we wrote: `token` has a mark of each, made of its inode,
 *   size and ctime.
 * - `held.*`: which addresses are allocated (occupancy.ts). A hint: the address file itself is looked at before it is
 *   made.
 * - `earlier`: lines as in `c<n>` of what is allocated since an earlier boot; only where there is such.
 */
import { parseIp } from "../ip/address.ts";
import { bootId } from "../sys/boot.ts";
import {
	listIfPresent,
	makeDirectories,
	readTextIfPresent,
	removeIfPresent,
	statIfPresent,
	writeAtomic,
} from "../sys/files.ts";
import * as sys from "../sys/sys.ts";
import { privateDirectory, writing } from "./address-files.ts";
import { Occupancy } from "./occupancy.ts";
import type { Owner } from "./owner.ts";

const BUCKETS = 1024;
/**
 * The token: mtime and ctime of the store's directory in milliseconds, then the marks. In the byte order of the
 * machine.
 */
const TIMES_BYTES = 2 * 8;
const MARKS_BYTES = 4 * (BUCKETS + 1);

/** A file of the index is not the one that the index knows. */
export class StaleError extends Error {}

export interface Allocation extends Owner {
	/** Name of the address file. */
	readonly name: string;
}

/** Lines of one hash value: as they are, and whether that is already on disk. */
interface Bucket {
	lines: string;
	/** What to add at the end of the file; undefined where all of it must be written anew. */
	added: string | undefined;
}

/**
 * Every method may throw SystemError or StaleError: then the index is to be left alone, and is invalid for the next
 * call.
 */
export class Index {
	readonly #store: string;
	readonly #directory: string;
	readonly #occupancy: Occupancy;
	readonly #buckets = new Map<number, Bucket>();
	/** By number of the bucket: the mark of its file, 0 where there is none; behind them that of `earlier`. */
	readonly #marks: Uint32Array;

	private constructor(store: string, directory: string, marks?: Uint32Array) {
		this.#store = store;
		this.#directory = directory;
		this.#marks = marks ?? new Uint32Array(BUCKETS + 1);
		this.#occupancy = new Occupancy({
			// Of a new index nothing is on disk.
			read: (name) => (marks === undefined ? undefined : readBytesIfPresent(`${directory}/${name}`)),
			write: (name, page) => writeFile(`${directory}/${name}`, page),
		});
	}

	/** The index of the store in directory `store`, if there is one and it is valid. */
	static openIfValid(store: string): Index | undefined {
		const directory = `${privateDirectory(store)}/${bootId()}`;
		const token = readBytesIfPresent(`${directory}/token`);
		if (token?.length !== TIMES_BYTES + MARKS_BYTES) return undefined;
		const [mtimeMs, ctimeMs] = new Float64Array(token.buffer, token.byteOffset, 2);
		const status = statIfPresent(store);
		if (status === undefined || status.mtimeMs !== mtimeMs || status.ctimeMs !== ctimeMs) return undefined;
		return new Index(store, directory, new Uint32Array(token.buffer, token.byteOffset + TIMES_BYTES, BUCKETS + 1));
	}

	/**
	 * A new index of these allocations, in place of any other; `commit` makes it valid. `earlier`: those of earlier
	 * boots.
	 */
	static build(store: string, allocations: Iterable<Allocation>, earlier: readonly Allocation[]): Index {
		const directory = `${privateDirectory(store)}/${bootId()}`;
		removeIfPresent(`${directory}/token`);
		makeDirectories(directory, 0o700);
		const index = new Index(store, directory);
		for (const name of listIfPresent(directory) ?? []) if (name !== "earlier") removeIfPresent(`${directory}/${name}`);
		index.setEarlier(earlier);
		// What they knew has been carried over.
		for (const other of bootDirectories(store)) if (other !== directory) removeDirectory(other);
		for (const allocation of allocations) index.add(allocation);
		return index;
	}

	/**
	 * No index of the store counts any more. Returns the time that the store has now, in milliseconds. Throws
	 * SystemError.
	 */
	static invalidate(store: string): number {
		const time = pastTime();
		sys.setModified(sys.AT_FDCWD, store, time);
		return time;
	}

	/** Removes the index of the store, if there is one: what it knows of earlier boots, too. */
	static remove(store: string): void {
		for (const directory of bootDirectories(store)) removeDirectory(directory);
	}

	/**
	 * What indexes on disk, valid or not, say was allocated in an earlier boot than this one. It may be allocated no
	 * more.
	 */
	static earlierAllocations(store: string): Allocation[] {
		const directories = bootDirectories(store);
		const boot = directories.length === 0 ? "" : bootId();
		return directories.flatMap((directory) => {
			const pattern = directory.endsWith(`/${boot}`) ? /^earlier$/ : /^(earlier|c[0-9]+)$/;
			const names = (listIfPresent(directory) ?? []).filter((name) => pattern.test(name));
			return names.flatMap((name) => allocationsIn(readTextIfPresent(`${directory}/${name}`)));
		});
	}

	/** What is allocated since an earlier boot. */
	earlier(): Allocation[] {
		return allocationsIn(this.#readMarked("earlier", BUCKETS));
	}

	/** From now on nothing is allocated since an earlier boot but `allocations`. */
	setEarlier(allocations: readonly Allocation[]): void {
		const path = `${this.#directory}/earlier`;
		if (allocations.length === 0) removeIfPresent(path);
		else writeAtomic(path, allocations.map(lineOf).join(""), 0o600);
		this.#marks[BUCKETS] = markOf(statIfPresent(path));
	}

	/** What is allocated to the container, for any of its interfaces or for none in particular. */
	allocationsOf(containerId: string): Allocation[] {
		const { lines } = this.#bucket(containerId);
		const allocations: Allocation[] = [];
		// Of the three columns the container's is the one between two spaces.
		const needle = ` ${containerId} `;
		for (let at = lines.indexOf(needle); at >= 0; at = lines.indexOf(needle, at + 1)) {
			const allocation = allocationOf(lines.slice(lines.lastIndexOf("\n", at) + 1, lines.indexOf("\n", at)));
			if (allocation !== undefined) allocations.push(allocation);
		}
		return allocations;
	}

	nextFree: Occupancy["nextFree"] = (from, to) => this.#occupancy.nextFree(from, to);

	add(allocation: Allocation): void {
		const ip = parseIp(allocation.name);
		if (ip !== undefined) this.#occupancy.take(ip);
		const bucket = this.#bucket(allocation.containerId);
		const line = lineOf(allocation);
		bucket.lines += line;
		if (bucket.added !== undefined) bucket.added += line;
	}

	remove(allocation: Allocation): void {
		const ip = parseIp(allocation.name);
		if (ip !== undefined) this.#occupancy.free(ip);
		const bucket = this.#bucket(allocation.containerId);
		const all = `\n${bucket.lines}`;
		const at = all.indexOf(`\n${lineOf(allocation)}`);
		if (at < 0) return;
		bucket.lines = bucket.lines.slice(0, at) + bucket.lines.slice(at + lineOf(allocation).length);
		bucket.added = undefined;
	}

	/**
	 * Writes what has changed, and makes the index valid for the store as it is now: unless the store's lock has been
	 * taken away (`isLocked`), since then others may have changed it meanwhile.
	 */
	commit(isLocked: () => boolean): void {
		for (const [number, bucket] of this.#buckets) {
			if (bucket.added === "") continue;
			const path = `${this.#directory}/c${number}`;
			const [text, how] = bucket.added === undefined ? [bucket.lines, sys.O_TRUNC] : [bucket.added, sys.O_APPEND];
			const status = writeFile(path, text, how);
			if (status.size < bucket.lines.length) throw new StaleError(path);
			this.#marks[number] = markOf(status);
			bucket.added = "";
		}
		this.#occupancy.flush();
		const time = Index.invalidate(this.#store);
		// After the time is set: who comes in from here on changes it, be it before we read it back.
		if (!isLocked()) throw new StaleError(this.#store);
		const { mtimeMs, ctimeMs } = statIfPresent(this.#store) ?? { mtimeMs: 0, ctimeMs: 0 };
		// By seconds: not every file system keeps parts of one.
		if (Math.floor(mtimeMs / 1000) !== Math.floor(time / 1000)) throw new StaleError(this.#store);
		const token = new Uint8Array(TIMES_BYTES + MARKS_BYTES);
		new Float64Array(token.buffer, 0, 2).set([mtimeMs, ctimeMs]);
		new Uint32Array(token.buffer, TIMES_BYTES).set(this.#marks);
		writeFile(`${this.#directory}/token`, token);
	}

	/** The text of a file that is still what we wrote. Throws StaleError for another one. */
	#readMarked(name: string, number: number): string | undefined {
		if (this.#marks[number] === 0) return undefined;
		const path = `${this.#directory}/${name}`;
		if (markOf(statIfPresent(path)) !== this.#marks[number]) throw new StaleError(path);
		return readTextIfPresent(path);
	}

	#bucket(containerId: string): Bucket {
		const number = hash(containerId) % BUCKETS;
		let bucket = this.#buckets.get(number);
		if (bucket === undefined) {
			bucket = { lines: this.#readMarked(`c${number}`, number) ?? "", added: "" };
			this.#buckets.set(number, bucket);
		}
		return bucket;
	}
}

/** Directories of the indexes of the store, of this boot and of earlier ones. */
function bootDirectories(store: string): string[] {
	const directory = privateDirectory(store);
	return (listIfPresent(directory) ?? []).filter(isBootId).map((name) => `${directory}/${name}`);
}

const isBootId = (name: string): boolean => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(name);

/**
 * A time that the kernel does not give: between ten minutes and twelve days ago. Whole milliseconds, which every file
 * system that has fractions of a second keeps.
 */
function pastTime(): number {
	const [a = 0, b = 0, c = 0, d = 0] = sys.random(4);
	// A clock that begins in 1970 must not make it negative.
	return Math.abs(Math.floor(sys.realtimeMs()) - 600_000 - ((a << 22) | (b << 14) | (c << 6) | (d & 0x3f)));
}

/** What tells a file, as it is now, from any that it was or may become; never 0 for one that is there. */
function markOf(status: sys.FileStatus | undefined): number {
	return status === undefined ? 0 : hash(`${status.ino} ${status.size} ${status.ctimeMs}`) || 1;
}

/** FNV-1a. */
function hash(text: string): number {
	let hash = 0x811c9dc5;
	for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
	return hash >>> 0;
}

function lineOf({ name, containerId, ifName = "" }: Allocation): string {
	return `${name} ${containerId} ${ifName}\n`;
}

function allocationsIn(text = ""): Allocation[] {
	return text.split("\n").flatMap((line) => allocationOf(line) ?? []);
}

function allocationOf(line: string): Allocation | undefined {
	const [name, containerId, ifName] = line.split(" ");
	if (!name || !containerId || ifName === undefined) return undefined;
	return { name, containerId, ifName: ifName === "" ? undefined : ifName };
}

/** Of a page and of the token, which have less. */
const readBytesIfPresent = (path: string): Uint8Array | undefined => sys.readFileIfPresent(path, 1 << 16);

/** Returns what the file is like then. */
function writeFile(path: string, data: string | Uint8Array, how = sys.O_TRUNC): sys.FileStatus {
	return writing(path, how, (fd) => {
		sys.write(fd, data);
		return sys.fstat(fd);
	});
}

function removeDirectory(directory: string): void {
	for (const name of listIfPresent(directory) ?? []) removeIfPresent(`${directory}/${name}`);
	sys.unlinkat(sys.AT_FDCWD, directory, sys.AT_REMOVEDIR);
}
