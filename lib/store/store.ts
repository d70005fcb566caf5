/**
 * The store of the Go plugin on disk, shared with it: a directory for each network, a file for each address that is
 * allocated.
 *
 * - `<address>`, mode 0600: whom it is allocated to (owner.ts).
 * - `last_reserved_ip.<N>`, mode 0600: the address that range set N handed out last.
 * - `lock`, mode 0750: flock(2), held while any of the others is read or written.
 *
 * Go makes an address file empty and then fills it; a kill or a full disk between the two leaves an address that Go
 * never hands out again and never releases. Here a file gets its name when its text is complete, and never replaces
 * another. An address file that is empty is free, but taken last: with the lock held nobody is about to fill it, but
 * people remove lock files. One with a text that names no container is somebody's reservation.
 */
import { CniError, Code } from "../cni/error.ts";
import { formatIp, type Ip, parseIp } from "../ip/address.ts";
import { takeLock } from "../plugin/verb-lock.ts";
import { makeDirectories, readTextIfPresent, removeIfPresent } from "../sys/files.ts";
import type { Lock } from "../sys/lock.ts";
import * as sys from "../sys/sys.ts";
import {
	makeAddressFile,
	readOwner,
	removeTemporary,
	sentenceOf,
	tryToWrite,
	writeStoreFile,
} from "./address-files.ts";
import { Allocations } from "./allocations.ts";
import { cooldownOf, type Released } from "./cooldown.ts";
import { type Allocation, Index } from "./index.ts";
import { type Attachment, type Content, formatOwner, isAllocated, type Owner } from "./owner.ts";

/** How a store is kept. */
interface StoreSettings {
	/** Milliseconds before a released address is handed out again. */
	readonly reuseDelayMs?: number;
	/** There is an index however few addresses are allocated, since it tells in which boot they were. */
	readonly reclaimAfterReboot?: boolean;
}

/**
 * The store of one network, locked until it is disposed of. What it says of addresses is read once, when first asked
 * for.
 */
export class Store {
	readonly directory: string;
	readonly #lock: Lock;
	readonly #allocations: Allocations;
	readonly #reuseDelayMs: number;
	#cooldown: Released | undefined;

	private constructor(directory: string, { reuseDelayMs = 0, reclaimAfterReboot = false }: StoreSettings) {
		const lock = lockStore(directory);
		this.directory = directory;
		this.#lock = lock;
		this.#allocations = new Allocations(directory, reclaimAfterReboot, () => isLocked(lock));
		this.#reuseDelayMs = reuseDelayMs;
	}

	/** Locks the store in `directory`, which is made if missing. Throws code 5, or 11: the lock is not to be had. */
	static open(directory: string, settings: StoreSettings = {}): Store {
		try {
			return new Store(directory, settings);
		} catch (error) {
			if (!sys.isSystemError(error, "ENOENT")) throw error;
			makeDirectories(directory, 0o755);
			return new Store(directory, settings);
		}
	}

	/** As `open`, but makes no directory: undefined where there is none, and so nothing allocated. */
	static openIfPresent(directory: string, settings: StoreSettings = {}): Store | undefined {
		try {
			return new Store(directory, settings);
		} catch (error) {
			if (sys.isSystemError(error, "ENOENT", "ENOTDIR")) return undefined;
			throw error;
		}
	}

	/** Which addresses are still to wait after their release. */
	get cooldown(): Released {
		this.#cooldown ??= cooldownOf(this.directory, this.#reuseDelayMs);
		return this.#cooldown;
	}

	[Symbol.dispose](): void {
		this.#allocations.commit();
		const isMisleading = this.#allocations.isChanged && !isLocked(this.#lock);
		this.#lock.release();
		if (isMisleading) invalidateIndex(this.directory);
	}

	/** What the file of the address says; "foreign" where it could not be had. Reads one file. */
	ownerOf(ip: Ip): Content {
		const name = formatIp(ip);
		const content = readOwner(this.directory, name);
		return !isAllocated(content) && this.#allocations.isRefused(name) ? "foreign" : content;
	}

