/**
 * The store of the Go plugin on disk, shared with it: a directory for each network, a file for each address that is held.
 *
 * - `<address>`, mode 0600: whom it is held for (holder.ts).
 * - `last_reserved_ip.<N>`, mode 0600: the address that range set N handed out last.
 * - `lock`, mode 0750: flock(2), held while any of the others is read or written.
 *
 * Go makes an address file empty and then fills it; a kill or a full disk between the two leaves an address that Go
 * never hands out again and never releases. Here a file gets its name when its text is complete, and never replaces
 * another. An address file that is empty is free, but taken last: with the lock held nobody is about to fill it, but
 * people remove lock files. One with a text that names no container is somebody's reservation.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { formatIp, type Ip, parseIp } from "../../lib/ip/address.ts";
import { makeDirectories, readTextIfPresent, removeIfPresent } from "../../lib/sys/files.ts";
import { Lock } from "../../lib/sys/lock.ts";
import * as sys from "../../lib/sys/sys.ts";
import {
	makeAddressFile,
	readHolder,
	removeTemporary,
	sentenceOf,
	tryToWrite,
	writeStoreFile,
} from "./address-files.ts";
import { Held } from "./held.ts";
import { type Attachment, type Content, formatHolder, type Holder, isHeld } from "./holder.ts";
import { type Holding, Index } from "./index.ts";

const LOCK_DEADLINE_MS = 60_000;

/** The store of one network, locked until it is disposed of. What it says of addresses is read once, when first asked for. */
export class Store {
	readonly directory: string;
	readonly #lock: Lock;
	readonly #held: Held;

	private constructor(directory: string, lock: Lock, keepIndex: boolean) {
		this.directory = directory;
		this.#lock = lock;
		this.#held = new Held(directory, keepIndex, () => isLocked(lock));
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
		this.#held.commit();
		const isMisleading = this.#held.isChanged && !isLocked(this.#lock);
		this.#lock.release();
		if (isMisleading) invalidateIndex(this.directory);
	}

	/** What the file of the address says; "foreign" where it could not be had. Reads one file. */
	holderOf(ip: Ip): Content {
		const name = formatIp(ip);
		const content = readHolder(this.directory, name);
		return !isHeld(content) && this.#held.isRefused(name) ? "foreign" : content;
	}

