/**
 * JSON in which a key stands twice in an object, as Go's encoding/json reads it into a struct: what comes later is read
 * into what is there, so that objects are merged and other values replaced. Keys are the same whatever the case of
 * their letters (keys.ts).
 */
import { isObject } from "./json.ts";
import { define, fold } from "./keys.ts";
import type { JsonObject, JsonValue } from "./types.ts";

interface Merged {
	readonly value: JsonValue;
	/**
	 * A key that stands twice and of which Go makes what its types say: a later list is read into the items of the
	 * earlier one, null leaves some numbers and objects alone, and what is in prevResult is read into maps.
	 */
	readonly unclear: string | undefined;
}

/** Space, and a string, a bracket, colon or comma, or a scalar. */
const TOKEN = String.raw`[ \t\r\n]*("[^"\\]*(?:\\.[^"\\]*)*"|[[\]{},:]|[^ \t\r\n[\]{},:"]+)`;

/** Reads a text that JSON.parse takes. */
export function parseMerging(text: string): Merged {
	const tokens = new RegExp(TOKEN, "y");
	let unclear: string | undefined;
	const next = (): string => tokens.exec(text)![1]!;

	/** Reads the value that begins with `token`, into `before` where that is an object and this one is, too. */
	function read(token: string, before: JsonValue | undefined, inResult: boolean): JsonValue {
		if (token === "[") {
			const list: JsonValue[] = [];
			for (let each = next(); each !== "]"; each = next()) {
				if (each !== ",") list.push(read(each, undefined, inResult));
			}
			return list;
		}
		if (token !== "{") return JSON.parse(token) as JsonValue;
		const object: JsonObject = isObject(before) ? before : {};
		// The spelling under which a key is in the object.
		const spellings = new Map<string, string>();
		for (const key in object) spellings.set(fold(key), key);
		for (let each = next(); each !== "}"; each = next()) {
			if (each === ",") continue;
			const key = JSON.parse(each) as string;
			next();
			const folded = fold(key);
			const earlier = spellings.get(folded);
			const old = earlier === undefined ? undefined : object[earlier];
			const below = inResult || folded === "prevresult";
			const value = read(next(), old, below);
			// Null leaves text and truth values alone.
			if (value === null && (typeof old === "string" || typeof old === "boolean")) continue;
			if (Array.isArray(old) || (below && isObject(old)) || (old !== undefined && value === null)) unclear ??= key;
			if (earlier !== undefined && earlier !== key) delete object[earlier];
			spellings.set(folded, key);
			define(object, key, value);
		}
		return object;
	}

	return { value: read(next(), undefined, false), unclear };
}
