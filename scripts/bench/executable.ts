/**
 * The executable that is measured.
 */
import { spawnSync } from "node:child_process";
import { existsSync, globSync, statSync } from "node:fs";
import { join } from "node:path";
import { say } from "./command.ts";

const ROOT = join(import.meta.dirname, "../..");

/** dist/bin/berth, built if a source is newer. */
export function freshExecutable(): string {
	const executable = join(ROOT, "dist/bin/berth");
	const sources = [
		"{commands,lib,plugins,ipam}/**/*.ts",
		"runtime/{src,arena,compiler,.cargo}/**/*",
		"runtime/*.{toml,lock,rs,ld}",
	];
	const files = globSync([...sources, "scripts/{build.ts,build/*}", "package.json"], { cwd: ROOT });
	const changed = (path: string) => statSync(path).mtimeMs;
	const built = existsSync(executable) ? changed(executable) : 0;
	if (files.some((file) => changed(join(ROOT, file)) > built)) {
		say("building");
		// Its lines go to stderr: stdout is for the answer.
		const { status } = spawnSync(process.execPath, [join(ROOT, "scripts/build.ts")], { stdio: ["ignore", 2, 2] });
		if (status !== 0) throw new Error("the build failed, see above");
	}
	return executable;
}
