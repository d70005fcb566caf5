/**
 * A plugin's configuration: Go's keys folded, then held against the plugin's schema.
 *
 * The schema comes from the build as a small tree (scripts/build/validators.ts), which this walks.
 */
import { CniError, Code } from "./error.ts";
import { isObject } from "./json.ts";
import { define, foldKeys } from "./keys.ts";
import { excerpt } from "./quote.ts";
import type { JsonObject, JsonValue } from "./types.ts";

/** What `validator:<name>` exports: a schema, as far as its values can be wrong. */
export interface Validator {
	/** Undefined: any value goes. */
	readonly type?: "string" | "integer" | "number" | "boolean" | "object" | "list";
	/**
	 * The members of an object, spelled as the schema spells them; without a prototype. Others are allowed, as in Go.
	 */
	readonly members?: { readonly [key: string]: Validator };
	readonly required?: readonly string[];
	/** The items of a list, or what an object holds under the keys that `members` does not name. */
	readonly items?: Validator;
	readonly oneOf?: readonly JsonValue[];
	/** Bounds of a number, both inclusive. */
	readonly minimum?: number;
	readonly maximum?: number;
	/** A union: the value must fit one of these. */
	readonly anyOf?: readonly Validator[];
	/**
	 * Of the whole: true where `value` needs no folding and breaks no rule, told by code that the build has made of the
	 * above.
	 */
	readonly quick?: (value: JsonValue) => boolean;
}

/**
 * The configuration as the type of its schema. Known keys in any case are accepted, null is "not set", unknown keys
 * stay. Throws for the first violation: code 6 for a value of a wrong type, 7 for a missing or a forbidden one.
 */
export function loadConfig<T>(config: JsonObject, validator: Validator): T {
	if (validator.quick?.(config)) return config as T;
	const folded = foldKeys(config, validator);
	const path: Path = [];
	const rule = findViolation(folded, validator, path);
	if (rule !== undefined) throw violationError(folded, path, rule);
	return folded as T;
}

/**
 * What is usable of a configuration, for verbs that must work with what is left of it: without the values that break a
 * rule of its schema. Its name has been looked at before any verb. For schemas that require no other member.
 */
export function usableConfig<T extends { name: string }>(
	config: JsonObject,
	validator: Validator,
): Partial<T> & Pick<T, "name"> {
	if (validator.quick?.(config)) return config as T;
	return usablePart(foldKeys(config, validator), validator) as Partial<T> & Pick<T, "name">;
}

function usablePart(value: JsonValue, validator: Validator): JsonValue | undefined {
	if (findViolation(value, validator, []) === undefined) return value;
	if (validator.type !== "object" || !isObject(value)) return undefined;
	const part: JsonObject = {};
	for (const key in value) {
		const below = validator.members?.[key] ?? validator.items;
		const each = below === undefined ? value[key] : usablePart(value[key]!, below);
		if (each !== undefined) define(part, key, each);
	}
	return part;
}

/** A value that breaks a rule of its schema, or a member that is missing. */
interface Violation {
	readonly path: readonly (string | number)[];
	readonly message: string;
}

/**
 * Every violation, for people who mend a configuration; its keys are as the schema spells them (`foldKeys`). The same
 * sentences as `loadConfig`'s, which stops at the first.
 */
export function everyViolation(config: JsonValue, validator: Validator): Violation[] {
	return violationsBelow(config, config, validator, []);
}

function violationsBelow(config: JsonValue, value: JsonValue, validator: Validator, place: Path): Violation[] {
	const path: Path = [];
	const rule = findViolation(value, validator, path);
	if (rule === undefined) return [];
	if (path.length === 0 || validator.anyOf !== undefined || typeof value !== "object" || value === null) {
		const whole = [...place, ...path];
		return [{ path: whole, message: violationError(config, whole, rule).message }];
	}
	const { members, items } = validator;
	if (Array.isArray(value)) {
		return value.flatMap((item, index) => violationsBelow(config, item, items ?? {}, [...place, index]));
	}
	const missing = (validator.required ?? []).filter((key) => !Object.hasOwn(value, key));
	const below = Object.entries(value).flatMap(([key, member]) =>
		violationsBelow(config, member, members?.[key] ?? items ?? {}, [...place, key]),
	);
	return [
		...missing.map((key) => ({ path: [...place, key], message: `${formatPath([...place, key])} is missing` })),
		...below,
	];
}

