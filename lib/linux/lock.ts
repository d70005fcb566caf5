/**
 * Locks between processes: flock(2), so that the Go plugins' locks and ours exclude each other.
 */
import { CniError, Code } from "../cni/error.ts";
import { listIfPresent, readTextIfPresent } from "./files.ts";
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

/** Who holds the lock now: `process 4711 (sriov, ADD of container 1f3c...)`. Undefined where that cannot be found out. */
function describeHolder(path: string): string | undefined {
	try {
		const pid = holderOf(path);
		return pid === undefined ? undefined : describeProcess(pid);
	} catch (error) {
		// It has ended meanwhile, or is not ours to look at.
		if (sys.isSystemError(error)) return undefined;
		throw error;
	}
}

/**
 * A line of /proc/locks: "1: FLOCK  ADVISORY  WRITE 4711 08:01:1234 0 EOF", "->" after the number for one that waits. The device
 * number is not what stat(2) tells on file systems such as overlayfs, so the inode number picks and the holder's open files confirm.
 */
function holderOf(path: string): string | undefined {
	const { ino } = sys.statat(sys.AT_FDCWD, path, true);
	for (const line of readTextIfPresent("/proc/locks")?.split("\n") ?? []) {
		const [, kind, , , pid, file] = line.split(/ +/);
		if (kind === "FLOCK" && pid !== undefined && file?.endsWith(`:${ino}`) && hasOpen(pid, path)) return pid;
	}
	return undefined;
}

function hasOpen(pid: string, path: string): boolean {
	const folder = `/proc/${pid}/fd`;
	return listIfPresent(folder)?.some((fd) => sys.readlinkat(sys.AT_FDCWD, `${folder}/${fd}`) === path) ?? false;
}

function describeProcess(pid: string): string {
	const name = readTextIfPresent(`/proc/${pid}/comm`)?.trim();
	const variables = readTextIfPresent(`/proc/${pid}/environ`)?.split("\0") ?? [];
	const value = (key: string): string | undefined =>
		variables.find((each) => each.startsWith(`${key}=`))?.slice(key.length + 1);
	const container = value("CNI_CONTAINERID");
	const work = container === undefined ? "" : `, ${value("CNI_COMMAND") ?? "a verb"} of container ${container}`;
	return name === undefined ? `process ${pid}` : `process ${pid} (${name}${work})`;
}
