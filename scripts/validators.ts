/**
 * Validators as code: the module `validator:<name>` for esbuild and vite, made from the zod schema of that name.
 *
 * zod is the source, not the run-time: the schema becomes a JSON Schema, ajv's standalone generator makes a function of it,
 * and that function and a tree of the known keys is all that the executable gets.
 */
import { existsSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { Ajv } from "ajv";
import standalone from "ajv/dist/standalone/index.js";
import type * as esbuild from "esbuild";
import { z } from "zod";
import type { KeyTree } from "../lib/cni/keys.ts";

const ROOT = join(import.meta.dirname, "..");

/** As much of a JSON Schema as our zod schemas make. */
export interface JsonSchema {
	$schema?: string;
	type?: string | string[];
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

/** The plugins' schemas: `schema.ts` in every folder below plugins/ and ipam/. */
export function pluginSchemas(): SchemaSource[] {
	return ["plugins", "ipam"].flatMap((parent) =>
		readdirSync(join(ROOT, parent))
			.sort()
			.map((name) => ({ name, file: `${parent}/${name}/schema.ts` }))
			.filter(({ file }) => existsSync(join(ROOT, file))),
	);
}

/** Those that only the library needs. */
const LIBRARY_SCHEMAS: SchemaSource[] = [{ name: "cni-result", file: "lib/cni/result-schema.ts" }];

/** The keywords that lib/cni/config.ts has sentences for, and those that say nothing about a value. */
const KEYWORDS = new Set(
	(
		"type properties required additionalProperties items anyOf enum const minimum maximum minLength maxLength minItems " +
		"maxItems pattern $schema title description default"
	).split(" "),
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
			if (unknown) throw new Error(`${here}: lib/cni/config.ts has no sentence for the keyword "${unknown}"`);
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

/** The keys of a schema, as lib/cni/keys.ts folds them. */
export function keyTree(schema: JsonSchema): KeyTree {
	const branches = (schema.anyOf ?? []).map(keyTree);
	const members: Record<string, KeyTree> = Object.assign({}, ...branches.map((branch) => branch.members ?? {}));
	for (const [key, below] of Object.entries(schema.properties ?? {})) members[key] = keyTree(below);
	const others = typeof schema.additionalProperties === "object" ? schema.additionalProperties : schema.items;
	const items = others ? keyTree(others) : branches.find((branch) => branch.items)?.items;
	return {
		...(Object.keys(members).length > 0 ? { members } : {}),
		...(items && Object.keys(items).length > 0 ? { items } : {}),
	};
}

/** JavaScript of the module `validator:<name>`: no imports, its default export a `Validator` of lib/cni/config.ts. */
export async function validatorModule(name: string): Promise<{ code: string; file: string }> {
	const source = [...pluginSchemas(), ...LIBRARY_SCHEMAS].find((each) => each.name === name);
	if (!source) throw new Error(`validator:${name}: there is no plugins/${name}/schema.ts or ipam/${name}/schema.ts`);
	const schema = await jsonSchema(source);
	// Our keywords mean the same in every draft; the class of 2020-12 adds the bookkeeping of keywords that we do not have.
	const ajv = new Ajv({
		messages: false,
		inlineRefs: true,
		unicodeRegExp: false,
		strict: true,
		strictTypes: false,
		// "default" is documentation here; the code of ajv would change the value.
		useDefaults: false,
		code: { source: true, esm: true, lines: false, optimize: 2 },
	});
	const code = standalone(ajv, ajv.compile(withoutTexts(schema) as JsonSchema));
	if (/\brequire\(|\bimport\b/.test(code)) {
		throw new Error(`${source.file}: its validator needs ajv at run time: do without the keyword that needs it`);
	}
	const body = trim(code, schema);
	return {
		file: join(ROOT, source.file),
		code: `${body}
export default {
	validate: (value) => (check(value) ? undefined : check.errors),
	keys: ${JSON.stringify(keyTree(schema))},
};
`,
	};
}

/** The schema without what only people read: ajv puts parts of it into its output. */
function withoutTexts(schema: unknown): unknown {
	const text = JSON.stringify(schema, (key, value: unknown) =>
		(key === "description" && typeof value === "string") || key === "$schema" ? undefined : value,
	);
	return JSON.parse(text);
}

/**
 * Leaves out of ajv's output what nothing of ours reads: its exports, the path into the schema, and the schema itself, of which
 * only the lists of allowed values are used; writes each finding as a call. Half of the size.
 */
function trim(code: string, schema: JsonSchema): string {
	const name = /export default (\w+);/.exec(code)?.[1];
	if (!name) throw new Error("the output of ajv's standalone generator has changed: it has no default export");
	return code
		.replace(/^"use strict";/, "")
		.replace(/const schema\d+ = .*?;(?=(const|function) )/, "")
		.replaceAll(/schema\d+((?:\.\w+|\["[^"]+"\]|\[\d+\])+)/g, (_, path: string) =>
			JSON.stringify(valueAt(schema, path)),
		)
		.replace(/export const validate = \w+;/, "")
		.replace(/export default \w+;/, "")
		.replaceAll(/schemaPath:"(?:[^"\\]|\\.)*",/g, "")
		.replaceAll(
			/\w+\.errors = \[\{instancePath(?::([^,]+))?,keyword:("\w+"),params:(\{[^{}]*\})\}\];return false;/g,
			(_, path = "instancePath", keyword, params) => `return refuse(${path},${keyword},${params});`,
		)
		.concat(
			`\nconst check = ${name};`,
			"\nfunction refuse(instancePath, keyword, params) { check.errors = [{ instancePath, keyword, params }]; return false; }",
		);
}

/** `.properties.spoofchk.enum` or `["x-y"][0]` of a value. */
function valueAt(value: unknown, path: string): unknown {
	const keys = [...path.matchAll(/\.(\w+)|\["([^"]+)"\]|\[(\d+)\]/g)].map((match) => match[1] ?? match[2] ?? match[3]!);
	return keys.reduce<unknown>((below, key) => (below as Record<string, unknown>)[key], value);
}

const FILTER = /^validator:/;

/** Resolves `validator:<name>` in esbuild. */
export function validatorPlugin(): esbuild.Plugin {
	return {
		name: "validators",
		setup(build) {
			build.onResolve({ filter: FILTER }, ({ path }) => ({
				path: path.slice("validator:".length),
				namespace: "validator",
			}));
			build.onLoad({ filter: /.*/, namespace: "validator" }, async ({ path }) => {
				const { code, file } = await validatorModule(path);
				return { contents: code, loader: "js", resolveDir: ROOT, watchFiles: [file] };
			});
		},
	};
}

/** A plugin of vite (and rollup), as far as these hooks go. */
export interface VitePlugin {
	readonly name: string;
	resolveId(id: string): string | undefined;
	load(id: string): Promise<string> | undefined;
}

/** Resolves `validator:<name>` in vite, for vitest. */
export function validatorVitePlugin(): VitePlugin {
	return {
		name: "validators",
		resolveId: (id) => (FILTER.test(id) ? `\0${id}` : undefined),
		load: (id) =>
			id.startsWith("\0validator:")
				? validatorModule(id.slice("\0validator:".length)).then(({ code }) => code)
				: undefined,
	};
}

/** Paths in messages, from the project's root. */
export function fromRoot(path: string): string {
	return relative(ROOT, path);
}
