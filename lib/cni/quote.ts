/**
 * Text as sentences quote it: Go's `%q`, so that our sentences are those that people search for.
 */

const SHORT: Record<string, string> = {
	'"': '\\"',
	"\\": "\\\\",
	"\x07": "\\a",
	"\b": "\\b",
	"\f": "\\f",
	"\n": "\\n",
	"\r": "\\r",
	"\t": "\\t",
	"\v": "\\v",
};

/**
 * `strconv.Quote`, but for the characters above U+009F that Go does not print (unassigned ones): these stay as they
 * are.
 */
export function quote(text: string): string {
	let quoted = '"';
	for (const character of text) quoted += quoteCharacter(character);
	return `${quoted}"`;
}

/** One character of a quoted text. */
export function quoteCharacter(character: string): string {
	const short = SHORT[character];
	if (short !== undefined) return short;
	const code = character.codePointAt(0)!;
	if (code < 0x20 || code === 0x7f) return `\\x${code.toString(16).padStart(2, "0")}`;
	if ((code >= 0x80 && code <= 0xa0) || code === 0xad) return `\\u${code.toString(16).padStart(4, "0")}`;
	return character;
}

/** A JSON value for a sentence: as JSON, cut after 80 characters. */
export function excerpt(value: unknown): string {
	const text = toJson(value);
	return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}

function toJson(value: unknown): string {
	try {
		return JSON.stringify(value) ?? String(value);
	} catch {
		// The engine can parse deeper nesting than it can print.
		return "something that is nested too deeply";
	}
}
