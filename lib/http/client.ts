/**
 * A client of one HTTPS server, over one connection that is kept from one request to the next. No proxy is used,
 * whatever the environment says, and no redirect is followed: a reply of 3xx is a reply.
 */
import { Connection, type Endpoint } from "./connection.ts";
import { HttpError, MalformedReply, TruncatedReply } from "./error.ts";
import { Incoming } from "./incoming.ts";
import { type Reply, readReply } from "./reply.ts";
import { type Request, renderRequest } from "./request.ts";

export class HttpsClient {
	readonly #endpoint: Endpoint;
	/** Has answered a request, and may answer another. */
	#kept: Connection | undefined;

	constructor(endpoint: Endpoint) {
		this.#endpoint = endpoint;
	}

	/**
	 * Any status is a reply. Throws HttpError where none comes, and TypeError for a request that cannot be sent.
	 *
	 * A server may close a kept connection while a request is under way, and nobody can tell whether it has done it. So
	 * a request is sent again, once and on a new connection, if it is repeatable and not a byte of a reply has come.
	 */
	request(request: Request): Reply {
		const bytes = renderRequest(this.#endpoint, request);
		const kept = this.#takeKept();
		if (kept !== undefined) {
			try {
				return this.#exchange(kept, bytes, request);
			} catch (error) {
				const isRepeatable = request.repeatable ?? (request.method === "GET" || request.method === "HEAD");
				const isClosed = error instanceof HttpError && error.reason === "closed early" && !kept.hasReply;
				if (!isClosed || !isRepeatable) throw error;
			}
		}
		return this.#exchange(Connection.open(this.#endpoint, request.deadline), bytes, request);
	}

	#takeKept(): Connection | undefined {
		const kept = this.#kept;
		this.#kept = undefined;
		if (!kept?.isReadable()) return kept;
		// The server has closed it, as it may at any time: nothing has been sent yet.
		kept.close();
		return undefined;
	}

	#exchange(connection: Connection, bytes: Uint8Array, { method, deadline }: Request): Reply {
		let keeps = false;
		try {
			connection.write(bytes, deadline);
			const answer = readReply(new Incoming(() => connection.read(deadline)), method);
			keeps = answer.keeps;
			return answer.reply;
		} catch (error) {
			if (error instanceof MalformedReply) throw connection.error("reply", error.message);
			if (error instanceof TruncatedReply) throw connection.error("closed early", error.message);
			throw error;
		} finally {
			if (keeps) this.#kept = connection;
			else connection.close();
		}
	}

	[Symbol.dispose](): void {
		this.#kept?.close();
	}
}