/** Where in a configuration. */
type Path = (string | number)[];

/** What a value must be: the end of that sentence. */
interface Rule {
	readonly code: Code;
	readonly text: string;
	/** There is no value to quote. */
	readonly missing?: true;
}

/**
 * The rule that `value` breaks first; `path`, which is empty, then leads from it to the place. Undefined where there is
 * none.
 */
function findViolation(value: JsonValue, validator: Validator, path: Path): Rule | undefined {
	if (validator.anyOf !== undefined) return findUnionViolation(value, validator.anyOf, path);
	const { type } = validator;
	if (type !== undefined && !hasType(value, type)) return { code: Code.decoding, text: TYPE_NAMES[type] };
	if (validator.oneOf !== undefined && !validator.oneOf.includes(value)) {
		const text = `${validator.oneOf.length > 1 ? "one of " : ""}${validator.oneOf.map(excerpt).join(", ")}`;
		return { code: Code.invalidConfig, text };
	}
	if (typeof value === "number") return findBoundViolation(value, validator);
	if (typeof value !== "object" || value === null) return undefined;
	if (!Array.isArray(value)) return findMemberViolation(value, validator, path);
	return validator.items && findItemViolation(value, validator.items, path);
}

function findBoundViolation(value: number, { minimum, maximum }: Validator): Rule | undefined {
	if (minimum !== undefined && value < minimum) return { code: Code.invalidConfig, text: `at least ${minimum}` };
	if (maximum !== undefined && value > maximum) return { code: Code.invalidConfig, text: `at most ${maximum}` };
	return undefined;
}

function findItemViolation(list: JsonValue[], items: Validator, path: Path): Rule | undefined {
	for (let index = 0; index < list.length; index++) {
		const rule = findViolation(list[index]!, items, path);
		if (rule === undefined) continue;
		path.unshift(index);
		return rule;
	}
	return undefined;
}

function findMemberViolation(object: JsonObject, validator: Validator, path: Path): Rule | undefined {
	const { members, items, required } = validator;
	for (const key of required ?? []) {
		if (Object.hasOwn(object, key)) continue;
		path.unshift(key);
		return { code: Code.invalidConfig, text: "", missing: true };
	}
	for (const key in object) {
		const below = members?.[key] ?? items;
		const rule = below && findViolation(object[key]!, below, path);
		if (rule === undefined) continue;
		path.unshift(key);
		return rule;
	}
	return undefined;
}

/** A violation deeper inside one branch says more than that no branch fits. */
function findUnionViolation(value: JsonValue, branches: readonly Validator[], path: Path): Rule | undefined {
	const rules: Rule[] = [];
	for (const branch of branches) {
		const rule = findViolation(value, branch, path);
		if (rule === undefined || path.length > 0) return rule;
		rules.push(rule);
	}
	const code = rules.every((rule) => rule.code === Code.decoding) ? Code.decoding : Code.invalidConfig;
	return { code, text: rules.map((rule) => rule.text).join(" or ") };
}

const TYPE_NAMES = {
	string: "a string",
	integer: "a whole number",
	number: "a number",
	boolean: "true or false",
	object: "an object",
	list: "a list",
} as const;

function hasType(value: JsonValue, type: NonNullable<Validator["type"]>): boolean {
	if (type === "integer") return Number.isInteger(value);
	if (type === "object") return isObject(value);
	return type === "list" ? Array.isArray(value) : typeof value === type;
}

/** What is wrong, and where. */
function violationError(config: JsonValue, path: Path, { code, text, missing }: Rule): CniError {
	const place = formatPath(path);
	if (missing) return new CniError(code, `${place} is missing`);
	let value: unknown = config;
	for (const key of path) value = (value as Record<string, unknown>)[key];
	return new CniError(code, `${place} must be ${text}, not ${excerpt(value)}`);
}

/** `["ipam", "ranges", 0, 0, "subnet"]`: `ipam.ranges[0][0].subnet`. */
export function formatPath(path: readonly (string | number)[]): string {
	let text = "";
	for (const key of path) {
		if (typeof key === "number") text += `[${key}]`;
		else text += text === "" ? key : `.${key}`;
	}
	return text === "" ? "the configuration" : text;
}
