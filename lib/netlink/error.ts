/**
 * What the kernel answered when it refused a netlink request.
 */
import { describeErrno, type SystemError } from "../sys/sys.ts";

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
		const [code, words] = describeErrno(errno);
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
