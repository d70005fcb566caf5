/**
 * Command lines of plugins (`dhcp daemon`, `whereabouts reconcile`), read as Go's package flag reads them:
 * `-name value`, `-name=value`, one dash or two.
 */

/** Thrown for what Go refuses, in its words. */
export class FlagError extends Error {}

export type Flags<T> = { readonly [K in keyof T]: T[K] };

/**
 * The values of `defaults` as `args` change them: booleans take no value of their own, numbers are durations in
 * milliseconds.
 */
export function parseFlags<T extends Record<string, string | number | boolean>>(
	args: readonly string[],
	defaults: T,
): T {
	const values: Record<string, string | number | boolean> = { ...defaults };
	for (let at = 0; at < args.length; at++) {
		const match = /^--?([a-z]+)(?:=(.*))?$/s.exec(args[at]!);
		const name = match?.[1];
		if (name === undefined || !Object.hasOwn(values, name)) {
			throw new FlagError(`flag provided but not defined: ${args[at]}; there are -${Object.keys(values).join(", -")}`);
		}
		const initial = values[name];
		if (typeof initial === "boolean") {
			values[name] = parseBoolean(match![2] ?? "true", name);
			continue;
		}
		const text = match![2] ?? args[++at];
		if (text === undefined) throw new FlagError(`flag needs an argument: -${name}`);
		values[name] = typeof initial === "number" ? parseDuration(text, name) : text;
	}
	return values as T;
}

function parseBoolean(text: string, name: string): boolean {
	if (["1", "t", "true"].includes(text.toLowerCase())) return true;
	if (["0", "f", "false"].includes(text.toLowerCase())) return false;
	throw new FlagError(`invalid boolean value "${text}" for -${name}`);
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** "10s", "1m30s", "500ms"; more than 0. */
function parseDuration(text: string, name: string): number {
	let total = 0;
	let rest = text;
	for (let part = /^([0-9]+(?:\.[0-9]*)?)(ms|s|m|h)/.exec(rest); part !== null; ) {
		total += Number(part[1]) * UNITS[part[2]!]!;
		rest = rest.slice(part[0].length);
		part = /^([0-9]+(?:\.[0-9]*)?)(ms|s|m|h)/.exec(rest);
	}
	if (rest !== "" || !(total > 0)) {
		throw new FlagError(`invalid value "${text}" for flag -${name}: a duration such as 10s or 1m30s is wanted`);
	}
	return total;
}
