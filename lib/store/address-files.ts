/**
 * The files of a store: what they are called, how they are read, and how they are written so that each is there whole
 * or not at all.
 */
import { CniError, Code } from "../cni/error.ts";
import { parseIp } from "../ip/address.ts";
import { isNoFile, readTextIfPresent, removeIfPresent, requireWritable } from "../sys/files.ts";
import * as sys from "../sys/sys.ts";
import { type Content, type FileContent, parseOwner } from "./owner.ts";

/**
 * Where an address file is written before it gets its name. One is enough, since only the owner of the lock writes;
 * what a killed process left is removed. Go hands out no address for it, and removes it with those of its container.
 */
const TEMPORARY = ".berth.tmp";

/**
 * The private state directory of a store: what the Go plugin knows nothing of, outside of the store, which it walks. A
 * network's name begins with a letter or a digit: this is none.
 */
export function privateDirectory(store: string): string {
	const name = store.lastIndexOf("/") + 1;
	return `${store.slice(0, name)}.berth/${store.slice(name)}`;
}

/** What the address files say. */
export interface Contents {
	/** By name of the file. */
	readonly owners: Map<string, FileContent>;
	/** Names of the files that could not be read, with the reason: they hold an address, but nobody knows whose. */
	readonly unreadable: Map<string, string>;
}

/** What the file of an address says; "foreign" where it cannot be read: a name that is taken is an address that is. */
export function readOwner(directory: string, name: string): Content {
	try {
		const text = readTextIfPresent(`${directory}/${name}`);
		return text === undefined ? undefined : parseOwner(text);
	} catch (error) {
		sentenceOf(error);
		return "foreign";
	}
}

/** Reads every address file. Throws SystemError when the directory cannot be listed. */
export function readContents(directory: string): Contents {
	const contents: Contents = { owners: new Map(), unreadable: new Map() };
	for (const name of sys.readDirectory(directory).filter(isAddressName)) {
		try {
			const text = readTextIfPresent(`${directory}/${name}`);
			if (text !== undefined) contents.owners.set(name, parseOwner(text));
		} catch (error) {
			// What is no file, such as a directory, is nobody's address, but its name is taken.
			if (isNoFile(error)) contents.owners.set(name, "foreign");
			else contents.unreadable.set(name, sentenceOf(error));
		}
	}
	return contents;
}

/**
 * Makes the file of an address: it is there whole, or not at all. Never replaces one: false where the address is taken.
 * (The lock should keep others out; but people remove lock files.) With `mayFill` one that is blank is filled. Throws
 * code 5.
 */
export function makeAddressFile(directory: string, name: string, text: string, mayFill: boolean): boolean {
	const path = `${directory}/${name}`;
	return attempt(directory, path, () => {
		const temporary = `${directory}/${TEMPORARY}`;
		const fd = createAnew(temporary);
		let isMade = false;
		try {
			try {
				sys.write(fd, text);
				// This very file: by now another may have the temporary name.
				isMade = sys.linkFd(fd, sys.AT_FDCWD, path);
				removeTemporary(directory);
			} finally {
				sys.close(fd);
			}
			return isMade || (mayFill && fillBlank(path, text));
		} catch (error) {
			if (isMade) removeIfPresent(path);
			throw error;
		}
	});
}

/**
 * Writes into a file that holds nothing. It keeps its place, and its own lock keeps a second one out that has seen the
 * same; false where somebody else has that lock.
 */
function fillBlank(path: string, text: string): boolean {
	const fd = sys.openat(sys.AT_FDCWD, path, sys.O_RDONLY | sys.O_NONBLOCK, 0);
	try {
		if (!sys.flock(fd, sys.LOCK_EX, 0) || !sys.isSameFile(fd, path)) return false;
		if (parseOwner(readTextIfPresent(path) ?? "?") !== "blank") return false;
		writing(path, sys.O_TRUNC, (file) => sys.write(file, text));
		return true;
	} finally {
		sys.close(fd);
	}
}

/** Replaces what a file says. Where that is cut short the turn is lost, as in Go. Throws code 5. */
export function writeStoreFile(directory: string, name: string, text: string): void {
	const path = `${directory}/${name}`;
	attempt(directory, path, () => writing(path, sys.O_TRUNC, (fd) => sys.write(fd, text)));
}

/** Throws code 5 when no file can be written. */
export function tryToWrite(directory: string): void {
	attempt(directory, `${directory}/.status`, () => requireWritable(directory));
}

/** Removes what a killed process may have left. Throws SystemError. */
export function removeTemporary(directory: string): void {
	removeIfPresent(`${directory}/${TEMPORARY}`);
}

/** Runs `work`, which writes `path`. Where it fails nothing temporary stays, and code 5 is thrown. */
function attempt<T>(directory: string, path: string, work: () => T): T {
	try {
		return work();
	} catch (error) {
		const reason = sentenceOf(error);
		// The first error is the one to tell; what stays is removed by the next write.
		sys.failureOf(() => removeTemporary(directory));
		throw new CniError(Code.io, `cannot write ${path}: ${reason}`);
	}
}

/**
 * Makes a file and opens it for writing; one that is there is removed first, and not written into: whose it is nobody
 * knows.
 */
function createAnew(path: string): number {
	const flags = sys.O_WRONLY | sys.O_CREAT | sys.O_EXCL;
	try {
		return sys.openat(sys.AT_FDCWD, path, flags, 0o600);
	} catch (error) {
		if (!sys.isSystemError(error, "EEXIST") || !removeIfPresent(path)) throw error;
		return sys.openat(sys.AT_FDCWD, path, flags, 0o600);
	}
}

/** Opens a file, which is made where it is missing, for `write`. `how`: O_TRUNC or O_APPEND. */
export function writing<T>(path: string, how: number, write: (fd: number) => T): T {
	const fd = sys.openat(sys.AT_FDCWD, path, sys.O_WRONLY | sys.O_CREAT | sys.O_NONBLOCK | how, 0o600);
	try {
		return write(fd);
	} finally {
		sys.close(fd);
	}
}

/** Whether a file of this name holds an address. Exact for IPv6; what else looks like IPv4 is nobody's. */
function isAddressName(name: string): boolean {
	return IPV4_NAME.test(name) || (name.includes(":") && parseIp(name) !== undefined);
}

const IPV4_NAME = /^[0-9]{1,3}(?:\.[0-9]{1,3}){3}$/;

/** The sentence of a failed system call; anything else that was thrown is a bug and goes on its way. */
export function sentenceOf(error: unknown): string {
	if (sys.isSystemError(error)) return error.message;
	throw error;
}
