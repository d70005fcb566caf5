/**
 * The executable's host with a test's own applets in it, instead of the shipped ones.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, globSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { bundle } from "../../scripts/build/bundle.ts";
import { compileHost, hostTarget } from "../../scripts/build/host.ts";

const ROOT = join(import.meta.dirname, "../..");

/**
 * The executable with `applets` (name to source file, relative to the project), built if what it consists of has changed. Run it as
 * `<path> <applet>`.
 */
export async function fixtureExecutable(name: string, applets: Record<string, string>): Promise<string> {
	const folder = join(ROOT, "build/fixtures", name);
	const modules = join(folder, "modules");
	const entries = Object.entries(applets).map(([applet, source]) => [`applet/${applet}`, join(ROOT, source)]);
	await bundle(ROOT, Object.fromEntries(entries), modules);
	const executable = join(folder, `berth-${fingerprint(modules)}`);
	// Another test may build with its modules in the same folder of cargo's, between our build and our copy: then once more.
	for (let attempt = 0; !existsSync(executable); attempt++) {
		if (attempt === 5) throw new Error(`cargo keeps giving us another build than that of ${modules}`);
		mkdirSync(folder, { recursive: true });
		const copy = `${executable}.${process.pid}`;
		copyFileSync(compileHost(ROOT, hostTarget(ROOT), modules), copy);
		if (hasApplets(copy, Object.keys(applets))) renameSync(copy, executable);
	}
	return executable;
}

function fingerprint(modules: string): string {
	const files = [
		...globSync("**/*.js", { cwd: modules }).map((file) => join(modules, file)),
		...globSync(["src/**/*.rs", "build.rs", "Cargo.*", ".cargo/*"], { cwd: join(ROOT, "runtime") }).map((file) =>
			join(ROOT, "runtime", file),
		),
	];
	const hash = createHash("sha256");
	for (const file of files.sort()) hash.update(`${file}\0`).update(readFileSync(file));
	return hash.digest("hex").slice(0, 16);
}

/** Called without the name of an applet, the executable lists them. */
function hasApplets(executable: string, applets: string[]): boolean {
	const { stderr } = spawnSync(executable, [], { encoding: "utf8" });
	const listed = /^applets: (.*)$/m.exec(stderr)?.[1]?.split(/[ ,]+/) ?? [];
	return applets.length === listed.length && applets.every((applet) => listed.includes(applet));
}

/** A program of one C file, compiled if it has changed: an eye on the kernel that is none of ours. */
export function compileC(source: string): string {
	const path = join(ROOT, source);
	const folder = join(ROOT, "build/fixtures/c");
	const hash = createHash("sha256").update(readFileSync(path)).digest("hex").slice(0, 16);
	const program = join(folder, `${hash}`);
	if (!existsSync(program)) {
		mkdirSync(folder, { recursive: true });
		execFileSync("cc", ["-Wall", "-Wextra", "-Werror", "-O1", "-o", `${program}.${process.pid}`, path]);
		renameSync(`${program}.${process.pid}`, program);
	}
	return program;
}
