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
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { formatIp, type Ip, parseIp } from "../../lib/ip/address.ts";
import { makeDirectories, readTextIfPresent, removeIfPresent } from "../../lib/linux/files.ts";
import { Lock } from "../../lib/linux/lock.ts";
import * as sys from "../../lib/linux/sys.ts";
import { type Attachment, formatHolder, type Holder, parseHolder } from "./holder.ts";

const LOCK_DEADLINE_MS = 60_000;

/**
 * Where a text is written before it gets its name. One such file is enough, since only the holder of the lock writes; what a
 * killed process left is overwritten by the next. Go hands out no address for it, and removes it with those of its container.
 */
const TEMPORARY = ".berth.tmp";

/** What the address files say. */
interface Contents {
	/** By name of the file; undefined for a file that holds nothing. */
	readonly holders: Map<string, Holder | undefined>;
	/** Names of the files that could not be read, with the reason: they hold an address, but nobody knows whose. */
	readonly unreadable: Map<string, string>;
}

/** The store of one network, locked until it is disposed of. What it says of addresses is read once, when first asked for. */
export class Store {
	readonly directory: string;
	readonly #lock: Lock;
	#contents: Contents | undefined;

	private constructor(directory: string, lock: Lock) {
		this.directory = directory;
		this.#lock = lock;
	}

	/** Locks the store in `directory`, which is made if missing. Throws code 5, or 11 when the lock is not to be had. */
	static open(directory: string): Store {
		try {
			return new Store(directory, acquire(`${directory}/lock`));
		} catch (error) {
			if (!sys.isSystemError(error, "ENOENT")) throw error;
			makeDirectories(directory, 0o755);
			return new Store(directory, acquire(`${directory}/lock`));
		}
	}

	/** As `open`, but makes no directory: undefined where there is none, and so nothing held. */
	static openIfPresent(directory: string): Store | undefined {
		try {
			return new Store(directory, acquire(`${directory}/lock`));
		} catch (error) {
			if (sys.isSystemError(error, "ENOENT", "ENOTDIR")) return undefined;
			throw error;
		}
	}

	[Symbol.dispose](): void {
		this.#lock.release();
	}

	/** Whom the address is held for; undefined where it is free. Reads one file. Throws code 5. */
	holderOf(ip: Ip): Holder | undefined {
		const text = readTextIfPresent(this.#path(formatIp(ip)));
		return text === undefined ? undefined : parseHolder(text);
	}

	/** Whether the address is held for anyone: a file that cannot be read holds it too. Reads every file. */
	isHeld(ip: Ip): boolean {
		const { holders, unreadable } = this.#read();
		const name = formatIp(ip);
		return holders.get(name) !== undefined || unreadable.has(name);
	}

	/** The addresses that are held for `attachment`, or for its container and no interface in particular. Reads every file. */
	addressesOf(attachment: Attachment): Ip[] {
		const { exact, legacy } = this.#filesOf(attachment);
		return [...exact, ...legacy].map(parseIp).filter((ip) => ip !== undefined);
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

	/** Number of address files, without reading any. */
	size(): number {
		return this.#list().length;
	}

	/** Holds a free address for `attachment`. Throws code 5. */
	reserve(ip: Ip, attachment: Attachment): void {
		const name = formatIp(ip);
		this.#write(name, formatHolder(attachment));
		this.#contents?.holders.set(name, attachment);
	}

	/** Throws code 5. */
	release(ip: Ip): void {
		const name = formatIp(ip);
		removeIfPresent(this.#path(name));
		this.#contents?.holders.delete(name);
	}

	/**
	 * Releases all addresses of `attachment`; where there are none, those of its container and no interface in particular.
	 * Releases what it can; throws code 5 if any file could not be read or removed, since it may still hold an address.
	 */
	releaseAll(attachment: Attachment): void {
		const { exact, legacy } = this.#filesOf(attachment);
		this.#removeFiles(exact.length > 0 ? exact : legacy);
	}

	/** Releases every address that `keep` refuses, and removes the files that hold nothing. Throws as `releaseAll`. */
	releaseUnless(keep: (holder: Holder) => boolean): void {
		const names: string[] = [];
		for (const [name, holder] of this.#read().holders) {
			if (holder === undefined || !keep(holder)) names.push(name);
		}
		this.#removeFiles(names);
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
		this.#write(`last_reserved_ip.${index}`, formatIp(ip));
	}

	/** Throws code 5 when no file can be written here. */
	requireWritable(): void {
		const path = this.#path(TEMPORARY);
		this.#attempt(path, () => {
			writeWhole(path, "\n");
			sys.unlinkat(sys.AT_FDCWD, path, 0);
		});
	}

	#path(name: string): string {
		return `${this.directory}/${name}`;
	}

