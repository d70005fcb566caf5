/**
 * Where and why a text is not JSON, in the words of Go's encoding/json. The engine's own parser is the judge; this runs
 * only after it has said no, to find the byte that a person must look at.
 */
import { quoteCharacter } from "./quote.ts";

/** Go's limit of nesting. */
const MAX_DEPTH = 10_000;

const [QUOTE, COMMA, MINUS, PLUS, DOT, ZERO, NINE, COLON, BACKSLASH] = [34, 44, 45, 43, 46, 48, 57, 58, 92] as const;
const [LIST, OBJECT] = [91, 123] as const;

/** Go's sentence with the offset and the surroundings added; undefined where this grammar finds nothing wrong. */
export const explainSyntaxError = (bytes: Uint8Array): string | undefined => findSyntaxError(bytes)?.message;

/** The same with the byte where the text stops being JSON. */
export function findSyntaxError(bytes: Uint8Array): { readonly message: string; readonly at: number } | undefined {
	try {
		scanDocument(bytes);
		return undefined;
	} catch (error) {
		if (error instanceof Mismatch) return error;
		throw error;
	}
}

class Mismatch extends Error {
	readonly at: number;

	constructor(message: string, at: number) {
		super(message);
		this.at = at;
	}
}

/**
 * Bytes as numbers, and few calls: the text may have 16 MB. What lies behind its end is undefined, and no byte of any
 * grammar.
 */
function scanDocument(bytes: Uint8Array): void {
	// The open brackets: a stack of our own, since the engine's ends long before the nesting that Go reads.
	const open: number[] = [];
	let at = 0;
	do {
		at = skipSpace(bytes, at);
		const start = bytes[at];
		if (start === OBJECT || start === LIST) {
			if (open.length >= MAX_DEPTH) throw mismatch(bytes, at, "exceeded max depth");
			at = skipSpace(bytes, at + 1);
			// Bracket and end differ by 2 in ASCII.
			if (bytes[at] !== start + 2) {
				open.push(start);
				if (start === OBJECT) at = skipKey(bytes, at);
				continue;
			}
			at++;
		} else at = skipScalar(bytes, at);
		// What follows a value: a comma, and a key in an object; or closing brackets.
		while (open.length > 0) {
			const bracket = open[open.length - 1]!;
			at = skipSpace(bytes, at);
			if (bytes[at] === COMMA) {
				at++;
				if (bracket === OBJECT) at = skipKey(bytes, at);
				break;
			}
			if (bytes[at] !== bracket + 2) {
				throw mismatch(bytes, at, bracket === OBJECT ? "after object key:value pair" : "after array element");
			}
			at++;
			open.pop();
		}
	} while (open.length > 0);
	at = skipSpace(bytes, at);
	if (at < bytes.length) throw mismatch(bytes, at, "after top-level value");
}

function skipSpace(bytes: Uint8Array, start: number): number {
	let at = start;
	for (let byte = bytes[at]; byte === 32 || byte === 10 || byte === 13 || byte === 9; byte = bytes[at]) at++;
	return at;
}

/** A key with its colon. */
function skipKey(bytes: Uint8Array, start: number): number {
	let at = skipSpace(bytes, start);
	if (bytes[at] !== QUOTE) throw mismatch(bytes, at, "looking for beginning of object key string");
	at = skipSpace(bytes, skipString(bytes, at));
	if (bytes[at] !== COLON) throw mismatch(bytes, at, "after object key");
	return at + 1;
}

function skipScalar(bytes: Uint8Array, at: number): number {
	const start = bytes[at];
	if (start === QUOTE) return skipString(bytes, at);
	if (start === MINUS || isDigit(start)) return skipNumber(bytes, at);
	const word = ["true", "false", "null"].find((each) => each.charCodeAt(0) === start);
	if (word === undefined) throw mismatch(bytes, at, "looking for beginning of value");
	for (let i = 0; i < word.length; i++) {
		if (bytes[at + i] === word.charCodeAt(i)) continue;
		throw mismatch(bytes, at + i, `in literal ${word} (expecting '${word[i]}')`);
	}
	return at + word.length;
}

function skipString(bytes: Uint8Array, start: number): number {
	let at = start + 1;
	for (let byte = bytes[at]; byte !== QUOTE; byte = bytes[at]) {
		if (byte === undefined || byte < 32) throw mismatch(bytes, at, "in string literal");
		at++;
		if (byte === BACKSLASH) at = skipEscape(bytes, at);
	}
	return at + 1;
}

/** What follows a backslash. */
function skipEscape(bytes: Uint8Array, at: number): number {
	const kind = bytes[at] === undefined ? "" : String.fromCharCode(bytes[at]!);
	if (kind === "" || !'"\\/bfnrtu'.includes(kind)) throw mismatch(bytes, at, "in string escape code");
	if (kind !== "u") return at + 1;
	for (let i = 1; i <= 4; i++) {
		const byte = bytes[at + i];
		const lower = (byte ?? 0) | 32;
		if (isDigit(byte) || (lower >= 97 && lower <= 102)) continue;
		throw mismatch(bytes, at + i, "in \\u hexadecimal character escape");
	}
	return at + 5;
}

function skipNumber(bytes: Uint8Array, start: number): number {
	let at = bytes[start] === MINUS ? start + 1 : start;
	at = bytes[at] === ZERO ? at + 1 : skipDigits(bytes, at, "in numeric literal");
	if (bytes[at] === DOT) at = skipDigits(bytes, at + 1, "after decimal point in numeric literal");
	if (((bytes[at] ?? 0) | 32) !== 101) return at; // e or E
	at++;
	if (bytes[at] === PLUS || bytes[at] === MINUS) at++;
	return skipDigits(bytes, at, "in exponent of numeric literal");
}

/** One digit at least. */
function skipDigits(bytes: Uint8Array, start: number, context: string): number {
	let at = start;
	while (isDigit(bytes[at])) at++;
	if (at === start) throw mismatch(bytes, at, context);
	return at;
}

function isDigit(byte: number | undefined): boolean {
	return byte !== undefined && byte >= ZERO && byte <= NINE;
}

/** Go names bytes above 0x7f by their Latin-1 letter. */
function mismatch(bytes: Uint8Array, at: number, context: string): Mismatch {
	const byte = bytes[at];
	if (byte === undefined) return new Mismatch("unexpected end of JSON input", at);
	const character = String.fromCharCode(byte);
	const name = character === "'" ? "\\'" : character === '"' ? '"' : quoteCharacter(character);
	const from = Math.max(0, at - 20);
	let near = from > 0 ? "..." : "";
	for (const each of bytes.subarray(from, at + 12)) {
		near += each >= 0x20 && each < 0x7f ? String.fromCharCode(each) : " ";
	}
	if (at + 12 < bytes.length) near += "...";
	return new Mismatch(`invalid character '${name}' ${context} (byte ${at}, near ${near.trim()})`, at);
}
