/**
 * What a record says, also one that is damaged: the Go plugins write their records in place, so a full disk or a power
 * failure can truncate one anywhere, and a file that is whole may still hold anything.
 */
import { isObject, parseObject } from "../cni/json.ts";
import type { JsonObject, JsonValue } from "../cni/types.ts";

/** What the text of a record says. */
export interface Told {
	readonly json: JsonObject;
	/** False: of a text that was truncated, or is no JSON object, this is what is left. */
	readonly isWhole: boolean;
}

export function readTold(text: string): Told {
	const whole = parseObject(text);
	return { json: whole ?? parseTruncated(text), isWhole: whole !== undefined };
}

/** The members that are whole of a JSON object that was truncated; none of anything else. */
export function parseTruncated(json: string): JsonObject {
	const open: string[] = [];
	let whole = "";
	let inString = false;
	/** The string that is being read is a member's value, or an item: whole with its closing quote. */
	let isValue = false;
	for (let at = 0; at < json.length; at++) {
		const char = json[at]!;
		if (inString) {
			if (char === "\\") at++;
			if (char !== '"') continue;
			inString = false;
			if (!isValue) continue;
		} else if (char === '"') {
			inString = true;
			continue;
		} else if (char === ":") {
			isValue = true;
			continue;
		} else if (char === "{" || char === "[") {
			open.push(char === "{" ? "}" : "]");
			isValue = char === "[";
		} else if (char === "}" || char === "]") {
			open.pop();
			isValue = open.at(-1) === "]";
		} else if (char === ",") {
			isValue = open.at(-1) === "]";
		} else continue;
		// Up to a comma everything is whole, and so it is after a bracket and after a value's quote.
		whole = json.slice(0, char === "," ? at : at + 1) + open.toReversed().join("");
	}
	return parseObject(whole) ?? {};
}

export const text = (value: JsonValue | undefined): string => (typeof value === "string" ? value : "");
/** A part of a record's file name; "" for what would lead to another directory. */
export function namePart(value: JsonValue | undefined): string {
	const part = text(value);
	return part.includes("/") || part.includes("\0") ? "" : part;
}
/** A whole number from 0 to `most`; undefined for anything else. */
export const integer = (value: JsonValue | undefined, most: number): number | undefined =>
	typeof value === "number" && value >= 0 && value <= most && value % 1 === 0 ? value : undefined;
/**
 * What can be the name of a network interface, alternative or not, or of an RDMA device (dev_valid_name() in
 * net/core/dev.c, whose white space is that of ASCII); "" for anything else.
 */
export const deviceName = (value: JsonValue | undefined): string =>
	typeof value === "string" && /^(?!\.{1,2}$)[^/:\t-\r \0]{1,127}$/.test(value) ? value : "";
export const object = (value: JsonValue | undefined): JsonObject | undefined => (isObject(value) ? value : undefined);
