/**
 * A client of one HTTPS server, over one connection that is kept from one request to the next. No proxy is used,
 * whatever the environment says, and no redirect is followed: a reply of 3xx is a reply.
 */
import { Connection, type Endpoint } from "./connection.ts";
import { HttpError } from "./error.ts";
import { Incoming } from "./incoming.ts";
import { MalformedReply, type Reply, readReply, TruncatedReply } from "./reply.ts";
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
			const isRepeatable = request.repeatable ?? (request.method === "GET" || request.method === "HEAD");
			const exchange = new Exchange(kept);
			try {
				return this.#finish(exchange, bytes, request);
			} catch (error) {
				const isClosed = error instanceof HttpError && error.reason === "cut off" && !exchange.hasReply;
				if (!isClosed || !isRepeatable) throw error;
			}
		}
		return this.#finish(new Exchange(Connection.open(this.#endpoint, request.deadline)), bytes, request);
	}

	#takeKept(): Connection | undefined {
		const kept = this.#kept;
		this.#kept = undefined;
		if (!kept?.isReadable()) return kept;
		// The server has closed it, as it may at any time: nothing has been sent yet.
		kept.close();
		return undefined;
	}

	#finish(exchange: Exchange, bytes: Uint8Array, request: Request): Reply {
		let keeps = false;
		try {
			const answer = exchange.run(bytes, request);
			keeps = answer.keeps;
			return answer.reply;
		} finally {
			if (keeps) this.#kept = exchange.connection;
			else exchange.connection.close();
		}
	}

	close(): void {
		this.#kept?.close();
		this.#kept = undefined;
	}

	[Symbol.dispose](): void {
		this.close();
	}
}

/** One request and its reply. */
class Exchange {
	readonly connection: Connection;
	/** Whether anything of a reply has come. */
	hasReply = false;

	constructor(connection: Connection) {
		this.connection = connection;
	}

	run(bytes: Uint8Array, { method, deadline }: Request): { reply: Reply; keeps: boolean } {
		this.connection.write(bytes, deadline);
		const incoming = new Incoming(() => {
			const piece = this.connection.read(deadline);
			if (piece.length > 0) this.hasReply = true;
			return piece;
		});
		try {
			return readReply(incoming, method);
		} catch (error) {
			if (error instanceof MalformedReply) throw this.connection.error("reply", error.message);
			if (error instanceof TruncatedReply) throw this.connection.error("cut off", error.message);
			throw error;
		}
	}
}
