/**
 * Files of state and of sysfs: bounded reads, writes that are whole or not there.
 */
import * as sys from "./sys.ts";

/** No state file or sysfs attribute of ours comes near this; more means that the path is not what we think it is. */
const MAX_TEXT = 16 * 1024 * 1024;

/** The text of a file. Throws SystemError (EFBIG above 16 MiB). */
export function readText(path: string): string {
	return sys.decodeUtf8(sys.readFile(path, MAX_TEXT));
}

/** The text of a file, or undefined where there is none (ENOENT, ENOTDIR). */
export function readTextIfPresent(path: string): string | undefined {
	const bytes = sys.readFileIfPresent(path, MAX_TEXT);
	return bytes && sys.decodeUtf8(bytes);
}

/** The text of a file of one line, without the newline at its end: sysfs attributes, sysctls, and paths in files. */
export const readLine = (path: string): string => withoutNewline(readText(path));

/** The same, or undefined where there is no such file. */
export function readLineIfPresent(path: string): string | undefined {
	const text = readTextIfPresent(path);
	return text === undefined ? undefined : withoutNewline(text);
}

/** Nothing else is taken off: a name may begin or end with what JavaScript takes for white space. */
export const withoutNewline = (text: string): string => (text.endsWith("\n") ? text.slice(0, -1) : text);

/** The same, and undefined for what is no regular file: a directory, a FIFO, a socket, a link in a circle. */
export function readTextIfFile(path: string): string | undefined {
	try {
		return readTextIfPresent(path);
	} catch (error) {
		if (isNoFile(error)) return undefined;
		throw error;
	}
}

/** Whether a file could not be read because it is none. */
export const isNoFile = (error: unknown): error is sys.SystemError =>
	sys.isSystemError(error, "EISDIR", "ENXIO", "ELOOP");

/** Directory entries without "." and "..", sorted by code unit, or undefined where there is no such directory. */
export function listIfPresent(path: string): string[] | undefined {
	return sys.readDirectoryIfPresent(path)?.sort();
}

/** Target of a symbolic link, or undefined where there is none. */
export function readLinkIfPresent(path: string): string | undefined {
	return sys.readlinkIfPresent(sys.AT_FDCWD, path);
}

export function statIfPresent(path: string): sys.FileStatus | undefined {
	return sys.statat(sys.AT_FDCWD, path, true);
}

/** Removes a file; false where there was none, but a directory perhaps, which is none of ours. */
export function removeIfPresent(path: string): boolean {
	try {
		return sys.unlinkat(sys.AT_FDCWD, path, 0);
	} catch (error) {
		if (sys.isSystemError(error, "ENOTDIR", "EISDIR")) return false;
		throw error;
	}
}

/** Gives a file another name, which replaces one that has it; false where there is none. */
export function renameIfPresent(from: string, to: string): boolean {
	const rename = (): void => sys.renameat(sys.AT_FDCWD, from, sys.AT_FDCWD, to);
	return sys.failureOf(rename, "ENOENT", "ENOTDIR") === undefined;
}

/** Makes a directory and its parents. `mode` holds for those that are made; existing ones stay as they are. */
export function makeDirectories(path: string, mode: number): void {
	// Nearly always it is there, and an errno that is thrown costs more than a system call.
	if (isDirectory(path)) return;
	try {
		makeDirectory(path, mode);
	} catch (error) {
		const slash = path.lastIndexOf("/");
		if (!sys.isSystemError(error, "ENOENT") || slash <= 0) throw error;
		makeDirectories(path.slice(0, slash), mode);
		// Once: below /proc the answer is ENOENT for ever.
		makeDirectory(path, mode);
	}
}

function makeDirectory(path: string, mode: number): void {
	try {
		sys.mkdirat(sys.AT_FDCWD, path, mode);
	} catch (error) {
		if (!sys.isSystemError(error, "EEXIST") || !isDirectory(path)) throw error;
	}
}

export const isDirectory = (path: string): boolean => sys.isDirectory(statIfPresent(path)?.mode ?? 0);

