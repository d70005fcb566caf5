/**
 * What the kernel answered when it refused a netlink request.
 */
import type { SystemError } from "../sys/sys.ts";

/** The errors that people meet, from asm-generic/errno-base.h and errno.h: symbol and what strerror(3) says, in lower case. */
const ERRORS: Readonly<Record<number, readonly [code: string, text: string]>> = {
	1: ["EPERM", "operation not permitted"],
	2: ["ENOENT", "no such file or directory"],
	3: ["ESRCH", "no such process"],
	4: ["EINTR", "interrupted system call"],
	5: ["EIO", "input/output error"],
	6: ["ENXIO", "no such device or address"],
	11: ["EAGAIN", "resource temporarily unavailable"],
	12: ["ENOMEM", "cannot allocate memory"],
	13: ["EACCES", "permission denied"],
	16: ["EBUSY", "device or resource busy"],
	17: ["EEXIST", "file exists"],
	19: ["ENODEV", "no such device"],
	22: ["EINVAL", "invalid argument"],
	28: ["ENOSPC", "no space left on device"],
	34: ["ERANGE", "numerical result out of range"],
	42: ["ENOMSG", "no message of desired type"],
	90: ["EMSGSIZE", "message too long"],
	92: ["ENOPROTOOPT", "protocol not available"],
	93: ["EPROTONOSUPPORT", "protocol not supported"],
	95: ["EOPNOTSUPP", "operation not supported"],
	97: ["EAFNOSUPPORT", "address family not supported by protocol"],
	98: ["EADDRINUSE", "address already in use"],
	99: ["EADDRNOTAVAIL", "cannot assign requested address"],
	100: ["ENETDOWN", "network is down"],
	101: ["ENETUNREACH", "network is unreachable"],
	105: ["ENOBUFS", "no buffer space available"],
	110: ["ETIMEDOUT", "connection timed out"],
	113: ["EHOSTUNREACH", "no route to host"],
};

export const EEXIST = 17;
export const ENODEV = 19;
export const EMSGSIZE = 90;
export const ETIMEDOUT = 110;

/**
 * A refused request: `RTM_SETLINK on "eth0": operation not permitted (EPERM): <the kernel's own text>`.
 * It has the fields of a SystemError, so that `isSystemError(error, "EEXIST")` holds for both.
 */
export class NetlinkError extends Error implements SystemError {
	readonly errno: number;
	/** "EPERM"; "E250" for a number that we have no name for. */
	readonly code: string;
	/** The request: "RTM_SETLINK". */
	readonly call: string;
	/** The kernel's extended acknowledgement, "" where it gave none. */
	readonly kernelMessage: string;

	/** `subject` says on what: `"eth0"`, `10.0.0.0/8 via 10.1.1.1`; "" for nothing. `text` replaces the words for the errno. */
	constructor(request: string, subject: string, errno: number, kernelMessage: string, text?: string) {
		const [code, words] = ERRORS[errno] ?? [`E${errno}`, `error ${errno}`];
		const where = subject === "" ? request : `${request} on ${subject}`;
		super(`${where}: ${text ?? words} (${code})${kernelMessage === "" ? "" : `: ${kernelMessage}`}`);
		this.name = "NetlinkError";
		this.errno = errno;
		this.code = code;
		this.call = request;
		this.kernelMessage = kernelMessage;
	}

	get request(): string {
		return this.call;
	}
}
