/**
 * JSON as a tree with places, and the first place where a text is no JSON.
 */
import { JsonError, parseJson } from "../../lib/cni/json.ts";
import { findSyntaxError } from "../../lib/cni/json-syntax.ts";
import { decodeUtf8, encodeUtf8 } from "../../lib/sys/sys.ts";
import type { Member, Tree } from "./tree.ts";

/** A text that cannot be read, and where that shows. */
export class ReadError extends Error {
	readonly at: number;

	constructor(message: string, at: number) {
		super(message);
		this.at = at;
	}
}

/** Where in the file a character of a text is. */
type Places = (offset: number) => number;

/** The JSON `text`, or why it is none. The engine's parser is the judge, as for every plugin's configuration. */
export function readJson(text: string, places: Places): Tree | ReadError {
	const bytes = encodeUtf8(text);
	try {
		parseJson(bytes, decodeUtf8);
	} catch (error) {
		if (!(error instanceof JsonError)) throw error;
		const at = findSyntaxError(bytes)?.at ?? 0;
		return new ReadError(`not JSON: ${error.message}`, places(decodeUtf8(bytes.subarray(0, at)).length));
	}
	return readValue({ text, places, at: 0 });
}

/** A text that is known to be JSON, and how far it has been read. */
interface Cursor {
	readonly text: string;
	readonly places: Places;
	at: number;
}

function readValue(cursor: Cursor): Tree {
	const bracket = peek(cursor);
	const at = cursor.places(cursor.at);
	if (bracket !== "{" && bracket !== "[") return { kind: "scalar", at, value: readScalar(cursor) };
	cursor.at++;
	const members: Member[] = [];
	const items: Tree[] = [];
	for (let next = peek(cursor); next !== "}" && next !== "]"; next = peek(cursor)) {
		if (next === ",") cursor.at++;
		else if (bracket === "{") members.push(readMember(cursor));
		else items.push(readValue(cursor));
	}
	cursor.at++;
	return bracket === "{" ? { kind: "object", at, members } : { kind: "list", at, items };
}

function readMember(cursor: Cursor): Member {
	const keyAt = cursor.places(cursor.at);
	const key = String(readScalar(cursor));
	peek(cursor); // the colon
	cursor.at++;
	return { key, keyAt, value: readValue(cursor) };
}

/** The next character that is no white space. */
function peek(cursor: Cursor): string | undefined {
	while (" \t\r\n".includes(cursor.text[cursor.at] ?? "x")) cursor.at++;
	return cursor.text[cursor.at];
}

function readScalar(cursor: Cursor): string | number | boolean | null {
	const scalar = /"(?:[^"\\]|\\.)*"|[^\s,\]}]+/y;
	scalar.lastIndex = cursor.at;
	const [text] = scalar.exec(cursor.text)!;
	cursor.at += text.length;
	return JSON.parse(text) as string | number | boolean | null;
}
