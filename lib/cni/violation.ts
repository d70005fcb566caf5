/**
 * What is wrong with a configuration, and where, in a sentence.
 */
import type { Path, Rule } from "./config.ts";
import { CniError } from "./error.ts";
import { excerpt } from "./quote.ts";
import type { JsonValue } from "./types.ts";

export function violationError(config: JsonValue, path: Path, { code, text, missing }: Rule): CniError {
	const place = formatPath(path);
	if (missing) return new CniError(code, `${place} is missing`);
	let value: unknown = config;
	for (const key of path) value = (value as Record<string, unknown>)[key];
	return new CniError(code, `${place} must be ${text}, not ${excerpt(value)}`);
}

/** `["ipam", "ranges", 0, 0, "subnet"]`: `ipam.ranges[0][0].subnet`. */
function formatPath(path: Path): string {
	let text = "";
	for (const key of path) {
		if (typeof key === "number") text += `[${key}]`;
		else text += text === "" ? key : `.${key}`;
	}
	return text === "" ? "the configuration" : text;
}
