/**
 * What the kernel answered when it refused a netlink request.
 */
import { describeErrno, type SystemError } from "../sys/sys.ts";

/** A request: what it is called and what it is about. */
export interface RequestName {
	/** "RTM_SETLINK". */
	readonly request: string;
	/** `"eth0"`, `10.0.0.0/8 via 10.1.1.1`; "" for nothing. */
	readonly subject: string;
}

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

	/** `text` replaces the words for the errno. */
	constructor({ request, subject }: RequestName, errno: number, kernelMessage: string, text?: string) {
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