	/** Names of the address files. */
	#list(): string[] {
		return sys.readDirectory(this.directory).filter(isAddressName);
	}

	#read(): Contents {
		if (this.#contents !== undefined) return this.#contents;
		const contents: Contents = { holders: new Map(), unreadable: new Map() };
		for (const name of this.#list()) {
			try {
				const text = readTextIfPresent(this.#path(name));
				if (text !== undefined) contents.holders.set(name, parseHolder(text));
			} catch (error) {
				// Also a directory: its name is taken.
				contents.unreadable.set(name, sentenceOf(error));
			}
		}
		this.#contents = contents;
		return contents;
	}

	#filesOf({ containerId, ifName }: Attachment): { exact: string[]; legacy: string[] } {
		const exact: string[] = [];
		const legacy: string[] = [];
		for (const [name, holder] of this.#read().holders) {
			if (holder?.containerId !== containerId) continue;
			if (holder.ifName === ifName) exact.push(name);
			else if (holder.ifName === undefined) legacy.push(name);
		}
		return { exact, legacy };
	}

	/** Removes these files and what a killed process left. Throws code 5 for what could not be removed or read. */
	#removeFiles(names: readonly string[]): void {
		const failures = [...this.#read().unreadable.values()];
		for (const name of [...names, TEMPORARY]) {
			try {
				removeIfPresent(this.#path(name));
			} catch (error) {
				failures.push(sentenceOf(error));
			}
		}
		if (failures.length === 0) return;
		throw new CniError(Code.io, `addresses in ${this.directory} may still be held: ${failures.join("; ")}`);
	}

	/** Makes or replaces a file: it is there whole, or not at all. Throws code 5. */
	#write(name: string, text: string): void {
		const temporary = this.#path(TEMPORARY);
		const path = this.#path(name);
		this.#attempt(path, () => {
			writeWhole(temporary, text);
			sys.renameat(sys.AT_FDCWD, temporary, sys.AT_FDCWD, path);
		});
	}

	/** Runs `work`, which writes `path` by way of the temporary file. Where it fails that is removed, and code 5 thrown. */
	#attempt(path: string, work: () => void): void {
		try {
			work();
		} catch (error) {
			const reason = sentenceOf(error);
			try {
				removeIfPresent(this.#path(TEMPORARY));
			} catch (second) {
				// The first error is the one to tell; what stays is overwritten by the next write.
				sentenceOf(second);
			}
			throw new CniError(Code.io, `cannot write ${path}: ${reason}`);
		}
	}
}

function writeWhole(path: string, text: string): void {
	const fd = sys.openat(sys.AT_FDCWD, path, sys.O_WRONLY | sys.O_CREAT | sys.O_TRUNC, 0o600);
	try {
		sys.write(fd, text);
	} finally {
		sys.close(fd);
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

/** Whether a file of this name holds an address. Exact for IPv6; what else looks like IPv4 is nobody's. */
function isAddressName(name: string): boolean {
	return IPV4_NAME.test(name) || (name.includes(":") && parseIp(name) !== undefined);
}

const IPV4_NAME = /^[0-9]{1,3}(?:\.[0-9]{1,3}){3}$/;

/** The sentence of a failed system call; anything else that was thrown is a bug and goes on its way. */
function sentenceOf(error: unknown): string {
	if (sys.isSystemError(error)) return error.message;
	throw error;
}
