/**
 * Locks between processes: flock(2), so that the Go plugins' locks and ours exclude each other.
 */
import * as sys from "./sys.ts";

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

	release(): void {
		if (this.#fd < 0) return;
		sys.discard(this.#fd);
		this.#fd = -1;
	}

	[Symbol.dispose](): void {
		this.release();
	}
}
