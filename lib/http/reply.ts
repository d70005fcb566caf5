/**
 * A reply out of bytes: RFC 9112, sections 4 to 7. What is not as there is refused, not guessed at.
 */
import * as sys from "../sys/sys.ts";
import { MalformedReply, TruncatedReply } from "./error.ts";
import type { Incoming } from "./incoming.ts";

export interface Reply {
	readonly status: number;
	/** Names in lower case; values of one name that came more than once are joined by ", ". */
	readonly headers: ReadonlyMap<string, string>;
	readonly body: string;
}

/** Of all status lines and headers together, and of what follows the last chunk. */
const MAX_HEAD = 64 * 1024;
const MAX_CHUNK_LINE = 4096;
const MAX_BODY = 64 * 1024 * 1024;

/** `keeps`: whether the connection may be used for another request. */
export function readReply(incoming: Incoming, method: string): { reply: Reply; keeps: boolean } {
	const lines = headLines(incoming);
	let status: number;
	let version: string;
	let headers: Map<string, string>;
	do {
		[version, status] = readStatusLine(lines.next().value);
		headers = readHeaders(lines);
		if (status === 101) throw new MalformedReply("it switches protocols, which nobody asked for");
	} while (status < 200);
	const length = bodyLength(headers, method, status);
	const body = new Body();
	if (length === "chunked") readChunks(incoming, body);
	else if (length === "until the end") readToEnd(incoming, body);
	else readCounted(incoming, body, length);
	const closes = /(^|[ ,])close($|[ ,])/i.test(headers.get("connection") ?? "");
	const keeps = version === "1.1" && !closes && length !== "until the end" && !incoming.hasMore;
	return { reply: { status, headers, body: sys.decodeUtf8(body.bytes()) }, keeps };
}

/** The lines of heads, which are bounded together. */
function* headLines(incoming: Incoming): Generator<string, never> {
	for (let left = MAX_HEAD; ; ) {
		const line = incoming.line(left, "the head of its reply");
		left -= line.length + 1;
		yield line;
	}
}

function readStatusLine(line: string): [version: string, status: number] {
	const found = /^HTTP\/(1\.[01]) ([1-9][0-9]{2})(?: .*)?$/.exec(line);
	if (found === null) throw new MalformedReply(`its reply does not begin as one of HTTP/1.1: ${quote(line)}`);
	return [found[1]!, Number(found[2])];
}

function readHeaders(lines: Generator<string, never>): Map<string, string> {
	const headers = new Map<string, string>();
	for (let line = lines.next().value; line !== ""; line = lines.next().value) {
		const found = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):(.*)$/.exec(line);
		if (found === null) throw new MalformedReply(`its reply has a malformed header: ${quote(line)}`);
		const name = found[1]!.toLowerCase();
		const value = found[2]!.trim();
		const before = headers.get(name);
		headers.set(name, before === undefined ? value : `${before}, ${value}`);
	}
	return headers;
}

function bodyLength(
	headers: ReadonlyMap<string, string>,
	method: string,
	status: number,
): number | "chunked" | "until the end" {
	if (method === "HEAD" || status === 204 || status === 304) return 0;
	const coding = headers.get("transfer-encoding");
	const length = headers.get("content-length");
	if (coding !== undefined) {
		// Both together is how a reply is made to end in two places.
		if (coding.toLowerCase() === "chunked" && length === undefined) return "chunked";
		throw new MalformedReply(`its reply has the transfer coding ${quote(coding)}, with content-length ${length}`);
	}
	if (length === undefined) return "until the end";
	if (!/^[0-9]{1,15}$/.test(length)) throw new MalformedReply(`its reply has the content-length ${quote(length)}`);
	return Number(length);
}

function readCounted(incoming: Incoming, body: Body, length: number): void {
	body.expect(length);
	for (let rest = length; rest > 0; ) {
		const piece = incoming.some(rest);
		if (piece.length === 0) throw new TruncatedReply("it closed the connection within the body of its reply");
		body.add(piece);
		rest -= piece.length;
	}
}

function readChunks(incoming: Incoming, body: Body): void {
	for (;;) {
		const line = incoming.line(MAX_CHUNK_LINE, "the length of a chunk");
		const found = /^([0-9a-fA-F]{1,12})[ \t]*(?:;.*)?$/.exec(line);
		if (found === null) throw new MalformedReply(`its reply has a chunk of the length ${quote(line)}`);
		const length = Number.parseInt(found[1]!, 16);
		if (length === 0) break;
		readCounted(incoming, body, length);
		if (incoming.line(MAX_CHUNK_LINE, "the end of a chunk") !== "") {
			throw new MalformedReply("a chunk of its reply is longer than it says");
		}
	}
	// Trailers are nothing to us.
	for (const line of headLines(incoming)) if (line === "") return;
}

/** The session's own end stands for the body's: one that was truncated is an error of the connection. */
function readToEnd(incoming: Incoming, body: Body): void {
	for (let piece = incoming.some(MAX_BODY); piece.length > 0; piece = incoming.some(MAX_BODY)) body.add(piece);
}

class Body {
	#buffer: Uint8Array = new Uint8Array(0);
	#length = 0;

	/** Makes room. */
	expect(more: number): void {
		const wanted = this.#length + more;
		if (wanted > MAX_BODY) throw new MalformedReply(`its reply has more than ${MAX_BODY / 1024 / 1024} MiB`);
		if (wanted <= this.#buffer.length) return;
		const larger = new Uint8Array(Math.max(wanted, Math.min(2 * this.#buffer.length, MAX_BODY)));
		larger.set(this.bytes());
		this.#buffer = larger;
	}

	add(piece: Uint8Array): void {
		this.expect(piece.length);
		this.#buffer.set(piece, this.#length);
		this.#length += piece.length;
	}

	bytes(): Uint8Array {
		return this.#buffer.subarray(0, this.#length);
	}
}

const quote = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text);
