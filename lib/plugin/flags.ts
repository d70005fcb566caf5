/**
 * Command lines (`berth node`, `dhcp daemon`, `whereabouts reconcile`), read as Go's package flag reads them:
 * `-name value`, `-name=value`, one dash or two.
 */

/** Thrown for what Go refuses, in its words. */
export class FlagError extends Error {}

/** What a flag may be: a text, a duration in milliseconds, a switch, or texts, of which each use of it adds one. */
type Value = string | number | boolean | readonly string[];

/** The values of `defaults` as `args` change them. Throws FlagError, for operands as well. */
export function parseFlags<T extends Record<string, Value>>(args: readonly string[], defaults: T): T {
	const { flags, operands } = parseCommandLine(args, defaults);
	if (operands[0] !== undefined) throw new FlagError(`unexpected argument: ${operands[0]}`);
	return flags;
}

/** Flags, and what is not a flag: before, between and behind them. Everything behind `--` is an operand. */
export function parseCommandLine<T extends Record<string, Value>>(
	args: readonly string[],
	defaults: T,
): { flags: T; operands: string[] } {
	const values: Record<string, Value> = { ...defaults };
	const operands: string[] = [];
	for (let at = 0; at < args.length; at++) {
		if (args[at] === "--") {
			operands.push(...args.slice(at + 1));
			break;
		}
		if (args[at] === "-" || !args[at]!.startsWith("-")) {
			operands.push(args[at]!);
			continue;
		}
		const match = /^--?([a-z][a-z-]*)(?:=(.*))?$/s.exec(args[at]!);
		const name = match?.[1];
		if (name === undefined || !Object.hasOwn(values, name)) {
			throw new FlagError(`flag provided but not defined: ${args[at]}; there are -${Object.keys(values).join(", -")}`);
		}
		const initial = defaults[name];
		if (typeof initial === "boolean") {
			values[name] = parseBoolean(match![2] ?? "true", name);
			continue;
		}
		const text = match![2] ?? args[++at];
		if (text === undefined) throw new FlagError(`flag needs an argument: -${name}`);
		if (typeof initial === "number") values[name] = parseDuration(text, name);
		else values[name] = Array.isArray(values[name]) ? [...values[name], text] : text;
	}
	return { flags: values as T, operands };
}

function parseBoolean(text: string, name: string): boolean {
	if (["1", "t", "true"].includes(text.toLowerCase())) return true;
	if (["0", "f", "false"].includes(text.toLowerCase())) return false;
	throw new FlagError(`invalid boolean value "${text}" for -${name}`);
}

const PART = /([0-9]+(?:\.[0-9]*)?)(ms|s|m|h)/g;
const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** "10s", "1m30s", "500ms"; more than 0. */
function parseDuration(text: string, name: string): number {
	let total = 0;
	for (const [, count, unit] of text.matchAll(PART)) total += Number(count) * UNITS[unit!]!;
	if (text.replace(PART, "") !== "" || !(total > 0)) {
		throw new FlagError(`invalid value "${text}" for flag -${name}: a duration such as 10s or 1m30s is wanted`);
	}
	return total;
}
