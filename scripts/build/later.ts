/**
 * Modules that are read when they are needed: `import load from "later:<path from the root>"`, for esbuild and vite.
 *
 * In the executable each is an embedded module of its own, `later/<path>`, which `load` asks the host for. On Node, where time
 * does not matter, it is an ordinary import.
 */
import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type * as esbuild from "esbuild";
import type { VitePlugin } from "../validators.ts";

const FILTER = /^later:/;

/** Entry points for the modules that sources name in `later:` imports: `later/lib/cni/gc` of lib/cni/gc.ts. */
export function laterEntries(root: string): Record<string, string> {
	const entries: Record<string, string> = {};
	for (const file of globSync("{lib,plugins,ipam}/**/*.ts", { cwd: root, exclude: ["**/*.d.ts"] }).sort()) {
		for (const [, path] of readFileSync(join(root, file), "utf8").matchAll(/ from "later:([^"]+)";$/gm)) {
			entries[entryOf(path!)] = sourceOf(root, path!, file);
		}
	}
	return entries;
}

function entryOf(path: string): string {
	return `later/${path.replace(/\.ts$/, "")}`;
}

function sourceOf(root: string, path: string, importer: string): string {
	const file = join(root, path);
	if (!existsSync(file)) throw new Error(`${importer}: later:${path}: there is no such file below ${root}`);
	return file;
}

/** Resolves `later:<path>` in esbuild. */
export function laterPlugin(): esbuild.Plugin {
	return {
		name: "later",
		setup(build) {
			build.onResolve({ filter: FILTER }, ({ path }) => ({
				path: path.slice("later:".length),
				namespace: "later",
				sideEffects: false,
			}));
			build.onLoad({ filter: /.*/, namespace: "later" }, ({ path }) => {
				const name = JSON.stringify(entryOf(path));
				return { contents: `import { loadModule } from "native:sys"; export default () => loadModule(${name});` };
			});
		},
	};
}

/** Resolves `later:<path>` in vite, for vitest. */
export function laterVitePlugin(root: string): VitePlugin {
	return {
		name: "later",
		resolveId: (id) => (FILTER.test(id) ? `\0${id}` : undefined),
		load: async (id) => {
			if (!id.startsWith("\0later:")) return undefined;
			const file = JSON.stringify(sourceOf(root, id.slice("\0later:".length), "vitest"));
			return `import * as module from ${file};\nexport default () => module;\n`;
		},
	};
}
