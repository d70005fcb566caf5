/**
 * A request as bytes: RFC 9112, sections 2 to 6.
 */
import * as sys from "../sys/sys.ts";
import { type Endpoint, formatHost } from "./connection.ts";

export interface Request {
	readonly method: string;
	/** With the query: "/api/v1/pods?limit=500". What is no visible ASCII must have been percent-encoded. */
	readonly path: string;
	readonly headers?: Readonly<Record<string, string>>;
	readonly body?: string;
	/** A time of `sys.monotonicMs()`, for all of it: name, connection, request and reply. */
	readonly deadline: number;
	/** Doing it twice does no more than doing it once. GET and HEAD always are. */
	readonly repeatable?: boolean;
}

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** These follow from the rest of the request. */
const OURS = new Set(["host", "connection", "content-length", "transfer-encoding"]);

/**
 * Throws TypeError for what would end a line, or the request, before its end. No value is in the message: one may be a
 * secret.
 */
export function renderRequest(endpoint: Endpoint, { method, path, headers = {}, body }: Request): Uint8Array {
	if (!/^[A-Z]+$/.test(method)) throw new TypeError(`${JSON.stringify(method)} is no HTTP method`);
	if (!/^\/[!-~]*$/.test(path)) throw new TypeError(`${JSON.stringify(path)} is no path of a URL`);
	if (!/^[0-9A-Za-z._:-]+$/.test(endpoint.host)) {
		throw new TypeError(`${JSON.stringify(endpoint.host)} is no host name or address`);
	}
	const content = body === undefined ? undefined : sys.encodeUtf8(body);
	let head = `${method} ${path} HTTP/1.1\r\nHost: ${formatHost(endpoint)}\r\n`;
	for (const [name, value] of Object.entries(headers)) {
		if (!TOKEN.test(name) || OURS.has(name.toLowerCase())) {
			throw new TypeError(`${JSON.stringify(name)} cannot be a header of a request`);
		}
		if (!/^[\t -~]*$/.test(value)) {
			throw new TypeError(`the header ${name} has a character that must not be in one, such as a line's end`);
		}
		head += `${name}: ${value}\r\n`;
	}
	if (content !== undefined) head += `Content-Length: ${content.length}\r\n`;
	else if (method !== "GET" && method !== "HEAD") head += "Content-Length: 0\r\n";
	const start = sys.encodeUtf8(`${head}\r\n`);
	if (content === undefined) return start;
	const bytes = new Uint8Array(start.length + content.length);
	bytes.set(start);
	bytes.set(content, start.length);
	return bytes;
}
