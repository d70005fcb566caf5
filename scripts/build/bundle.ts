/**
 * TypeScript to the one module that the executable embeds, berth.js. It imports nothing but the host's native module,
 * and exports `main`, which the host calls.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import * as esbuild from "esbuild";
import { validatorPlugin } from "./validators.ts";

/**
 * js-yaml is one file, in which tags, schemas and options that we do not use are made by calls, and these esbuild must
 * keep. None does anything but return what is assigned; where esbuild is told so, 0.1 MB less is in the executable.
 */
const unusedYaml: esbuild.Plugin = {
	name: "unused-yaml",
	setup(build) {
		build.onLoad({ filter: /\/js-yaml\.mjs$/ }, ({ path }) => {
			const source = readFileSync(path, "utf8");
			const definition = /^var (\S+) = ((?!class\b)(?:.|\n)*?);$(?=\n\S)/gm;
			return { contents: source.replace(definition, "var $1 = /* @__PURE__ */ (() => ($2))();") };
		});
	},
};

/**
 * What the host's module exports, which esbuild does not know: a name of `export *` it would look up by calling a
 * function, at each use.
 */
const nativeNames: esbuild.Plugin = {
	name: "native-names",
	setup(build) {
		build.onLoad({ filter: /\/lib\/sys\/sys\.ts$/ }, ({ path }) => {
			const declared = readFileSync(join(dirname(path), "native.d.ts"), "utf8");
			const names = Array.from(declared.matchAll(/^\texport function (\w+)/gm), ([, name]) => name);
			const source = readFileSync(path, "utf8");
			return { contents: source.replace("export * from", `export { ${names.join(", ")} } from`), loader: "ts" };
		});
	},
};

/** Objects with builtin functions: classes, whose `prototype` has some, too, and what has no name. */
const CLASSES = ["Object", "Function", "Array", "String", "Number", "BigInt", "Symbol", "RegExp", "Date", "Error"];
const COLLECTIONS = ["Map", "Set", "WeakMap", "ArrayBuffer", "DataView", "Object.getPrototypeOf(Uint8Array)"];
const ITERATED = ["[]", '""', "new Map", "new Set"];
const OWNERS = [
	...["JSON", "Math", "Reflect"],
	...[...CLASSES, ...COLLECTIONS].flatMap((name) => [name, `${name}.prototype`]),
	...ITERATED.map((each) => `Object.getPrototypeOf((${each})[Symbol.iterator]())`),
];

/** The engine's own operators look them up. */
const SYMBOLS = Object.getOwnPropertyNames(Symbol).filter((name) => typeof Reflect.get(Symbol, name) === "symbol");

/**
 * A statement that touches the builtin functions which `module` or the engine has a word for. The engine makes most of
 * them at their first use: in each process anew, unless they are in the image.
 */
function touchBuiltins(module: string): string {
	const words = new Set(module.match(/(?<=\.)\w+/g));
	const lists = OWNERS.map((owner) => {
		const object: object = new Function(`return ${owner}`)();
		const names = Object.getOwnPropertyNames(object).filter((name) => words.has(name));
		const symbols = SYMBOLS.filter((name) => Object.hasOwn(object, Reflect.get(Symbol, name)));
		return `[${[owner, ...names.map((name) => JSON.stringify(name)), ...symbols.map((name) => `Symbol.${name}`)]}]`;
	});
	return `for(const[o,...keys]of[${lists}])for(const key of keys)Object.getOwnPropertyDescriptor(o,key);\n`;
}

/**
 * Bundles the file `entry`, which exports `main`, and all that it imports into the directory `out`. Returns the files
 * that something of is in the bundle, from the root.
 */
export async function bundle(root: string, entry: string, out: string): Promise<string[]> {
	const result = await esbuild.build({
		entryPoints: [join(root, entry)],
		absWorkingDir: root,
		write: false,
		metafile: true,
		bundle: true,
		format: "esm",
		target: "es2023",
		supported: { using: true },
		platform: "neutral",
		charset: "utf8",
		legalComments: "none",
		minifySyntax: true,
		minifyWhitespace: true,
		logLevel: "warning",
		external: ["native:sys"],
		plugins: [validatorPlugin(), nativeNames, unusedYaml],
	});
	const file = join(out, "berth.js");
	const module = result.outputFiles![0]!.text;
	const contents = Buffer.from(module + touchBuiltins(module));
	// Left alone when it stays the same, so that cargo sees what changed.
	if (!existsSync(file) || !readFileSync(file).equals(contents)) {
		rmSync(out, { recursive: true, force: true });
		mkdirSync(out, { recursive: true });
		writeFileSync(file, contents);
	}
	const inputs = Object.values(result.metafile.outputs).flatMap((output) => Object.entries(output.inputs));
	return inputs.filter(([, { bytesInOutput }]) => bytesInOutput > 0).map(([name]) => name);
}
