/**
 * The files of a store: what they are called, how they are read, and how they are written so that each is there whole or not at all.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { parseIp } from "../../lib/ip/address.ts";
import { readTextIfPresent, removeIfPresent } from "../../lib/sys/files.ts";
import * as sys from "../../lib/sys/sys.ts";
import { type Holder, parseHolder } from "./holder.ts";

/**
 * Where a text is written before it gets its name. One such file is enough, since only the holder of the lock writes; what a
 * killed process left is overwritten by the next. Go hands out no address for it, and removes it with those of its container.
 */
const TEMPORARY = ".berth.tmp";

/** What the address files say. */
export interface Contents {
	/** By name of the file; undefined for a file that holds nothing. */
	readonly holders: Map<string, Holder | undefined>;
	/** Names of the files that could not be read, with the reason: they hold an address, but nobody knows whose. */
	readonly unreadable: Map<string, string>;
}

/** Whom the file holds its address for; undefined where there is none, or where it holds none. Throws SystemError. */
export function readHolder(directory: string, name: string): Holder | undefined {
	const text = readTextIfPresent(`${directory}/${name}`);
	return text === undefined ? undefined : parseHolder(text);
}

/** Reads every address file. Throws SystemError when the folder cannot be listed. */
export function readContents(directory: string): Contents {
	const contents: Contents = { holders: new Map(), unreadable: new Map() };
	for (const name of sys.readDirectory(directory).filter(isAddressName)) {
		try {
			const text = readTextIfPresent(`${directory}/${name}`);
			if (text !== undefined) contents.holders.set(name, parseHolder(text));
		} catch (error) {
			// Also a directory: its name is taken.
			contents.unreadable.set(name, sentenceOf(error));
		}
	}
	return contents;
}

/** Makes or replaces a file: it is there whole, or not at all. Throws code 5. */
export function writeStoreFile(directory: string, name: string, text: string): void {
	const temporary = `${directory}/${TEMPORARY}`;
	const path = `${directory}/${name}`;
	attempt(directory, path, () => {
		writeWhole(temporary, text);
		sys.renameat(sys.AT_FDCWD, temporary, sys.AT_FDCWD, path);
	});
}

/** Throws code 5 when no file can be written. */
export function tryToWrite(directory: string): void {
	const path = `${directory}/${TEMPORARY}`;
	attempt(directory, path, () => {
		writeWhole(path, "\n");
		sys.unlinkat(sys.AT_FDCWD, path, 0);
	});
}

/** Removes what a killed process may have left. Throws SystemError. */
export function removeTemporary(directory: string): void {
	removeIfPresent(`${directory}/${TEMPORARY}`);
}

/** Runs `work`, which writes `path` by way of the temporary file. Where it fails that is removed, and code 5 thrown. */
function attempt(directory: string, path: string, work: () => void): void {
	try {
		work();
	} catch (error) {
		const reason = sentenceOf(error);
		try {
			removeTemporary(directory);
		} catch (second) {
			// The first error is the one to tell; what stays is overwritten by the next write.
			sentenceOf(second);
		}
		throw new CniError(Code.io, `cannot write ${path}: ${reason}`);
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
