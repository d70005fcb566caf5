/**
 * TypeScript to the modules that the executable embeds: one per applet, one per set of verbs, those that are read later
 * (later.ts), and what they share.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import * as esbuild from "esbuild";
import { validatorPlugin } from "../validators.ts";
import { laterEntries, laterPlugin } from "./later.ts";

/**
 * `applet/<name>` and `verbs/<name>` of every plugin below `parents`, with the source file of each. A plugin that has only
 * one of the two is left out when `unfinished` is set, and an error otherwise.
 */
export function entryPoints(root: string, parents: readonly string[], unfinished = false): Record<string, string> {
	const entries: Record<string, string> = {};
	for (const parent of parents) {
		for (const name of readdirSync(join(root, parent)).sort()) {
			const main = join(root, parent, name, "main.ts");
			const verbs = join(root, parent, name, "verbs.ts");
			if (!existsSync(main) && !existsSync(verbs)) continue;
			if (!existsSync(main) || !existsSync(verbs)) {
				if (unfinished) continue;
				throw new Error(`${parent}/${name} has only one of main.ts and verbs.ts: an applet needs both`);
			}
			if (entries[`applet/${name}`]) throw new Error(`two plugins are called ${name}`);
			entries[`applet/${name}`] = main;
			entries[`verbs/${name}`] = verbs;
		}
	}
	return entries;
}

/** Bundles `entries` into the folder `out`. Files that stay the same are left alone, so that cargo sees what changed. */
export async function bundle(root: string, entries: Record<string, string>, out: string): Promise<void> {
	const result = await esbuild.build({
		absWorkingDir: root,
		entryPoints: tiers({ ...laterEntries(root), ...entries }),
		outdir: out,
		write: false,
		bundle: true,
		splitting: true,
		format: "esm",
		target: "es2023",
		platform: "neutral",
		charset: "utf8",
		legalComments: "none",
		minifySyntax: true,
		minifyWhitespace: true,
		logLevel: "warning",
		plugins: [nativePlugin(root), validatorPlugin(), laterPlugin(), tierPlugin(root)],
	});
	const wanted = new Map(result.outputFiles.map((file) => [file.path, file.contents]));
	for (const path of filesBelow(out)) {
		if (!wanted.has(path)) rmSync(path);
	}
	for (const [path, contents] of wanted) {
		if (existsSync(path) && readFileSync(path).equals(contents)) continue;
		mkdirSync(dirname(path), { recursive: true });
		writeFileSync(path, contents);
	}
}

/**
 * What is there whenever another module than an applet is read: the applet's part of the protocol, and that of the verbs with what almost
 * all of them use.
 */
const TIERS = [
	"lib/linux/plugin-main.ts",
	"lib/cni/call.ts",
	"lib/ip/address.ts",
	"lib/linux/files.ts",
	"lib/linux/lock.ts",
];

/**
 * esbuild makes a chunk of the files that the same entries import. For these two dozen entries that was one for almost every small file,
 * and each costs the engine as much as 1 KB of code. Therefore all entries but the applets import both tiers, which makes a chunk of each.
 */
function tiers(entries: Record<string, string>): Record<string, string> {
	const tiered = Object.entries(entries).map(([name, file]) => [
		name,
		name.startsWith("applet/") ? file : `tier:${file}`,
	]);
	return Object.fromEntries(tiered);
}

function tierPlugin(root: string): esbuild.Plugin {
	return {
		name: "tiers",
		setup(build) {
			build.onResolve({ filter: /^tier:/ }, ({ path }) => ({ path: path.slice("tier:".length), namespace: "tier" }));
			build.onLoad({ filter: /.*/, namespace: "tier" }, ({ path }) => {
				const lines = TIERS.map((tier) => `import ${JSON.stringify(join(root, tier))};`);
				return { contents: [...lines, `export * from ${JSON.stringify(path)};`].join("\n"), resolveDir: root };
			});
		},
	};
}

function filesBelow(folder: string): string[] {
	if (!existsSync(folder)) return [];
	return readdirSync(folder, { recursive: true, withFileTypes: true })
		.filter((entry) => entry.isFile())
		.map((entry) => join(entry.parentPath, entry.name));
}

/**
 * Tells esbuild what `native:sys` exports. Of a module that it knows nothing about, `export * from` would be copied name by
 * name when a verb starts.
 */
function nativePlugin(root: string): esbuild.Plugin {
	const declaration = join(root, "lib/linux/native.d.ts");
	return {
		name: "native",
		setup(build) {
			build.onResolve({ filter: /^native:sys$/ }, ({ namespace }) =>
				namespace === "native"
					? { path: "native:sys", external: true, sideEffects: false }
					: { path: "native:sys", namespace: "native", sideEffects: false },
			);
			build.onLoad({ filter: /.*/, namespace: "native" }, () => {
				const names = [...readFileSync(declaration, "utf8").matchAll(/^\texport function (\w+)\(/gm)];
				if (names.length === 0) throw new Error(`${relative(root, declaration)} declares no function`);
				return { contents: `export { ${names.map(([, name]) => name).join(", ")} } from "native:sys";` };
			});
		},
	};
}
