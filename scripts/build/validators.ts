/**
 * Validators: the module `validator:<name>` for esbuild and vite, made from the zod schema of that name.
 *
 * zod is the source, not the run-time: the schema becomes a JSON Schema, and what of it can say no to a value becomes a
 * small tree that lib/cni/config.ts walks. That tree is all that the executable gets.
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type * as esbuild from "esbuild";
import { z } from "zod";
import type { Validator } from "../../lib/cni/config.ts";
import type { JsonValue } from "../../lib/cni/types.ts";
import { findPlugins } from "./plugins.ts";

const ROOT = join(import.meta.dirname, "../..");

/** As much of a JSON Schema as our zod schemas make. */
export interface JsonSchema {
	$schema?: string;
	type?: string;
	description?: string;
	default?: unknown;
	properties?: Record<string, JsonSchema>;
	required?: string[];
	additionalProperties?: JsonSchema | boolean;
	items?: JsonSchema;
	anyOf?: JsonSchema[];
	enum?: unknown[];
	const?: unknown;
	minimum?: number;
	maximum?: number;
	[keyword: string]: unknown;
}

export interface SchemaSource {
	/** "host-local"; what `validator:<name>` and schemas/<name>.schema.json are called after. */
	readonly name: string;
	/** Path from the project's root. */
	readonly file: string;
}

/** The plugins' schemas. */
export const pluginSchemas = (): SchemaSource[] =>
	findPlugins().map(({ name, directory }) => ({ name, file: `${directory}/schema.ts` }));

/** Those that only the library needs. */
export const LIBRARY_SCHEMAS: SchemaSource[] = [{ name: "cni-result", file: "lib/cni/result-schema.ts" }];

/** The keywords that lib/cni/config.ts understands, and those that say nothing about a value. */
const KEYWORDS = new Set(
	"type properties required additionalProperties items anyOf enum const minimum maximum $schema title description default".split(
		" ",
	),
);

/** The JSON Schema of a source file's `schema`. Throws for what a validator of ours cannot say or would silently do. */
export async function jsonSchema(source: SchemaSource): Promise<JsonSchema> {
	const { schema } = (await import(pathToFileURL(join(ROOT, source.file)).href)) as { schema: z.ZodType };
	return z.toJSONSchema(schema, {
		target: "draft-2020-12",
		io: "input",
		override: ({ zodSchema, jsonSchema: made, path }) => {
			const here = `${source.file}: ${path.join(".") || "schema"}`;
			if (zodSchema._zod.def.type === "default" || zodSchema._zod.def.type === "prefault") {
				throw new Error(
					`${here}: the validator sets no defaults: use .optional().meta({ default }) and set it in code`,
				);
			}
			simplify(made as JsonSchema);
			const unknown = Object.keys(made).find((keyword) => !KEYWORDS.has(keyword));
			if (unknown)
				throw new Error(`${here}: lib/cni/config.ts does not understand the keyword "${unknown}": check it in code`);
		},
	}) as JsonSchema;
}

/** Takes out what zod adds and no JSON value can violate: bounds of safe integers, text keys, "anything else goes". */
function simplify(schema: JsonSchema): void {
	if (schema.minimum === Number.MIN_SAFE_INTEGER) delete schema.minimum;
	if (schema.maximum === Number.MAX_SAFE_INTEGER) delete schema.maximum;
	if (JSON.stringify(schema.propertyNames) === '{"type":"string"}') delete schema.propertyNames;
	const others = schema.additionalProperties;
	if (typeof others === "object" && Object.keys(others).length === 0) delete schema.additionalProperties;
}

const TYPES = {
	string: "string",
	integer: "integer",
	number: "number",
	boolean: "boolean",
	object: "object",
	array: "list",
} as const;

/** The part of a schema that can say no to a value. */
export function toValidator(schema: JsonSchema): Validator {
	const { type, required, additionalProperties, anyOf, minimum, maximum } = schema;
	if (type !== undefined && !Object.hasOwn(TYPES, type)) throw new Error(`a validator of ours knows no type ${type}`);
	if (additionalProperties === false) throw new Error("Go ignores unknown keys: use z.looseObject, not z.strictObject");
	const below = typeof additionalProperties === "object" ? additionalProperties : schema.items;
	const members = Object.entries(schema.properties ?? {}).map(([key, field]) => [key, toValidator(field)] as const);
	const oneOf = "const" in schema ? [schema.const] : schema.enum;
	return {
		...(type !== undefined && { type: TYPES[type as keyof typeof TYPES] }),
		...(members.length > 0 && { members: Object.assign(Object.create(null), Object.fromEntries(members)) }),
		...(required?.length && { required }),
		...(below && { items: toValidator(below) }),
		...(oneOf && { oneOf: oneOf as JsonValue[] }),
		...(minimum !== undefined && { minimum }),
		...(maximum !== undefined && { maximum }),
		...(anyOf && { anyOf: anyOf.map(toValidator) }),
	};
}

/** JavaScript of the module `validator:<name>`: no imports, its default export a `Validator` of lib/cni/config.ts. */
export async function validatorModule(name: string): Promise<string> {
	const source = [...pluginSchemas(), ...LIBRARY_SCHEMAS].find((each) => each.name === name);
	if (!source) throw new Error(`validator:${name}: there is no plugins/${name}/schema.ts or ipam/${name}/schema.ts`);
	return expression(toValidator(await jsonSchema(source)));
}

