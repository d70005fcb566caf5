/**
 * JSON from outside: parsed by the engine, refused with a sentence that says where it breaks.
 */
import { sentence } from "./failures.ts";
import { explainSyntaxError } from "./json-syntax.ts";
import type { JsonObject, JsonValue } from "./types.ts";

/** Thrown for a text that is not JSON: the message has no code yet, since what was being read decides on it. */
export class JsonError extends Error {}

/** Parses `bytes`; `decode` makes text of UTF-8. Throws JsonError. */
export function parseJson(bytes: Uint8Array, decode: (bytes: Uint8Array) => string): JsonValue {
	try {
		return JSON.parse(decode(bytes)) as JsonValue;
	} catch (error) {
		// It may be valid, and yet be refused: nested deeper than the engine's stack allows, or more than its memory
		// holds.
		const isReadable = error instanceof SyntaxError || error instanceof RangeError;
		const explained = isReadable ? explainSyntaxError(bytes) : undefined;
		throw new JsonError(explained ?? `it cannot be read: ${sentence(error)}`);
	}
}

/** The JSON object that `text` is; undefined for anything else. */
export function parseObject(text: string): JsonObject | undefined {
	try {
		const value: unknown = JSON.parse(text);
		return isObject(value) ? value : undefined;
	} catch {
		return undefined;
	}
}

/** Whether a value is an object and neither null nor an array. */
export function isObject(value: unknown): value is JsonObject {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}
