/**
 * Builds dist/bin/berth and its links: type check, generated files, bundle, bytecode, executable, heap image.
 *
 *   node scripts/build.ts [--fast] [--bytecode] [--target TRIPLE]
 *
 * --fast      leaves out the type check
 * --bytecode  leaves out the heap image, into dist/bytecode: what a build for a machine that cannot be run here gives
 * --target    builds for another machine (aarch64-unknown-linux-gnu) into dist/TRIPLE/bin; with QEMU's user mode
 *             (Debian: qemu-user-static) its heap image is made here
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bundle } from "./build/bundle.ts";
import { compileHost, hostTarget, install, run } from "./build/host.ts";
import { SAMPLES } from "./build/image.ts";
import { findPlugins } from "./build/plugins.ts";

const ROOT = join(import.meta.dirname, "..");
/** The variable that tells in which tree this process has the lock. */
const LOCKED = "BERTH_BUILD_LOCKED";

async function step<T>(name: string, work: () => T | Promise<T>): Promise<T> {
	const start = performance.now();
	const result = await work();
	console.log(`build: ${name.padEnd(11)} ${((performance.now() - start) / 1000).toFixed(1)} s`);
	return result;
}

/** `berth --version` says what Cargo.toml says. */
function checkVersions(): void {
	const version = (JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string }).version;
	const crate = /^version = "(.+)"$/m.exec(readFileSync(join(ROOT, "runtime/Cargo.toml"), "utf8"))?.[1];
	if (crate !== version) throw new Error(`package.json is version ${version}, runtime/Cargo.toml is ${crate}`);
}

async function build(fast: boolean, bytecode: boolean, wanted: string | undefined): Promise<void> {
	checkVersions();
	const host = hostTarget(ROOT);
	const target = wanted ?? host;
	const modules = join(ROOT, "build/modules");
	const parent = join(ROOT, target === host ? "dist" : `dist/${target}`);
	const directory = join(parent, bytecode ? "bytecode" : "bin");
	const node = (script: string, ...args: string[]) =>
		run(process.execPath, [join(ROOT, script), ...args], { cwd: ROOT });

	if (!fast) await step("types", () => node("node_modules/typescript/bin/tsc", "-p", "tsconfig.json"));
	await step("schemas", () => node("scripts/generate.ts"));
	await step("bundle", () => bundle(ROOT, "commands/berth.ts", modules));
	mkdirSync(directory, { recursive: true });
	const made = join(directory, `.berth.${process.pid}`);
	const hasImage = await step("executable", () =>
		compileHost(ROOT, target, modules, made, { samples: SAMPLES, bytecode }),
	);
	const applets = findPlugins().map(({ name }) => name);
	install(made, directory, applets);
	const size = (statSync(join(directory, "berth")).size / 1e6).toFixed(2);
	const start = hasImage ? "heap image" : "no heap image: each start evaluates the bytecode";
	console.log(`build: ${directory}/berth, ${size} MB, ${start}; also as ${applets.join(", ")}`);
}

const { values } = parseArgs({
	options: {
		fast: { type: "boolean", default: false },
		bytecode: { type: "boolean", default: false },
		target: { type: "string" },
	},
});
/** Runs this script again while nobody else builds in this tree: two would write, and tidy up, the same directories. */
function runLocked(): number {
	const lock = join(ROOT, "build");
	mkdirSync(lock, { recursive: true });
	const env = { ...process.env, [LOCKED]: ROOT };
	const { status, error } = spawnSync("flock", [lock, process.execPath, ...process.argv.slice(1)], {
		stdio: "inherit",
		env,
	});
	if (error !== undefined) throw error;
	return status ?? 1;
}

try {
	if (process.env[LOCKED] === ROOT) await build(values.fast, values.bytecode, values.target);
	else process.exitCode = runLocked();
} catch (error) {
	console.error(`build: ${error instanceof Error ? error.message : error}`);
	process.exitCode = 1;
}