/** The module's text. Equal parts, such as the routes and ranges that occur twice, are written once. */
function expression(validator: Validator): string {
	const names = new Map<string, string>();
	const lines: string[] = [];
	const write = (value: unknown): string => {
		if (typeof value !== "object" || value === null) return JSON.stringify(value);
		if (Array.isArray(value)) return `[${value.map(write).join(",")}]`;
		const members = Object.entries(value).map(([key, below]) => `${JSON.stringify(key)}:${write(below)}`);
		// What has no prototype has no key that was not put there.
		if (Object.getPrototypeOf(value) === null) members.unshift("__proto__:null");
		const text = `{${members.join(",")}}`;
		let known = names.get(text);
		if (known === undefined) {
			known = `v${names.size}`;
			names.set(text, known);
			lines.push(`const ${known} = ${text};`);
		}
		return known;
	};
	const root = write(validator);
	const quick = new Quick();
	const test = quick.test(validator, "value");
	return `${lines.join("\n")}\n${quick.text}\nexport default {...${root},quick:(value)=>${test}};\n`;
}

/**
 * Writes what a validator says as code: whether a value needs no folding of keys and breaks no rule. For most
 * configurations that is all there is to know, and this costs a third of walking the tree.
 */
class Quick {
	/** Functions, by their text. */
	readonly #names = new Map<string, string>();

	/** Their declarations: for each object, and for each kind of list. */
	get text(): string {
		return [...this.#names].map(([body, name]) => `function ${name}(value){${body}}`).join("\n");
	}

	/** An expression that is true where `value`, an expression without effects, conforms. */
	test(validator: Validator, value: string): string {
		const { type, members, items, required = [], oneOf, anyOf, minimum, maximum } = validator;
		if (anyOf) return `(${anyOf.map((branch) => this.test(branch, value)).join("||")})`;
		const tests: string[] = [];
		if (oneOf) tests.push(`(${oneOf.map((each) => `${value}===${JSON.stringify(each)}`).join("||")})`);
		if (type === "list" || (type === undefined && items)) {
			tests.push(items ? this.#function(this.#list(items), value) : `Array.isArray(${value})`);
		} else if (type === "object" || members) {
			tests.push(this.#function(this.#object(members ?? {}, items, required), value));
		} else if (type === "integer") tests.push(`Number.isInteger(${value})`);
		else if (type !== undefined) tests.push(`typeof ${value}==="${type}"`);
		if (minimum !== undefined) tests.push(`${value}>=${minimum}`);
		if (maximum !== undefined) tests.push(`${value}<=${maximum}`);
		// A known key that is null is not set, and taken out.
		return tests.length > 0 ? tests.join("&&") : `${value}!==null`;
	}

	#function(body: string, value: string): string {
		const name = this.#names.get(body) ?? `q${this.#names.size}`;
		this.#names.set(body, name);
		return `${name}(${value})`;
	}

	#list(items: Validator): string {
		const test = this.test(items, "value[i]");
		return `if(!Array.isArray(value))return false;for(let i=0;i<value.length;i++)if(!(${test}))return false;return true`;
	}

	#object(
		members: Readonly<Record<string, Validator>>,
		items: Validator | undefined,
		required: readonly string[],
	): string {
		const isObject = 'typeof value==="object"&&value!==null&&!Array.isArray(value)';
		const keys = Object.keys(members);
		if (keys.length + required.length === 0 && items === undefined) return `return ${isObject}`;
		// By name: to go on to the next key takes the engine three times as long as to look for a member.
		const tests = Object.entries(members).map(
			([key, below]) =>
				`member=${read(key)};if(${isThere(key, "member")}){if(!(${this.test(below, "member")}))return false;known++}`,
		);
		const when = (key: string, names: readonly string[], then: string, others: string) =>
			names.length === 0
				? others
				: `switch(${key}){${names.map((name) => `case ${JSON.stringify(name)}:`).join("")}${then};default:${others}}`;
		// Another spelling of a key that is known: see fold() of lib/cni/keys.ts.
		const folded = keys.map((key) => key.toUpperCase().toLowerCase());
		const test = items ? `if(!(${this.test(items, "value[key]")}))return false` : "";
		const others = when("key.toUpperCase().toLowerCase()", folded, "return false", test);
		const counted = `let member,known=0;${tests.join("")}if(known<Object.keys(value).length)`;
		return [
			`if(!(${isObject}))return false;${keys.length > 0 ? counted : ""}`,
			`for(const key in value){${when("key", keys, "break", others)}}`,
			`return ${required.map((key) => isThere(key, read(key))).join("&&") || "true"}`,
		].join("");
	}
}

const read = (key: string): string => `value[${JSON.stringify(key)}]`;

/** JSON has no undefined; a key that every object has must be the object's own. */
function isThere(key: string, member: string): string {
	return key in Object.prototype ? `Object.hasOwn(value,${JSON.stringify(key)})` : `${member}!==undefined`;
}

/** Resolves `validator:<name>` in esbuild. */
export const validatorPlugin = (): esbuild.Plugin => ({
	name: "validators",
	setup(build) {
		const namespace = "validator";
		build.onResolve({ filter: /^validator:/ }, ({ path }) => ({ path: path.slice("validator:".length), namespace }));
		build.onLoad({ filter: /.*/, namespace }, async ({ path }) => ({ contents: await validatorModule(path) }));
	},
});

/** Resolves `validator:<name>` in vite, for vitest. */
export const validatorVitePlugin = () => ({
	name: "validators",
	resolveId: (id: string) => (id.startsWith("validator:") ? `\0${id}` : undefined),
	load: (id: string) => (id.startsWith("\0validator:") ? validatorModule(id.slice("\0validator:".length)) : undefined),
});
