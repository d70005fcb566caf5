/**
 * The index beside a store: what the address files say, arranged so that ADD and DEL need to look at a few small files however many
 * addresses are held. The store stays the truth and does not know of it: the Go plugin walks the store, so the index lies outside,
 * in `<dataDir>/.berth/<network>/<boot>/`. Everything in it may be removed at any time.
 *
 * It is valid while the store's folder has the time of change that we gave it. That is a random one of the past, which we also give
 * the file `token` of the index, last of all: any change of the folder by anyone (an address file made or removed) gives it the
 * time of now, also when it comes in the same tick of the clock as ours, and when we are killed half-way. Address files do not
 * change while they are there. The folder of the boot, because after a power failure files may be older than times.
 *
 * - `c<n>`, 1024 of them: lines "address container interface" of the containers whose name's hash is n.
 * - `held.*`: which addresses are held (occupancy.ts).
 * - `earlier`: lines as in `c<n>` of what is held since an earlier boot; only where there is such.
 */
import { parseIp } from "../../lib/ip/address.ts";
import { bootId } from "../../lib/sys/boot.ts";
import {
	listIfPresent,
	makeDirectories,
	readTextIfPresent,
	removeIfPresent,
	statIfPresent,
	writeAtomic,
} from "../../lib/sys/files.ts";
import * as sys from "../../lib/sys/sys.ts";
import type { Holder } from "./holder.ts";
import { Occupancy } from "./occupancy.ts";
import { privateDirectory } from "./private-directory.ts";

const BUCKETS = 1024;

export interface Holding extends Holder {
	/** Name of the address file. */
	readonly name: string;
}

/** Lines of one hash value: as they are, and whether that is already on disk. */
interface Bucket {
	lines: string;
	/** What to add at the end of the file; undefined where all of it must be written anew. */
	added: string | undefined;
}

/** Every method may throw SystemError: then the index is to be left alone, and is invalid for the next call. */
export class Index {
	readonly #store: string;
	readonly #folder: string;
	readonly #occupancy: Occupancy;
	readonly #buckets = new Map<number, Bucket>();
	/** New: what is on disk is not to be read. */
	readonly #fresh: boolean;

	private constructor(store: string, folder: string, fresh: boolean) {
		this.#store = store;
		this.#folder = folder;
		this.#fresh = fresh;
		this.#occupancy = new Occupancy({
			read: (name) => (fresh ? undefined : readBytesIfPresent(`${folder}/${name}`)),
			write: (name, page) => writeFile(`${folder}/${name}`, page),
		});
	}

	/** The index of the store in folder `store`, if there is one and it is valid. */
	static openIfValid(store: string): Index | undefined {
		const folder = `${privateDirectory(store)}/${bootId()}`;
		const token = statIfPresent(`${folder}/token`);
		if (token === undefined || token.mtimeMs !== statIfPresent(store)?.mtimeMs) return undefined;
		return new Index(store, folder, false);
	}

	/** A new index of these holdings, in place of any other; `commit` makes it valid. `earlier`: those of earlier boots. */
	static build(store: string, holdings: Iterable<Holding>, earlier: readonly Holding[]): Index {
		const parent = privateDirectory(store);
		const folder = `${parent}/${bootId()}`;
		removeIfPresent(`${folder}/token`);
		makeDirectories(folder, 0o700);
		const index = new Index(store, folder, true);
		for (const name of listIfPresent(folder) ?? []) if (name !== "earlier") removeIfPresent(`${folder}/${name}`);
		index.setEarlier(earlier);
		// What they knew has been carried over.
		for (const other of bootFolders(store)) if (other !== folder) removeFolder(other);
		for (const holding of holdings) index.add(holding);
		return index;
	}

	/** Removes the index of the store, if there is one: what it knows of earlier boots, too. */
	static remove(store: string): void {
		for (const folder of bootFolders(store)) removeFolder(folder);
	}

	/** What indexes on disk, valid or not, say was held in an earlier boot than this one. It may be held no more. */
	static earlierHoldings(store: string): Holding[] {
		const holdings: Holding[] = [];
		const folders = bootFolders(store);
		const boot = folders.length === 0 ? "" : bootId();
		for (const folder of folders) {
			const isOfNow = folder.endsWith(`/${boot}`);
			for (const name of listIfPresent(folder) ?? []) {
				if (name !== "earlier" && (isOfNow || !isBucketName(name))) continue;
				holdings.push(...holdingsIn(readTextIfPresent(`${folder}/${name}`)));
			}
		}
		return holdings;
	}

	/** What is held since an earlier boot. */
	earlier(): Holding[] {
		return holdingsIn(readTextIfPresent(`${this.#folder}/earlier`));
	}

	/** From now on nothing is held since an earlier boot but `holdings`. */
	setEarlier(holdings: readonly Holding[]): void {
		const path = `${this.#folder}/earlier`;
		if (holdings.length === 0) removeIfPresent(path);
		else writeAtomic(path, holdings.map(lineOf).join(""), 0o600);
	}

	/** What is held for the container, for any of its interfaces or for none in particular. */
	holdingsOf(containerId: string): Holding[] {
		const { lines } = this.#bucket(containerId);
		const holdings: Holding[] = [];
		// Of the three columns the container's is the one between two spaces.
		const needle = ` ${containerId} `;
		for (let at = lines.indexOf(needle); at >= 0; at = lines.indexOf(needle, at + 1)) {
			const holding = holdingOf(lines.slice(lines.lastIndexOf("\n", at) + 1, lines.indexOf("\n", at)));
			if (holding !== undefined) holdings.push(holding);
		}
		return holdings;
	}

	nextFree: Occupancy["nextFree"] = (from, to) => this.#occupancy.nextFree(from, to);

	add(holding: Holding): void {
		const ip = parseIp(holding.name);
		if (ip !== undefined) this.#occupancy.hold(ip);
		const bucket = this.#bucket(holding.containerId);
		const line = lineOf(holding);
		bucket.lines += line;
		if (bucket.added !== undefined) bucket.added += line;
	}

	remove(holding: Holding): void {
		const ip = parseIp(holding.name);
		if (ip !== undefined) this.#occupancy.free(ip);
		const bucket = this.#bucket(holding.containerId);
		const all = `\n${bucket.lines}`;
		const at = all.indexOf(`\n${lineOf(holding)}`);
		if (at < 0) return;
		bucket.lines = bucket.lines.slice(0, at) + bucket.lines.slice(at + lineOf(holding).length);
		bucket.added = undefined;
	}

	/** Writes what has changed, and makes the index valid for the store as it is now. To be called with the store's lock held. */
	commit(): void {
		for (const [number, bucket] of this.#buckets) {
			const path = `${this.#folder}/c${number}`;
			if (bucket.added === undefined) writeFile(path, bucket.lines);
			else if (bucket.added !== "") writeFile(path, bucket.added, sys.O_APPEND);
			bucket.added = "";
		}
		this.#occupancy.flush();
		const token = pastTime();
		const path = `${this.#folder}/token`;
		if (this.#fresh) {
			// Never there with the time of now, which the store may have, too.
			writeFile(`${path}.new`, "");
			sys.setModified(sys.AT_FDCWD, `${path}.new`, token);
			sys.renameat(sys.AT_FDCWD, `${path}.new`, sys.AT_FDCWD, path);
		} else {
			sys.setModified(sys.AT_FDCWD, path, token);
		}
		sys.setModified(sys.AT_FDCWD, this.#store, token);
	}

	#bucket(containerId: string): Bucket {
		const number = hash(containerId) % BUCKETS;
		let bucket = this.#buckets.get(number);
		if (bucket === undefined) {
			const lines = this.#fresh ? "" : (readTextIfPresent(`${this.#folder}/c${number}`) ?? "");
			bucket = { lines, added: "" };
			this.#buckets.set(number, bucket);
		}
		return bucket;
	}
}