	/**
	 * The first free address from `from` to `to`, both included. A file that cannot be read keeps its address. With
	 * `mayBeBlank` it may have a file that says nothing: Go may be about to write it, where somebody has removed the
	 * lock.
	 */
	nextFree(from: Ip, to: Ip, mayBeBlank: boolean): Ip | undefined {
		return this.#allocations.nextFree(from, to, mayBeBlank);
	}

	/**
	 * The addresses that are allocated to `attachment`, or for its container and no interface in particular; in the
	 * order of their files, in which Go looks at them and names the first.
	 */
	addressesOf(attachment: Attachment): Ip[] {
		const names = this.#allocationsOf(attachment).map(({ name }) => name);
		return names.sort().flatMap((name) => parseIp(name) ?? []);
	}

	/**
	 * How many addresses that `within` accepts are allocated, for how many containers, and how many of them by files
	 * that name none. Reads every file.
	 */
	countAllocated(within: (ip: Ip) => boolean): { addresses: number; containers: number; nameless: number } {
		const { owners, unreadable } = this.#allocations.contents();
		const isWithin = (name: string): boolean => {
			const ip = parseIp(name);
			return ip !== undefined && within(ip);
		};
		const containers = new Set<string>();
		let nameless = 0;
		let addresses = 0;
		for (const name of unreadable.keys()) if (isWithin(name)) nameless++;
		for (const [name, owner] of owners) {
			if (owner === "blank" || !isWithin(name)) continue;
			if (owner === "foreign") nameless++;
			else {
				addresses++;
				containers.add(owner.containerId);
			}
		}
		return { addresses: addresses + nameless, containers: containers.size, nameless };
	}

