/**
 * The plugins: every directory below plugins/ and ipam/.
 */
import { existsSync, globSync } from "node:fs";
import { basename, join } from "node:path";

const ROOT = join(import.meta.dirname, "../..");

interface PluginSource {
	/** "host-local" */
	readonly name: string;
	/** Path of its directory from the project's root: "ipam/host-local". */
	readonly directory: string;
}

/** What every plugin's directory has. */
const FILES = ["main.ts", "schema.ts", "config.ts", "add.ts", "del.ts", "check.ts", "gc.ts", "status.ts"];

/** Sorted by name. Throws for one that lacks a file. */
export function findPlugins(): PluginSource[] {
	const found = globSync("{plugins,ipam}/*/", { cwd: ROOT }).map((path) => {
		const [directory, name] = [path.replace(/\/$/, ""), basename(path)];
		const missing = FILES.filter((file) => !existsSync(join(ROOT, directory, file)));
		if (missing.length > 0) throw new Error(`${directory} lacks ${missing.join(", ")}`);
		return { name, directory };
	});
	const twice = found.find(({ name, directory }) =>
		found.some((other) => other.name === name && other.directory !== directory),
	);
	if (twice !== undefined) throw new Error(`two plugins are called ${twice.name}`);
	return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}