/**
 * Replaces a file in one step: readers see the old text or the new one, also after a crash or a power failure.
 * The directory is not synced: what our state describes (devices, containers) does not outlive the kernel either.
 *
 * The text is written to `temporary` first, on the same file system, which is removed when anything fails. Its name is
 * always the same, so that what a killed process leaves is found: the caller holds a lock, or is the only one who
 * writes this file.
 */
export function writeAtomic(path: string, text: string, mode: number, temporary = temporaryOf(path)): void {
	replace(path, text, mode, temporary, sys.fsync);
}

/**
 * As `writeAtomic` for what nobody reads after the next boot: no disk is waited for, and after a power failure the file
 * may be empty.
 */
export function writeUntilBoot(path: string, text: string, mode: number): void {
	replace(path, text, mode, temporaryOf(path), () => {});
}

function replace(path: string, text: string, mode: number, temporary: string, sync: (fd: number) => void): void {
	try {
		writeFile(temporary, text, mode, sync);
		sys.renameat(sys.AT_FDCWD, temporary, sys.AT_FDCWD, path);
	} catch (error) {
		removeIfPresent(temporary);
		throw error;
	}
}

/**
 * As `writeAtomic`, but never replaces a file: false, and nothing is left, where there is one, or anything else of that
 * name.
 */
export function writeNew(path: string, text: string, mode: number, temporary: string): boolean {
	let isNew = false;
	try {
		writeFile(temporary, text, mode, sys.fsync);
		isNew = sys.renameNew(sys.AT_FDCWD, temporary, sys.AT_FDCWD, path);
	} finally {
		if (!isNew) removeIfPresent(temporary);
	}
	return isNew;
}

function writeFile(path: string, text: string, mode: number, sync: (fd: number) => void): void {
	const fd = sys.openat(sys.AT_FDCWD, path, sys.O_WRONLY | sys.O_CREAT | sys.O_TRUNC | sys.O_NONBLOCK, mode);
	writeAndClose(fd, path, () => {
		sys.write(fd, text);
		sync(fd);
	});
}

/** Removes what `writeAtomic` wrote, or began to write before it was killed. */
export function removeWritten(path: string, temporary = temporaryOf(path)): void {
	removeIfPresent(path);
	removeIfPresent(temporary);
}

/** Removes what `writeAtomic` left of itself when it was killed. */
export function removeTemporary(path: string): void {
	removeIfPresent(temporaryOf(path));
}

/** `<directory>/.<name>.tmp`: where what is to become the file at `path` is written first. */
export function temporaryOf(path: string): string {
	const slash = path.lastIndexOf("/");
	const directory = slash < 0 ? "." : path.slice(0, slash);
	return `${directory}/.${path.slice(slash + 1)}.tmp`;
}

/** Throws SystemError where no file can be written in `directory`: a read-only or full file system, no permission. */
export function requireWritable(directory: string): void {
	// One name for all that look at the same time, and nothing that they could disturb.
	const path = `${directory}/.status`;
	const fd = sys.openat(sys.AT_FDCWD, path, sys.O_WRONLY | sys.O_CREAT | sys.O_TRUNC | sys.O_NONBLOCK, 0o600);
	try {
		// Where the file system is full there may still be room for a name, but not for a byte.
		writeAndClose(fd, path, () => sys.write(fd, "\n"));
	} finally {
		removeIfPresent(path);
	}
}

/** Runs `write` and closes `fd`. What the kernel says of a descriptor names no file: it is given that of `path`. */
function writeAndClose(fd: number, path: string, write: () => void): void {
	try {
		try {
			write();
		} finally {
			sys.close(fd);
		}
	} catch (error) {
		if (!sys.isSystemError(error)) throw error;
		const reason = error.message.slice(error.call.length);
		throw Object.assign(error, { path, message: `${error.call} ${path}${reason}` });
	}
}

/** Writes to a file that exists, in one write: sysfs attributes and sysctls. */
export function writeExisting(path: string, text: string): void {
	const fd = sys.openat(sys.AT_FDCWD, path, sys.O_WRONLY, 0);
	try {
		sys.write(fd, text);
	} finally {
		sys.close(fd);
	}
}