	/** Every address that is allocated to a container, with its owner. Reads every file. */
	allocated(): { readonly ip: Ip; readonly owner: Owner }[] {
		return [...this.#allocations.contents().owners].flatMap(([name, owner]) => {
			const ip = parseIp(name);
			return ip === undefined || typeof owner !== "object" ? [] : [{ ip, owner }];
		});
	}

	/** Reads every file anew if only the index has been asked so far; false where what is known came from the files. */
	readAgain(): boolean {
		return this.#allocations.readAgain();
	}

	/**
	 * Allocates a free address to `attachment`; false where it is free no more, or its file is blank without
	 * `mayBeBlank`. Throws code 5.
	 */
	reserve(ip: Ip, attachment: Attachment, mayBeBlank: boolean): boolean {
		const { containerId, ifName } = attachment;
		const name = formatIp(ip);
		this.#allocations.forgetEarlierBoot([name]);
		const make = () => makeAddressFile(this.directory, name, formatOwner(attachment), mayBeBlank);
		return this.#allocations.add({ name, containerId, ifName }, make);
	}

	/** Gives back an address, if it is allocated to `attachment`. Throws code 5. */
	release(ip: Ip, attachment: Attachment): void {
		const owner = this.ownerOf(ip);
		if (typeof owner !== "object" || formatOwner(attachment) !== `${owner.containerId}\r\n${owner.ifName}`) return;
		this.#remove({ name: formatIp(ip), containerId: attachment.containerId, ifName: attachment.ifName });
	}

	/**
	 * Releases all addresses of `attachment`; where there are none, those of its container and no interface in
	 * particular. `before` is told of them first. Releases what it can; throws code 5 if any file could not be read or
	 * removed, since it may still hold an address.
	 */
	releaseAll(attachment: Attachment, before: (names: readonly string[]) => void = () => {}): void {
		const all = this.#allocationsOf(attachment);
		const exact = all.filter(({ ifName }) => ifName !== undefined);
		this.#removeAll(exact.length > 0 ? exact : all, before);
	}

	/** Releases every address that `keep` refuses, and removes the files that hold nothing. As `releaseAll`. */
	releaseUnless(keep: (owner: Owner) => boolean, before: (names: readonly string[]) => void = () => {}): void {
		const allocations: Allocation[] = [];
		const blank: string[] = [];
		for (const [name, owner] of this.#allocations.contents().owners) {
			if (owner === "blank") blank.push(name);
			else if (owner !== "foreign" && !keep(owner)) allocations.push({ name, ...owner });
		}
		this.#removeAll(allocations, before, blank);
	}

	/** The addresses that have been allocated since an earlier boot, as far as there is a record of that. */
	allocatedEarlier(): Ip[] {
		return this.#allocations.sinceEarlierBoot().flatMap(({ name }) => parseIp(name) ?? []);
	}

	/** Releases what has been allocated since an earlier boot, and tells what. As `releaseAll`. */
	releaseEarlier(): string[] {
		const earlier = this.#allocations.sinceEarlierBoot();
		if (earlier.length === 0) return [];
		this.#removeAll(earlier, () => {});
		this.#allocations.forgetEarlierBoot();
		return earlier.map(({ name }) => name);
	}

	/** The address that range set `index` handed out last; undefined where none or nonsense is on record, as in Go. */
	lastReserved(index: number): Ip | undefined {
		// Where it cannot be read only the turn is lost: the next address is the first free one.
		return sys.unlessFailed(() => parseIp(readTextIfPresent(this.#path(`last_reserved_ip.${index}`)) ?? ""));
	}

	/** Throws code 5. */
	setLastReserved(index: number, ip: Ip): void {
		this.#allocations.change(() => writeStoreFile(this.directory, `last_reserved_ip.${index}`, formatIp(ip)));
	}

	/** Throws code 5 when no file can be written here. */
	requireWritable(): void {
		this.#allocations.change(() => tryToWrite(this.directory));
	}

	#path(name: string): string {
		return `${this.directory}/${name}`;
	}

	/** Those of its interface, and those for its container and no interface in particular. */
	#allocationsOf({ containerId, ifName }: Attachment): Allocation[] {
		const all = this.#allocations.allocationsOf(containerId);
		return all.filter((each) => each.ifName === ifName || each.ifName === undefined);
	}

	#remove(allocation: Allocation): void {
		this.#allocations.remove(allocation, () => removeIfPresent(this.#path(allocation.name)));
	}

	/** Somebody may have filled it meanwhile, where the lock has been removed. */
	#removeBlank(name: string): void {
		if (readOwner(this.directory, name) === "blank") removeIfPresent(this.#path(name));
	}

	/** Removes these files and what a killed process left. Throws code 5 for what could not be removed or read. */
	#removeAll(
		allocations: readonly Allocation[],
		before: (names: readonly string[]) => void,
		blank: readonly string[] = [],
	): void {
		const failures = this.#allocations.unreadable();
		const attempt = (remove: () => void): void => {
			const error = sys.failureOf(remove);
			if (error !== undefined) failures.push(error.message);
		};
		if (allocations.length > 0) before(allocations.map(({ name }) => name));
		for (const allocation of allocations) attempt(() => this.#remove(allocation));
		for (const name of blank) attempt(() => this.#allocations.change(() => this.#removeBlank(name)));
		attempt(() => this.#allocations.change(() => removeTemporary(this.directory)));
		if (failures.length === 0) return;
		throw new CniError(Code.io, `addresses in ${this.directory} may still be held: ${failures.join("; ")}`);
	}
}

/** Whether the lock still keeps others out; what cannot be found out is no reason to fail when all is done. */
function isLocked(lock: Lock): boolean {
	try {
		return lock.isAtPath();
	} catch (error) {
		sentenceOf(error);
		return false;
	}
}

/**
 * For who has changed a store without its lock, which somebody had removed: whoever took the new one may have made an
 * index that does not say what has been changed. Waits for the end of that call. Where it cannot be done the files are
 * right all the same.
 */
function invalidateIndex(directory: string): void {
	try {
		using _lock = lockStore(directory);
		Index.invalidate(directory);
	} catch (error) {
		if (!(error instanceof CniError) && !sys.isSystemError(error)) throw error;
	}
}

/** Throws SystemError, or code 11. */
const lockStore = (directory: string): Lock => takeLock(`${directory}/lock`, `the addresses in ${directory}`, 0o750);
