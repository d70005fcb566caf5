/**
 * Makes dist/release: for each machine berth-VERSION-linux-ARCH.tar.gz and its list of parts (.cdx.json, CycloneDX),
 * and SHA256SUMS of them all.
 *
 *   node scripts/release.ts [--arm64]
 *
 * --arm64  also for arm64, where its toolchain is there (scripts/setup --arm64)
 *
 * The same commit, with the same toolchain and packages, gives the same bytes in any directory. All times are that of
 * the commit, or SOURCE_DATE_EPOCH (https://reproducible-builds.org/specs/source-date-epoch/).
 */
import { cpSync, existsSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { bundle } from "./build/bundle.ts";
import { hostTarget, run } from "./build/host.ts";
import { findPlugins } from "./build/plugins.ts";
import { crates, libraries, npmPackages } from "./release/linked.ts";
import { notices } from "./release/notices.ts";
import { bill, sha256 } from "./release/sbom.ts";
import { writeTarball } from "./release/tarball.ts";

const ROOT = join(import.meta.dirname, "..");
const OUT = join(ROOT, "dist/release");

/** What is in the tarball beside the executable, from the project's root. */
const WITH_IT = [
	"CHANGELOG.md",
	"LICENSE",
	"README.md",
	"SECURITY.md",
	"docs",
	"examples",
	"install-daemonset.yaml",
	"manifests",
	"schemas",
];

/** As Go and container images call machines. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x86_64: "amd64", aarch64: "arm64" };

/** Seconds since 1970. */
function timeOfRelease(): number {
	const wanted = process.env.SOURCE_DATE_EPOCH;
	const time = Number(wanted ?? run("git", ["log", "-1", "--format=%ct"], { cwd: ROOT, capture: true }));
	if (!Number.isSafeInteger(time) || time < 0) throw new Error(`SOURCE_DATE_EPOCH must be seconds, not "${wanted}"`);
	return time;
}

/** Builds for `target`; returns the directory of berth and its links. */
function build(target: string, isHost: boolean): string {
	const options = isHost ? [] : ["--target", target];
	run(process.execPath, [join(ROOT, "scripts/build.ts"), ...options], { cwd: ROOT });
	return join(ROOT, isHost ? "dist/bin" : `dist/${target}/bin`);
}

/** The directory of the tarball, with the executable once under all of its names. */
function stage(binaries: string, directory: string): void {
	rmSync(directory, { recursive: true, force: true });
	const bin = join(directory, "bin");
	mkdirSync(bin, { recursive: true });
	cpSync(join(binaries, "berth"), join(bin, "berth"));
	for (const { name } of findPlugins()) linkSync(join(bin, "berth"), join(bin, name));
	for (const path of WITH_IT) {
		if (existsSync(join(ROOT, path))) cpSync(join(ROOT, path), join(directory, path), { recursive: true });
	}
}

async function release(targets: readonly string[]): Promise<void> {
	const { name, version, license, description } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
	const time = timeOfRelease();
	const files = await bundle(ROOT, "commands/berth.ts", join(ROOT, "build/release/modules"));
	rmSync(OUT, { recursive: true, force: true });
	mkdirSync(OUT, { recursive: true });
	const made: string[] = [];
	for (const [index, target] of targets.entries()) {
		const architecture = ARCHITECTURES[target.split("-")[0]!];
		if (architecture === undefined) throw new Error(`no name is known for the machine of ${target}`);
		const title = `${name}-${version}-linux-${architecture}`;
		const staged = join(ROOT, "build/release", title);
		stage(build(target, index === 0), staged);
		const parts = [...npmPackages(ROOT, files), ...crates(ROOT, target), ...libraries(ROOT, target)];
		writeFileSync(join(staged, "THIRD-PARTY-LICENSES"), notices(parts));
		writeTarball(dirname(staged), title, time, join(OUT, `${title}.tar.gz`));
		const executable = join(staged, "bin/berth");
		const product = { name, version, licence: license, description, architecture, executable, time };
		writeFileSync(join(OUT, `${title}.cdx.json`), bill(product, parts));
		made.push(`${title}.cdx.json`, `${title}.tar.gz`);
	}
	const sums = made.map((file) => `${sha256(join(OUT, file))}  ${file}\n`).join("");
	writeFileSync(join(OUT, "SHA256SUMS"), sums);
	console.log(`release: ${OUT}\n${sums.trimEnd()}`);
}

const { values } = parseArgs({ options: { arm64: { type: "boolean", default: false } } });
try {
	await release([hostTarget(ROOT), ...(values.arm64 ? ["aarch64-unknown-linux-gnu"] : [])]);
} catch (error) {
	console.error(`release: ${error instanceof Error ? error.message : error}`);
	process.exitCode = 1;
}
