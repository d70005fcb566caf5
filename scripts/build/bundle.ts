/**
 * TypeScript to the one module that the executable embeds, berth.js. It imports nothing but the host's native module,
 * and exports `main`, which the host calls.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as esbuild from "esbuild";
import { validatorPlugin } from "./validators.ts";

interface PluginSource {
	/** "host-local" */
	readonly name: string;
	/** Path of its directory from the project's root: "ipam/host-local". */
	readonly directory: string;
}

/** What every plugin's directory has. */
const FILES = ["main.ts", "schema.ts", "config.ts", "add.ts", "del.ts", "check.ts", "gc.ts", "status.ts"];

/** The plugins, sorted by name: every directory below plugins/ and ipam/. Throws for one that lacks a file. */
export function findPlugins(root: string): PluginSource[] {
	const found: PluginSource[] = [];
	for (const parent of ["plugins", "ipam"]) {
		for (const entry of readdirSync(join(root, parent), { withFileTypes: true })) {
			if (!entry.isDirectory()) continue;
			const directory = `${parent}/${entry.name}`;
			const missing = FILES.filter((file) => !existsSync(join(root, directory, file)));
			if (missing.length > 0) throw new Error(`${directory} lacks ${missing.join(", ")}`);
			if (found.some(({ name }) => name === entry.name)) throw new Error(`two plugins are called ${entry.name}`);
			found.push({ name: entry.name, directory });
		}
	}
	return found.sort((a, b) => (a.name < b.name ? -1 : 1));
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
		platform: "neutral",
		charset: "utf8",
		legalComments: "none",
		minifySyntax: true,
		minifyWhitespace: true,
		logLevel: "warning",
		external: ["native:sys"],
		plugins: [validatorPlugin()],
	});
	const file = join(out, "berth.js");
	const contents = result.outputFiles![0]!.contents;
	// Left alone when it stays the same, so that cargo sees what changed.
	if (!existsSync(file) || !readFileSync(file).equals(contents)) {
		rmSync(out, { recursive: true, force: true });
		mkdirSync(out, { recursive: true });
		writeFileSync(file, contents);
	}
	const inputs = Object.values(result.metafile.outputs).flatMap((output) => Object.entries(output.inputs));
	return inputs.filter(([, { bytesInOutput }]) => bytesInOutput > 0).map(([name]) => name);
}
