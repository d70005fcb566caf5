/**
 * The system calls: the only importer of the host's native module, and the numbers of <fcntl.h>, <sys/stat.h>,
 * <sys/socket.h> and <poll.h> that go with it.
 */
export * from "native:sys";

import { close, type SystemError } from "native:sys";

export const AT_FDCWD = -100;
export const AT_REMOVEDIR = 0x200;

// The flags below have these values on x86-64; O_DIRECTORY and O_NOFOLLOW differ on arm64 and are not used for that
// reason.
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
export const O_NONBLOCK = 0o4000;

export const LOCK_EX = 2;

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const AF_PACKET = 17;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_NONBLOCK = 0o4000;
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;
export const POLLIN = 1;
export const POLLOUT = 4;
/** asm-generic/socket.h: the same numbers on x86-64 and arm64. */
export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_BROADCAST = 6;
export const SO_PEERCRED = 17;
export const SO_BINDTODEVICE = 25;
export const SO_NETNS_COOKIE = 71;
export const SIGINT = 2;
export const SIGTERM = 15;

/** asm-generic/errno-base.h and errno.h: what we say ourselves. `describeErrno` has the names. */
export const ENOENT = 2;
export const EAGAIN = 11;
export const EINVAL = 22;
export const EMSGSIZE = 90;
export const ETIMEDOUT = 110;

/** `type` is S_IFDIR, S_IFLNK, S_IFSOCK or S_IFREG of <sys/stat.h>, the mask S_IFMT. */
const isOfType = (type: number) => (mode: number) => (mode & 0o170000) === type;
export const isDirectory = isOfType(0o040000);
export const isSymbolicLink = isOfType(0o120000);
export const isSocket = isOfType(0o140000);
export const isRegular = isOfType(0o100000);

/**
 * Closes a descriptor that no file was written through: a socket, a lock, a namespace. Linux frees it whatever close(2)
 * answers, so an error means nothing there, and must not turn finished work into a failure.
 */
export function discard(fd: number): void {
	try {
		close(fd);
	} catch (error) {
		if (!isSystemError(error)) throw error;
	}
}

/** `fd`, a new descriptor, once `prepare` has succeeded; where it fails, nobody has it. */
export function prepared(fd: number, prepare: () => void): number {
	try {
		prepare();
		return fd;
	} catch (error) {
		discard(fd);
		throw error;
	}
}

/**
 * Whether `error` is a failed system call, and (where `codes` are given) one of these: `isSystemError(e, "ENOENT")`.
 */
export function isSystemError(error: unknown, ...codes: string[]): error is SystemError {
	if (!(error instanceof Error) || !("errno" in error) || !("call" in error)) return false;
	return codes.length === 0 || codes.includes((error as SystemError).code);
}

/** The failed system call that `work` ends with, as in `isSystemError`; undefined where it does what it shall. */
export function failureOf(work: () => void, ...codes: string[]): SystemError | undefined {
	try {
		work();
		return undefined;
	} catch (error) {
		if (isSystemError(error, ...codes)) return error;
		throw error;
	}
}

/** What `work` returns; undefined where it ends with a failed system call, as in `isSystemError`. */
export function unlessFailed<T>(work: () => T, ...codes: string[]): T | undefined {
	try {
		return work();
	} catch (error) {
		if (isSystemError(error, ...codes)) return undefined;
		throw error;
	}
}
