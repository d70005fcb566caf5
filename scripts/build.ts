/**
 * Builds dist/bin/berth and its links: type check, generated files, bundles, bytecode, executable.
 *
 *   node scripts/build.ts [--fast] [--target TRIPLE]
 *
 * --fast leaves out the type check, and plugins that are not finished. --target builds for another machine (aarch64-unknown-linux-gnu) into dist/TRIPLE/bin.
 */
import { mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bundle, entryPoints } from "./build/bundle.ts";
import { compileHost, hostTarget, install, run } from "./build/host.ts";

const ROOT = join(import.meta.dirname, "..");

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

async function build(fast: boolean, wanted: string | undefined): Promise<void> {
	checkVersions();
	const host = hostTarget(ROOT);
	const target = wanted ?? host;
	const modules = join(ROOT, "build/modules");
	const folder = join(ROOT, target === host ? "dist/bin" : `dist/${target}/bin`);
	const node = (script: string, ...args: string[]) =>
		run(process.execPath, [join(ROOT, script), ...args], { cwd: ROOT });

	if (!fast) await step("types", () => node("node_modules/typescript/bin/tsc", "-p", "tsconfig.json"));
	await step("schemas", () => node("scripts/generate.ts"));
	const entries = entryPoints(ROOT, ["plugins", "ipam"], fast);
	await step("bundles", () => bundle(ROOT, entries, modules));
	mkdirSync(folder, { recursive: true });
	const made = join(folder, `.berth.${process.pid}`);
	await step("executable", () => compileHost(ROOT, target, modules, made));
	const applets = Object.keys(entries).flatMap((entry) => entry.match(/^applet\/(.+)$/)?.slice(1) ?? []);
	install(made, folder, applets);
	const size = (statSync(join(folder, "berth")).size / 1e6).toFixed(2);
	console.log(`build: ${folder}/berth, ${size} MB, also as ${applets.join(", ")}`);
}

const { values } = parseArgs({
	options: { fast: { type: "boolean", default: false }, target: { type: "string" } },
});
try {
	await build(values.fast, values.target);
} catch (error) {
	console.error(`build: ${error instanceof Error ? error.message : error}`);
	process.exitCode = 1;
}
