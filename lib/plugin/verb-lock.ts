/**
 * The locks by which verbs wait for each other.
 */
import { CniError, Code } from "../cni/error.ts";
import { memberOf } from "../cni/keys.ts";
import type { JsonObject } from "../cni/types.ts";
import { makeDirectories } from "../sys/files.ts";
import { Lock } from "../sys/lock.ts";
import { describeHolder } from "../sys/lock-holder.ts";
import { isSystemError } from "../sys/sys.ts";

/** How long verbs wait for each other, unless the configuration says otherwise: as in the Go plugins. */
const DEADLINE_MS = 60_000;
/** Its bound in the schema. */
const LONGEST_MS = 600_000;
/** The same of this process, which works for one configuration. */
let deadlineMs = DEADLINE_MS;

/**
 * Locks are waited for as long as `config` says. A value that makes no sense is refused by those verbs that look at all
 * of the configuration.
 */
export function useLockTimeout(config: JsonObject): void {
	const told = memberOf(config, "lockTimeoutMilliseconds");
	deadlineMs = typeof told === "number" && told >= 1 && told <= LONGEST_MS ? told : DEADLINE_MS;
}

/**
 * Takes the exclusive lock on `path`, a file that is made with `mode` where it is missing. `what` is what it
 * protects: "VF 0000:3b:02.1". Throws CniError 11, with the owner's name in it, when the lock is another's for longer
 * than the configuration allows, or than `mostMs`; SystemError (ENOENT: there is no such directory).
 */
export function takeLock(path: string, what: string, mode: number, mostMs = deadlineMs): Lock {
	const waitMs = Math.min(mostMs, deadlineMs);
	const lock = Lock.acquire(path, { deadlineMs: waitMs, mode });
	if (lock !== undefined) return lock;
	const owner = describeHolder(path) ?? "another process";
	throw new CniError(
		Code.tryAgain,
		`time out while waiting to acquire exclusive lock on ${what}: ${owner} has held ${path} for ${waitMs / 1000} s`,
	);
}

/** The same, for root alone. Its directory is made where it is missing: on a node that is running it is there. */
export function requireLock(path: string, what: string, mostMs?: number): Lock {
	try {
		return takeLock(path, what, 0o600, mostMs);
	} catch (error) {
		if (!isSystemError(error, "ENOENT")) throw error;
		makeDirectories(path.slice(0, path.lastIndexOf("/")), 0o700);
		return takeLock(path, what, 0o600, mostMs);
	}
}
