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
 * Takes the exclusive lock on `path`, a file that is made with `mode` where it is missing. `what` is what it
 * protects: "VF 0000:3b:02.1". Throws CniError 11, with the owner's name in it, when the lock is another's after a
 * minute; SystemError (ENOENT: there is no such directory).
 */
export function takeLock(path: string, what: string, mode: number, deadlineMs = DEADLINE_MS): Lock {
	const lock = Lock.acquire(path, { deadlineMs, mode });
	if (lock !== undefined) return lock;
	const owner = describeHolder(path) ?? "another process";
	throw new CniError(
		Code.tryAgain,
		`time out while waiting to acquire exclusive lock on ${what}: ${owner} has held ${path} for ${deadlineMs / 1000} s`,
	);
}

/** The same, for root alone. Its directory is made where it is missing: on a node that is running it is there. */
export function requireLock(path: string, what: string, deadlineMs?: number): Lock {
	try {
		return takeLock(path, what, 0o600, deadlineMs);
	} catch (error) {
		if (!isSystemError(error, "ENOENT")) throw error;
		makeDirectories(path.slice(0, path.lastIndexOf("/")), 0o700);
		return takeLock(path, what, 0o600, deadlineMs);
	}
}
