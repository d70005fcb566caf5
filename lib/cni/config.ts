/**
 * A plugin's configuration: Go's keys folded, then held against the plugin's schema.
 */
import { CniError, Code } from "./error.ts";
import { describeType } from "./json.ts";
import { foldKeys, type KeyTree } from "./keys.ts";
import { excerpt } from "./quote.ts";
import type { JsonObject } from "./types.ts";

/** What `validator:<name>` exports: a schema as code (scripts/validators.ts). */
export interface Validator {
	/** What is wrong, in the order in which it was found, or undefined. */
	validate(value: unknown): readonly Violation[] | undefined;
	readonly keys: KeyTree;
}

/** One finding of ajv: a JSON pointer, the keyword of JSON Schema that failed, its parameters. */
export interface Violation {
	readonly instancePath: string;
	readonly keyword: string;
	readonly params: Readonly<Record<string, unknown>>;
}

/**
 * The configuration as the type of its schema. Known keys in any case are accepted, null is "not set", unknown keys stay.
 * Throws for the first violation: code 6 for a value of a wrong type, 7 for a missing or a forbidden one.
 */
export function loadConfig<T>(config: JsonObject, validator: Validator): T {
	const folded = foldKeys(config, validator.keys);
	const violations = validator.validate(folded);
	if (violations !== undefined) throw violationError(folded, violations);
	return folded as T;
}

function violationError(config: unknown, violations: readonly Violation[]): CniError {
	const violation = mostTelling(violations);
	const segments = violation.instancePath.split("/").slice(1).map(unescapePointer);
	const value = segments.reduce<unknown>((below, key) => (below as Record<string, unknown>)[key], config);
	const path = formatPath(segments);
	const { keyword, params } = violation;
	if (keyword === "required") {
		const missing = formatPath([...segments, String(params.missingProperty)]);
		return new CniError(Code.invalidConfig, `${missing} is missing`);
	}
	const types = keyword === "type" ? [params.type] : keyword === "anyOf" ? wantedTypes(violations, violation) : [];
	const code = types.length > 0 ? Code.decoding : Code.invalidConfig;
	const rule = types.length > 0 ? `must be ${listTypes(types)}` : describeRule(keyword, params);
	return new CniError(code, `${path} ${rule}, not ${excerpt(value)}`);
}

/** With a union, ajv lists every branch's findings before the union's own: a finding deeper inside says more. */
function mostTelling(violations: readonly Violation[]): Violation {
	const last = violations.at(-1)!;
	if (last.keyword !== "anyOf") return last;
	return violations.find((each) => each.instancePath.length > last.instancePath.length) ?? last;
}

/** The types that the branches of a union want, where the value has none of them. */
function wantedTypes(violations: readonly Violation[], union: Violation): unknown[] {
	const branches = violations.filter((each) => each !== union && each.instancePath === union.instancePath);
	return branches.every((each) => each.keyword === "type") ? branches.map((each) => each.params.type) : [];
}

const TYPE_NAMES: Record<string, string> = {
	string: describeType(""),
	number: describeType(0),
	integer: "a whole number",
	boolean: describeType(true),
	object: describeType({}),
	array: describeType([]),
	null: describeType(null),
};

/** Types may come as a list in one finding (`"type": ["string", "number"]`). */
function listTypes(types: readonly unknown[]): string {
	const names = types.flat().map((type) => TYPE_NAMES[String(type)] ?? String(type));
	return [...new Set(names)].join(" or ");
}

/** The keywords that scripts/validators.ts lets through, but for "required" and the types. */
function describeRule(keyword: string, params: Readonly<Record<string, unknown>>): string {
	switch (keyword) {
		case "enum":
			return `must be one of ${(params.allowedValues as unknown[]).map(excerpt).join(", ")}`;
		case "const":
			return `must be ${excerpt(params.allowedValue)}`;
		case "minimum":
			return `must be at least ${params.limit}`;
		case "maximum":
			return `must be at most ${params.limit}`;
		case "minLength":
		case "minItems":
			return params.limit === 1 ? "must have an entry" : `must have at least ${params.limit} entries`;
		case "maxLength":
		case "maxItems":
			return `must have at most ${params.limit} entries`;
		case "pattern":
			return `must match ${params.pattern}`;
		default:
			return "must have one of the forms that the reference page lists";
	}
}

/** `["ipam", "ranges", "0", "0", "subnet"]`: `ipam.ranges[0][0].subnet`. */
function formatPath(segments: readonly string[]): string {
	let path = "";
	for (const segment of segments) {
		if (/^[0-9]+$/.test(segment)) path += `[${segment}]`;
		else path += path === "" ? segment : `.${segment}`;
	}
	return path === "" ? "the configuration" : path;
}

function unescapePointer(segment: string): string {
	return segment.replaceAll("~1", "/").replaceAll("~0", "~");
}
