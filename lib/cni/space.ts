/**
 * White space as Go's unicode.IsSpace has it. JavaScript's `\s` and `trim` have U+FEFF too, and lack U+0085: what one
 * of them wrote or accepted, the other would read as something else.
 */

/** For the brackets of a regular expression. */
export const SPACE = "\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

const ANY = new RegExp(`[${SPACE}]`);
const RUN = new RegExp(`[${SPACE}]+`);

export const hasSpace = (text: string): boolean => ANY.test(text);

/** Go's strings.TrimSpace. */
export function trimSpace(text: string): string {
	let [start, end] = [0, text.length];
	while (start < end && hasSpace(text[start]!)) start++;
	while (start < end && hasSpace(text[end - 1]!)) end--;
	return text.slice(start, end);
}

/** Go's strings.Fields: the words between white space. */
export const words = (text: string): string[] => text.split(RUN).filter((word) => word !== "");
