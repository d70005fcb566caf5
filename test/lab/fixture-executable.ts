/**
 * The executable's host with a test's own module in it, instead of the shipped one.
 */
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, globSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { bundle } from "../../scripts/build/bundle.ts";
import { compileHost, hostFingerprint, hostTarget } from "../../scripts/build/host.ts";
import { start } from "./executables.ts";

const ROOT = join(import.meta.dirname, "../..");

/**
 * The executable with `main` of test/fixtures/<name>/main.ts, built if what it consists of has changed. Test files that
 * ask for the same one at the same time wait for each other.
 */
export async function fixtureExecutable(name: string): Promise<string> {
	const directory = join(ROOT, "build/fixtures", start === "image" ? name : `${name}-bytecode`);
	mkdirSync(directory, { recursive: true });
	await using _ = await holdLock(join(directory, "lock"));
	const modules = join(directory, "modules");
	await bundle(ROOT, `test/fixtures/${name}/main.ts`, modules);
	const executable = join(directory, `berth-${fingerprint(modules)}`);
	if (existsSync(executable)) return executable;
	for (const old of globSync("berth-*", { cwd: directory })) rmSync(join(directory, old));
	const fresh = join(directory, "fresh");
	compileHost(ROOT, hostTarget(ROOT), modules, fresh, { bytecode: start === "bytecode" });
	renameSync(fresh, executable);
	return executable;
}

/** flock(1) holds it, so that it is free again however we end. */
async function holdLock(path: string): Promise<AsyncDisposable> {
	const holder = spawn("flock", [path, "sh", "-c", "echo held; exec cat"], { stdio: ["pipe", "pipe", "inherit"] });
	const closed = once(holder, "close");
	await Promise.race([once(holder.stdout, "data"), closed]);
	if (holder.exitCode !== null) throw new Error(`flock ${path} failed with exit status ${holder.exitCode}`);
	return {
		async [Symbol.asyncDispose]() {
			holder.stdin.end();
			await closed;
		},
	};
}

function fingerprint(modules: string): string {
	const hash = createHash("sha256").update(hostFingerprint(ROOT));
	for (const file of globSync("**/*.js", { cwd: modules }).sort()) {
		hash.update(`${file}\0`).update(readFileSync(join(modules, file)));
	}
	return hash.digest("hex").slice(0, 16);
}

/** A program of one C file, compiled if it has changed: an eye on the kernel that is none of ours. */
export function compileC(source: string): string {
	const path = join(ROOT, source);
	const directory = join(ROOT, "build/fixtures/c");
	const hash = createHash("sha256").update(readFileSync(path)).digest("hex").slice(0, 16);
	const program = join(directory, `${hash}`);
	if (!existsSync(program)) {
		mkdirSync(directory, { recursive: true });
		execFileSync("cc", ["-Wall", "-Wextra", "-Werror", "-O1", "-o", `${program}.${process.pid}`, path]);
		renameSync(`${program}.${process.pid}`, program);
	}
	return program;
}
