/**
 * The few kinds of question that we have for the API server.
 *
 * Source: Kubernetes API conventions; metav1.Status for refusals.
 */
import { isObject, parseObject } from "../cni/json.ts";
import type { JsonObject, JsonValue } from "../cni/types.ts";
import { HttpsClient } from "../http/client.ts";
import { HttpError, type Reason } from "../http/error.ts";
import type { Reply } from "../http/reply.ts";
import * as sys from "../sys/sys.ts";
import { isStatus, KubeError, NoAnswerError } from "./errors.ts";
import type { Cluster } from "./kubeconfig.ts";
import { tokenExpiry } from "./token.ts";

/** One step of a JSON patch (RFC 6902). */
export type PatchStep =
	| { readonly op: "test" | "add" | "replace"; readonly path: string; readonly value: JsonValue }
	| { readonly op: "remove"; readonly path: string };

/** Which object is meant, and in which state. */
export interface Precondition {
	readonly uid: string;
	readonly resourceVersion: string;
}

/** Answers that say "not now": the server starts, ends or has too much to do. */
const NOT_NOW = [429, 500, 502, 503, 504];
/** Of an object that is larger than the store takes. */
export const TOO_LARGE = 413;
/** Reasons that no second try changes. */
const FINAL: readonly Reason[] = ["settings", "certificate", "tls", "reply"];
/** How long a server that starts knows nobody's rights at all. */
const LONGEST_START_MS = 5000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1000;
/** Objects of one page of a list. */
const PAGE = 500;

/**
 * A client whose questions may all be asked twice: what changes something says what must be so before, and whoever
 * asks knows the answer to the second time. So a connection that breaks, or a server that is away, is tried again
 * until the deadline.
 */
export class KubeClient {
	readonly #cluster: Cluster;
	#deadline: number;
	readonly #http: HttpsClient;
	/** Whether the server has said that it is ready, and no connection has failed since. */
	#isReady = false;

	/** All questions together take at most `limitMs`. */
	constructor(cluster: Cluster, limitMs: number) {
		this.#cluster = cluster;
		this.#deadline = sys.monotonicMs() + limitMs;
		this.#http = new HttpsClient(cluster);
	}

	[Symbol.dispose](): void {
		this.#http[Symbol.dispose]();
	}

	/** How long there is to the deadline, in ms. */
	get leftMs(): number {
		return Math.max(0, this.#deadline - sys.monotonicMs());
	}

	/** Runs `work` with at most `limitMs` of the time that is left. */
	within<T>(limitMs: number, work: () => T): T {
		const whole = this.#deadline;
		this.#deadline = Math.min(whole, sys.monotonicMs() + limitMs);
		try {
			return work();
		} finally {
			this.#deadline = whole;
		}
	}

	/** Undefined where there is no such object. */
	get(path: string): JsonObject | undefined {
		try {
			return this.#ask("GET", path);
		} catch (error) {
			if (isStatus(error, 404)) return undefined;
			throw error;
		}
	}

	/** Every object of a list, page by page. `path` may have a query. */
	*list(path: string): Generator<JsonObject> {
		for (let next = ""; ; ) {
			const page = this.#ask(
				"GET",
				`${path}${path.includes("?") ? "&" : "?"}limit=${PAGE}${next && `&continue=${encodeURIComponent(next)}`}`,
			);
			// null is a list without items.
			if (!String(page.kind).endsWith("List")) throw new NoAnswerError(`the API server's answer to ${path} is no list`);
			for (const item of Array.isArray(page.items) ? page.items : []) if (isObject(item)) yield item;
			const { continue: more } = isObject(page.metadata) ? page.metadata : {};
			if (typeof more !== "string" || more === "") return;
			next = more;
		}
	}

	/** False where there is an object of that name. */
	create(path: string, object: JsonObject): boolean {
		return this.#change("POST", path, object, 409);
	}

	/** What is asked for with an object that is not kept: a token, a review. */
	request(path: string, object: JsonObject): JsonObject {
		return this.#ask("POST", path, object);
	}

	/** Replaces an object, which says by its resourceVersion in which state. False where it is in another, or gone. */
	replace(path: string, object: JsonObject): boolean {
		return this.#change("PUT", path, object, 404, 409);
	}

