/**
 * The locks by which verbs wait for each other.
 */
import { CniError, Code } from "../cni/error.ts";
import { makeDirectories } from "../sys/files.ts";
import { Lock } from "../sys/lock.ts";
import { describeHolder } from "../sys/lock-holder.ts";
import { isSystemError } from "../sys/sys.ts";

/** How long verbs wait for each other, as in the Go plugins. */
const DEADLINE_MS = 60_000;

/**
 * Takes the exclusive lock on `path`, whose directory is made where it is missing, for root alone. `what` is what it protects: "VF 0000:3b:02.1".
 * Throws CniError 11, with the holder's name in it, when the lock is still held after a minute.
 */
export function requireLock(path: string, what: string, deadlineMs = DEADLINE_MS): Lock {
	const lock = acquire(path, deadlineMs);
	if (lock !== undefined) return lock;
	const holder = describeHolder(path) ?? "another process";
	throw new CniError(
		Code.tryAgain,
		`time out while waiting to acquire exclusive lock on ${what}: ${holder} has held ${path} for ${deadlineMs / 1000} s`,
	);
}

/** On a node that is running the directory is there: looking first would cost a call each time. */
function acquire(path: string, deadlineMs: number): Lock | undefined {
	const options = { deadlineMs, mode: 0o600 };
	try {
		return Lock.acquire(path, options);
	} catch (error) {
		if (!isSystemError(error, "ENOENT")) throw error;
		makeDirectories(path.slice(0, path.lastIndexOf("/")), 0o700);
		return Lock.acquire(path, options);
	}
}