/** Folders of the indexes of the store, of this boot and of earlier ones. */
function bootFolders(store: string): string[] {
	const folder = privateDirectory(store);
	return (listIfPresent(folder) ?? []).filter(isBootId).map((name) => `${folder}/${name}`);
}

const isBootId = (name: string): boolean => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(name);
const isBucketName = (name: string): boolean => /^c[0-9]+$/.test(name);

/**
 * A time that the kernel does not give: between ten minutes and twelve days ago. Whole milliseconds, which every file system that has
 * fractions of a second keeps.
 */
function pastTime(): number {
	const [a = 0, b = 0, c = 0, d = 0] = sys.random(4);
	// A clock that begins in 1970 must not make it negative.
	return Math.abs(Math.floor(sys.realtimeMs()) - 600_000 - ((a << 22) | (b << 14) | (c << 6) | (d & 0x3f)));
}

/** FNV-1a. */
function hash(text: string): number {
	let hash = 0x811c9dc5;
	for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
	return hash >>> 0;
}

function lineOf({ name, containerId, ifName = "" }: Holding): string {
	return `${name} ${containerId} ${ifName}\n`;
}

function holdingsIn(text = ""): Holding[] {
	return text.split("\n").flatMap((line) => holdingOf(line) ?? []);
}

function holdingOf(line: string): Holding | undefined {
	const [name, containerId, ifName] = line.split(" ");
	if (!name || !containerId || ifName === undefined) return undefined;
	return { name, containerId, ifName: ifName === "" ? undefined : ifName };
}

function readBytesIfPresent(path: string): Uint8Array | undefined {
	try {
		return sys.readFile(path, 1 << 16);
	} catch (error) {
		if (sys.isSystemError(error, "ENOENT")) return undefined;
		throw error;
	}
}

function writeFile(path: string, data: string | Uint8Array, how = sys.O_TRUNC): void {
	const fd = sys.openat(sys.AT_FDCWD, path, sys.O_WRONLY | sys.O_CREAT | how, 0o600);
	try {
		sys.write(fd, data);
	} finally {
		sys.close(fd);
	}
}

function removeFolder(folder: string): void {
	for (const name of listIfPresent(folder) ?? []) removeIfPresent(`${folder}/${name}`);
	sys.unlinkat(sys.AT_FDCWD, folder, sys.AT_REMOVEDIR);
}