	/** The object after the patch; "gone" where there is none, "differs" where a test of the patch fails. */
	patch(path: string, steps: readonly PatchStep[]): JsonObject | "gone" | "differs" {
		try {
			return this.#ask("PATCH", path, steps as unknown as JsonValue, "application/json-patch+json");
		} catch (error) {
			if (isStatus(error, 404)) return "gone";
			if (isStatus(error, 409, 422)) return "differs";
			throw error;
		}
	}

	/** False where it is gone, or no longer the one that is meant. */
	remove(path: string, preconditions: Precondition): boolean {
		const options = { apiVersion: "v1", kind: "DeleteOptions", preconditions: { ...preconditions } };
		return this.#change("DELETE", path, options, 404, 409);
	}

	/** False where the refusal is one of these. */
	#change(method: string, path: string, object: JsonObject, ...refusals: readonly number[]): boolean {
		try {
			this.#ask(method, path, object);
			return true;
		} catch (error) {
			if (isStatus(error, ...refusals)) return false;
			throw error;
		}
	}

	/** Throws KubeError for a refusal, NoAnswerError where the deadline is over before there is an answer. */
	#ask(method: string, path: string, body?: JsonValue, contentType = "application/json"): JsonObject {
		const beganMs = sys.monotonicMs();
		let pause = FIRST_PAUSE_MS;
		for (;;) {
			let reason: string;
			try {
				const reply = this.#send(method, path, body, contentType);
				// A server that has just been started does not know anybody's rights yet.
				const isEarly = reply.status === 403 && !this.#isReady;
				if (isEarly && this.#askReady(beganMs)) continue;
				// Nor what kinds there are: then it says so in plain text.
				const isUnknown = reply.status === 404 && parseObject(reply.body) === undefined;
				// What etcd says, which knows nothing of HTTP.
				if (reply.status >= 500 && sentenceOf(reply).includes("request is too large")) {
					throw new KubeError(TOO_LARGE, sentenceOf(reply));
				}
				if (!NOT_NOW.includes(reply.status) && !isEarly && !isUnknown) {
					return answerOf(reply, this.#cluster);
				}
				reason = isUnknown ? `it does not know ${path}: are the kinds (CRDs) installed?` : sentenceOf(reply);
			} catch (error) {
				if (!(error instanceof HttpError) || FINAL.includes(error.reason)) throw error;
				reason = error.message;
				this.#isReady = false;
			}
			const wait = pause * (0.5 + sys.random(1)[0]! / 255);
			if (this.leftMs <= wait) {
				const { host, port } = this.#cluster;
				throw new NoAnswerError(`the API server ${host}:${port} does not answer: ${reason}`);
			}
			sys.sleepMs(wait);
			pause = Math.min(LONGEST_PAUSE_MS, pause * 2);
		}
	}

	/**
	 * At first a server refuses that question, too; one that goes on to do so has been told to, and then its refusals
	 * are to be taken as they are.
	 */
	#askReady(beganMs: number): boolean {
		const { status } = this.#send("GET", "/readyz", undefined, "");
		this.#isReady = status === 200 || (status < 500 && sys.monotonicMs() > beganMs + LONGEST_START_MS);
		return this.#isReady;
	}

	#send(method: string, path: string, body: JsonValue | undefined, contentType: string): Reply {
		const { base, token } = this.#cluster;
		return this.#http.request({
			method,
			path: `${base}${path}`,
			headers: {
				accept: "application/json",
				...(token !== undefined && { authorization: `Bearer ${token}` }),
				...(body !== undefined && { "content-type": contentType }),
			},
			...(body !== undefined && { body: JSON.stringify(body) }),
			deadline: this.#deadline,
			repeatable: true,
		});
	}
}

function answerOf(reply: Reply, { token }: Cluster): JsonObject {
	if (reply.status < 200 || reply.status > 299) {
		const expiry = reply.status === 401 && token !== undefined ? tokenExpiry(token) : undefined;
		const hint = expiry === undefined ? "" : `: the token expired at ${expiry}`;
		throw new KubeError(reply.status, `${sentenceOf(reply)}${hint}`);
	}
	const parsed = parseObject(reply.body);
	if (parsed !== undefined) return parsed;
	throw new NoAnswerError("the API server's answer is no JSON object");
}

/** The message of a Status object, or the status alone. */
function sentenceOf({ status, body }: Reply): string {
	const message = parseObject(body)?.message;
	return `the API server says ${status}${typeof message === "string" && message !== "" ? `, ${message}` : ""}`;
}
