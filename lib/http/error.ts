/**
 * Why there is no reply.
 */

/**
 * - name: the host's name could not be resolved
 * - connect: no address of it takes a connection
 * - settings: our CA, client certificate or key cannot be used
 * - certificate: the server's certificate was refused
 * - tls: another failure of TLS, such as our client certificate refused
 * - closed early: the connection ended before the reply did
 * - deadline: all the same, but nobody said no until the deadline
 * - reply: what came is no reply of HTTP/1.1 that we understand, or is too large
 */
export type Reason = "name" | "connect" | "settings" | "certificate" | "tls" | "closed early" | "deadline" | "reply";

/** The message is a sentence that names the server. */
export class HttpError extends Error {
	readonly reason: Reason;

	constructor(reason: Reason, message: string) {
		super(message);
		this.name = "HttpError";
		this.reason = reason;
	}
}

/** What came is no reply, or too much. */
export class MalformedReply extends Error {}
/** The connection ended in the middle. */
export class TruncatedReply extends Error {}