	/**
	 * The first free address from `from` to `to`, both included. A file that cannot be read holds its address. With
	 * `mayBeBlank` it may have a file that says nothing: Go may be about to write it, where somebody has removed the
	 * lock.
	 */
	nextFree(from: Ip, to: Ip, mayBeBlank: boolean): Ip | undefined {
		return this.#held.nextFree(from, to, mayBeBlank);
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

	/**
	 * How many addresses that `within` accepts are held, for how many containers, and how many of them by files that name none. Reads every file.
	 */
	countHeld(within: (ip: Ip) => boolean): { addresses: number; containers: number; nameless: number } {
		const { holders, unreadable } = this.#held.contents();
		const isWithin = (name: string): boolean => {
			const ip = parseIp(name);
			return ip !== undefined && within(ip);
		};
		const containers = new Set<string>();
		let nameless = 0;
		let addresses = 0;
		for (const name of unreadable.keys()) if (isWithin(name)) nameless++;
		for (const [name, holder] of holders) {
			if (holder === "blank" || !isWithin(name)) continue;
			if (holder === "foreign") nameless++;
			else {
				addresses++;
				containers.add(holder.containerId);
			}
		}
		return { addresses: addresses + nameless, containers: containers.size, nameless };
	}

	/** Reads every file anew if only the index has been asked so far; false where what is known came from the files. */
	readAgain(): boolean {
		return this.#held.readAgain();
	}

	/**
	 * Holds a free address for `attachment`; false where it is free no more, or its file is blank without `mayBeBlank`.
	 * Throws code 5.
	 */
	reserve(ip: Ip, attachment: Attachment, mayBeBlank: boolean): boolean {
		const holding = { name: formatIp(ip), ...attachmentOf(attachment) };
		this.#held.forgetEarlierBoot([holding.name]);
		const text = formatHolder(attachment);
		return this.#held.add(holding, () => makeAddressFile(this.directory, holding.name, text, mayBeBlank));
	}

	/** Gives back an address, if it is held for `attachment`. Throws code 5. */
	release(ip: Ip, attachment: Attachment): void {
		const holder = this.holderOf(ip);
		if (typeof holder !== "object" || formatHolder(attachment) !== `${holder.containerId}\r\n${holder.ifName}`) return;
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
		const blank: string[] = [];
		for (const [name, holder] of this.#held.contents().holders) {
			if (holder === "blank") blank.push(name);
			else if (holder !== "foreign" && !keep(holder)) holdings.push({ name, ...holder });
		}
		this.#removeAll(holdings, before, blank);
	}

	/** The addresses that have been held since an earlier boot, as far as there is a record of that. */
	heldEarlier(): Ip[] {
		return this.#held
			.sinceEarlierBoot()
			.map(({ name }) => parseIp(name))
			.filter((ip) => ip !== undefined);
	}

	/** Releases what has been held since an earlier boot, and tells what. As `releaseAll`. */
	releaseEarlier(): string[] {
		const held = this.#held.sinceEarlierBoot();
		if (held.length === 0) return [];
		this.#removeAll(held, () => {});
		this.#held.forgetEarlierBoot();
		return held.map(({ name }) => name);
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
		this.#held.change(() => writeStoreFile(this.directory, `last_reserved_ip.${index}`, formatIp(ip)));
	}

	/** Throws code 5 when no file can be written here. */
	requireWritable(): void {
		this.#held.change(() => tryToWrite(this.directory));
	}

	#path(name: string): string {
		return `${this.directory}/${name}`;
	}

	#holdingsOf(attachment: Attachment): { exact: Holding[]; legacy: Holding[] } {
		return split(this.#held.holdingsOf(attachment.containerId), attachment);
	}

	#remove(holding: Holding): void {
		this.#held.remove(holding, () => removeIfPresent(this.#path(holding.name)));
	}

	/** Somebody may have filled it meanwhile, where the lock has been removed. */
	#removeBlank(name: string): void {
		if (readHolder(this.directory, name) === "blank") removeIfPresent(this.#path(name));
	}

	/** Removes these files and what a killed process left. Throws code 5 for what could not be removed or read. */
	#removeAll(
		holdings: readonly Holding[],
		before: (names: readonly string[]) => void,
		blank: readonly string[] = [],
	): void {
		const failures = this.#held.unreadable();
		const attempt = (remove: () => void): void => {
			try {
				remove();
			} catch (error) {
				failures.push(sentenceOf(error));
			}
		};
		if (holdings.length > 0) before(holdings.map(({ name }) => name));
		for (const holding of holdings) attempt(() => this.#remove(holding));
		for (const name of blank) attempt(() => this.#held.change(() => this.#removeBlank(name)));
		attempt(() => this.#held.change(() => removeTemporary(this.directory)));
		if (failures.length === 0) return;
		throw new CniError(Code.io, `addresses in ${this.directory} may still be held: ${failures.join("; ")}`);
	}
}

function attachmentOf({ containerId, ifName }: Attachment): Attachment {
	return { containerId, ifName };
}

function split(holdings: readonly Holding[], { ifName }: Attachment): { exact: Holding[]; legacy: Holding[] } {
	return {
		exact: holdings.filter((holding) => holding.ifName === ifName),
		legacy: holdings.filter((holding) => holding.ifName === undefined),
	};
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
		using _lock = acquire(`${directory}/lock`);
		Index.invalidate(directory);
	} catch (error) {
		if (!(error instanceof CniError)) sentenceOf(error);
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
