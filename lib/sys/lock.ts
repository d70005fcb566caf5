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
		for (;;) {
			const fd = sys.openat(sys.AT_FDCWD, path, sys.O_RDONLY | sys.O_CREAT | sys.O_NONBLOCK, options.mode);
			let lock: Lock | undefined;
			let isHeld = false;
			try {
				isHeld = sys.flock(fd, sys.LOCK_EX, options.deadlineMs);
				// Somebody may have removed the file, or its directory, while we waited: then it keeps nobody out.
				if (isHeld && sys.isSameFile(fd, path)) lock = new Lock(path, fd);
			} finally {
				if (lock === undefined) sys.discard(fd);
			}
			if (lock !== undefined || !isHeld) return lock;
		}
	}

	/** Whether it still keeps others out: nobody has removed its file, or the directory, since it was taken. */
	isAtPath(): boolean {
		return sys.isSameFile(this.#fd, this.path);
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
