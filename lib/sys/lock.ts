/**
 * Locks between processes: flock(2), so that the Go plugins' locks and ours exclude each other.
 */
import { CniError, Code } from "../cni/error.ts";
import { describeHolder } from "./lock-holder.ts";
import * as sys from "./sys.ts";

/** How long verbs wait for each other, as in the Go plugins. */
const DEADLINE_MS = 60_000;

/** A held lock; released by `using`, by `release()` or by the end of the process. The lock file stays. */
export class Lock {
	readonly path: string;
	#fd: number;

	private constructor(path: string, fd: number) {
		this.path = path;
		this.#fd = fd;
	}

	/**
	 * Takes the exclusive lock on `path` (made with `mode` if missing; its directory must exist).
	 * Undefined when someone else still holds it after `deadlineMs`. Throws SystemError.
	 */
	static acquire(path: string, options: { deadlineMs: number; mode: number }): Lock | undefined {
		const fd = sys.openat(sys.AT_FDCWD, path, sys.O_RDONLY | sys.O_CREAT, options.mode);
		let held = false;
		try {
			held = sys.flock(fd, sys.LOCK_EX, options.deadlineMs);
		} finally {
			if (!held) sys.discard(fd);
		}
		return held ? new Lock(path, fd) : undefined;
	}

	/**
	 * The same for verbs: throws CniError 11, with the holder's name in it, when the lock is still held after a minute. `what` is what it
	 * protects: "VF 0000:3b:02.1".
	 */
	static require(path: string, what: string, deadlineMs = DEADLINE_MS): Lock {
		const lock = Lock.acquire(path, { deadlineMs, mode: 0o600 });
		if (lock !== undefined) return lock;
		const holder = describeHolder(path) ?? "another process";
		throw new CniError(
			Code.tryAgain,
			`time out while waiting to acquire exclusive lock on ${what}: ${holder} has held ${path} for ${deadlineMs / 1000} s`,
		);
	}

	release(): void {
		if (this.#fd < 0) return;
		sys.discard(this.#fd);
		this.#fd = -1;
	}

	[Symbol.dispose](): void {
		this.release();
	}
}
