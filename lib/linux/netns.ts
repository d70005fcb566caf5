/**
 * Network namespaces: opening them by path, and running code inside.
 *
 * Note on sysfs: /sys/class/net and .../net of a PCI device show the namespace in which that sysfs was *mounted*,
 * whatever namespace the reader is in. /proc/sys/net shows the reader's. So look at sysfs for the host, and at netlink
 * and sysctls for the pod.
 */
import { writeStderr } from "../sys/stderr.ts";
import * as sys from "../sys/sys.ts";

const CLONE_NEWNET = 0x40000000;
const NSFS_MAGIC = 0x6e736673;
/** Namespace files were part of procfs before Linux 3.19. */
const PROC_SUPER_MAGIC = 0x9fa0;
const OWN_NETNS = "/proc/self/ns/net";

/**
 * A path that leads to no network namespace: the message says why. It has the fields of the system call that found out.
 */
export class NotNetnsError extends Error implements sys.SystemError {
	readonly errno: number;
	readonly code: string;
	readonly call: string;
	readonly path: string;

	constructor(errno: number, call: string, path: string, message: string) {
		super(message);
		this.name = "NotNetnsError";
		this.errno = errno;
		[this.code] = sys.describeErrno(errno);
		this.call = call;
		this.path = path;
	}
}

/** An open network namespace; it lives at least as long as this. */
export class Netns {
	/** The host's: the one that the process started in. Opened once, for the ways back. */
	static #host: Netns | undefined;
	/** Where this thread (the only one) is, while `run` has taken it elsewhere. */
	static #entered: Netns | undefined;

	readonly fd: number;
	/** Where it was opened; "" for one without a path. */
	readonly path: string;

	private constructor(fd: number, path: string) {
		this.fd = fd;
		this.path = path;
	}

	/**
	 * Opens the namespace at `path` (a bind mount of a namespace file, or /proc/PID/ns/net) and runs `inside` in it:
	 * only entering tells a network namespace from another file. Throws NotNetnsError where there is nothing, or no
	 * network namespace; another SystemError for other reasons.
	 */
	static open(path: string, inside: () => void = () => undefined): Netns {
		// What is no namespace may be a FIFO, which nobody shall wait for.
		const open = (): number => sys.openat(sys.AT_FDCWD, path, sys.O_RDONLY | sys.O_NONBLOCK, 0);
		const fd = sys.unlessFailed(open, "ENOENT", "ENOTDIR");
		if (fd === undefined) {
			throw new NotNetnsError(sys.ENOENT, "openat", path, `network namespace "${path}" does not exist`);
		}
		const netns = new Netns(fd, path);
		try {
			netns.run(inside);
		} catch (error) {
			netns.close();
			throw error;
		}
		return netns;
	}

	/** The host's: the namespace that the process started in, opened once. Not to be closed. */
	static host(): Netns {
		Netns.#host ??= Netns.current();
		return Netns.#host;
	}

	/** The namespace that this thread is in. */
	static current(): Netns {
		return new Netns(sys.openat(sys.AT_FDCWD, OWN_NETNS, sys.O_RDONLY, 0), "");
	}

	/** Whether both are the same namespace. */
	same(other: Netns): boolean {
		return sys.isSameFile(this.fd, other.fd);
	}

	/**
	 * Runs `body` inside this namespace. Sockets opened there stay there. If there is no way back the process ends at
	 * once: what follows would change the wrong namespace.
	 */
	run<T>(body: () => T): T {
		const outer = Netns.#entered;
		const back = outer ?? Netns.host();
		this.#enter();
		Netns.#entered = this;
		try {
			return body();
		} finally {
			back.#enterOrExit();
			Netns.#entered = outer;
		}
	}

	#enter(): void {
		try {
			sys.setns(this.fd, CLONE_NEWNET);
		} catch (error) {
			if (!sys.isSystemError(error, "EINVAL")) throw error;
			throw new NotNetnsError(sys.EINVAL, "setns", this.path, `"${this.path}" is ${this.#whatElse()}`);
		}
	}

	/** Files of mount, PID and other namespaces look the same. */
	#whatElse(): string {
		const type = sys.fileSystemType(this.fd);
		if (type === NSFS_MAGIC || type === PROC_SUPER_MAGIC) return "a namespace, but not a network namespace";
		return `not a network namespace: it is on a file system of type 0x${type.toString(16)}`;
	}

	#enterOrExit(): void {
		try {
			sys.setns(this.fd, CLONE_NEWNET);
		} catch (error) {
			const reason = error instanceof Error ? error.message : error;
			writeStderr(`cannot return to the network namespace we came from: ${reason}\n`);
			sys.exit(70);
		}
	}

	close(): void {
		sys.discard(this.fd);
	}

	[Symbol.dispose](): void {
		this.close();
	}
}
