/**
 * Runs the tiers of tests, two at a time: see scripts/test.
 *
 * Counts come from vitest's JSON report; each step of `lint` counts as one test. A tier that ran no test has failed.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { cargoDirectory, hostTarget } from "./build/host.ts";

const root = join(import.meta.dirname, "..");
const logs = join(root, "build/logs");

type Count = Record<"passed" | "failed" | "skipped", number>;

/** Of what ends as a whole. */
const FAILED: Readonly<Count> = { passed: 0, failed: 1, skipped: 0 };

/** Those that take longest come first, so that none of them is left over at the end. */
const tiers = ["faults", "guest", "peers", "kube", "runtime", "fuzz", "lint", "protocol", "bytecode", "arm64", "unit"];

const ARM64 = "aarch64-unknown-linux-gnu";

const running = new Set<ChildProcess>();

/** Runs a program, such as one of node_modules, with its output in a log file. */
function execute(log: string, [program, ...args]: readonly string[], { cwd = root, env = {} } = {}): Promise<boolean> {
	const output = openSync(join(logs, log), "a");
	const PATH = `${join(root, "node_modules/.bin")}:${process.env.PATH}`;
	return new Promise((resolve) => {
		const child = spawn(program!, args, {
			cwd,
			env: { ...process.env, PATH, NO_COLOR: "1", ...env },
			stdio: ["ignore", output, output],
			// A process group of its own, so that Ctrl-C ends what it has started, too.
			detached: true,
		});
		running.add(child);
		child.on("error", () => resolve(false));
		child.on("exit", (status) => {
			running.delete(child);
			closeSync(output);
			resolve(status === 0);
		});
	});
}

/** What the TypeScript and Rust compilers and linters say. */
async function lint(): Promise<Count> {
	const runtime = { cwd: join(root, "runtime"), env: { CARGO_TARGET_DIR: cargoDirectory() } };
	const clippy = `--release --locked --workspace --target ${hostTarget(root)} -- -D warnings`;
	const steps: [name: string, command: string, where?: typeof runtime][] = [
		["types of the executable", "tsc -p tsconfig.json"],
		["types of tests and scripts", "tsc -p test/tsconfig.json"],
		["format and lint (biome)", "biome ci --colors=off ."],
		["who imports whom (rooms)", "node scripts/rooms.ts"],
		["generated files are fresh", "node scripts/generate.ts --check"],
		["Rust format (rustfmt)", "cargo fmt --check", runtime],
		["Rust lint (clippy)", `cargo clippy ${clippy}`, runtime],
		["memory (cargo test)", "cargo test --release --locked --package arena", runtime],
	];
	const count: Count = { passed: 0, failed: 0, skipped: 0 };
	for (const [name, command, where] of steps) {
		const passed = await execute("lint.log", command.split(" "), where);
		count[passed ? "passed" : "failed"]++;
		if (!passed) console.log(`test: lint: failed: ${name}`);
	}
	return count;
}

/** A test file, as vitest reports it. */
interface FileResult {
	/** Path. */
	readonly name: string;
	readonly status: string;
	readonly assertionResults: readonly { readonly status: string }[];
}

/** Tiers that are a part of `protocol` on another executable: which build, and what is run. */
const OTHERS: Readonly<Record<string, { build: readonly string[]; tests: readonly string[] } | undefined>> = {
	// A release has no such executable.
	bytecode: { build: ["--bytecode"], tests: ["--exclude=**/release.test.ts"] },
	arm64: {
		build: ["--target", ARM64],
		// Faults at every system call would be at QEMU's own, too, which it does not survive or hides.
		tests: ["test/protocol/host-local", "test/protocol/executable", "--exclude=**/host-local-faults.test.ts"],
	},
};

/** Scripts that run the executable for arm64 in QEMU's user mode. */
function emulate(): void {
	const [made, directory] = [join(root, `dist/${ARM64}/bin`), join(root, "build/arm64")];
	rmSync(directory, { recursive: true, force: true });
	mkdirSync(directory, { recursive: true });
	for (const name of readdirSync(made)) {
		const script = `#!/bin/sh\nexec qemu-aarch64-static -0 "$0" ${join(made, name)} "$@"\n`;
		writeFileSync(join(directory, name), script, { mode: 0o755 });
	}
}

/**
 * What ends a guest: all files that failed in that run are run again. Of the first kind is iotlb_to_section() in QEMU's
 * system/physmem.c: a race of its translator, when a device's memory moves. The second: test/lab/guest.ts.
 */
const EMULATOR_FAILED = [/^qemu-system-\S+: .*Assertion .* failed/m, /the guest in \S+ hangs/];

function countOf(results: readonly FileResult[]): Count {
	const tests = results.flatMap((file) => file.assertionResults);
	const of = (status: string): number => tests.filter((test) => test.status === status).length;
	// A file that failed as a whole, while it was loaded or in a hook, has no failed test in it.
	const brokenFiles = results.filter(
		(file) => file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed"),
	).length;
	const [passed, failed] = [of("passed"), of("failed")];
	return { passed, failed: failed + brokenFiles, skipped: tests.length - passed - failed };
}

async function vitest(tier: string): Promise<Count> {
	const other = OTHERS[tier];
	if (other !== undefined) {
		if (!(await execute(`${tier}.log`, ["node", "scripts/build.ts", "--fast", ...other.build]))) return FAILED;
		if (tier === "arm64") emulate();
	}
	const project = other === undefined ? tier : "protocol";
	const env = { BERTH_START: other === undefined ? "image" : tier };
	let succeeded = false;
	const run = async (files: readonly string[]): Promise<FileResult[] | undefined> => {
		const json = join(logs, `${tier}.json`);
		rmSync(json, { force: true });
		const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${json}`];
		const vitest = ["node", "node_modules/vitest/vitest.mjs", "run", "--project", project, ...files, ...reporters];
		succeeded = await execute(`${tier}.log`, vitest, { env });
		return existsSync(json) ? JSON.parse(readFileSync(json, "utf8")).testResults : undefined;
	};
	let results = await run(other?.tests ?? []);
	const log = succeeded ? "" : readFileSync(join(logs, `${tier}.log`), "utf8");
	const emulator = EMULATOR_FAILED.map((sign) => sign.exec(log)?.[0]).find((words) => words !== undefined);
	if (results !== undefined && emulator !== undefined) {
		const again = results.filter(({ status }) => status === "failed").map(({ name }) => name);
		console.log(`test: ${tier}: ${emulator}: ${again.length || "all"} files are run again`);
		const second = await run(again);
		// Without any that has failed, all are run again: what failed was between them.
		const kept = again.length === 0 ? [] : results.filter(({ name }) => !again.includes(name));
		results = second && [...kept, ...second];
	}
	if (results === undefined) return FAILED;
	const count = countOf(results);
	if (count.failed > 0 || (succeeded && count.passed > 0)) return count;
	console.log(`test: ${tier}: ${count.passed === 0 ? "ran no test" : "vitest failed, though no test did"}`);
	return { ...count, failed: 1 };
}

function seconds(since: number): string {
	return `${((performance.now() - since) / 1000).toFixed(0)} s`;
}

function report(name: string, count: Count, start: number): void {
	const skipped = count.skipped > 0 ? `, ${count.skipped} skipped` : "";
	const numbers = `${count.passed} passed, ${count.failed} failed${skipped}`;
	console.log(`test: ${name.padEnd(9)} ${numbers.padEnd(32)} ${seconds(start).padStart(6)}   build/logs/${name}.log`);
	if (count.failed > 0) {
		console.log(`--- build/logs/${name}.log`);
		console.log(readFileSync(join(logs, `${name}.log`), "utf8").trimEnd());
		console.log(`--- end of build/logs/${name}.log`);
	}
}

/** Runs the tiers, `width` at a time, and adds up their counts. */
async function runAll(chosen: readonly string[], width: number): Promise<{ passed: number; failed: number }> {
	const total = { passed: 0, failed: 0 };
	const queue = chosen.values();
	const active = new Map<string, number>();
	const stillAlive = setInterval(() => {
		const list = [...active].map(([name, start]) => `${name} (${seconds(start)})`).join(", ");
		console.log(`test: still running: ${list}`);
	}, 60_000);
	const lane = async () => {
		for (const tier of queue) {
			const start = performance.now();
			active.set(tier, start);
			const count = await (tier === "lint" ? lint() : vitest(tier));
			active.delete(tier);
			report(tier, count, start);
			total.passed += count.passed;
			total.failed += count.failed;
		}
	};
	await Promise.all(Array.from({ length: width }, lane));
	clearInterval(stillAlive);
	return total;
}

async function main(wanted: string[]): Promise<number> {
	const unknown = wanted.find((tier) => !tiers.includes(tier));
	if (unknown !== undefined) {
		console.error(`test: there is no tier "${unknown}": ${[...tiers].sort().join(", ")}`);
		return 2;
	}
	// Emulated, it takes longer than all others together: only where it is asked for.
	const chosen = tiers.filter((tier) => (wanted.length === 0 ? tier !== "arm64" : wanted.includes(tier)));
	rmSync(logs, { recursive: true, force: true });
	mkdirSync(logs, { recursive: true });
	for (const signal of ["SIGINT", "SIGTERM"] as const) {
		process.once(signal, () => {
			for (const child of running) process.kill(-child.pid!, "SIGTERM");
			process.exit(130);
		});
	}

	console.log("test: building");
	const start = performance.now();
	const built = await execute("build.log", ["node", "scripts/build.ts"]);
	report("build", built ? { passed: 1, failed: 0, skipped: 0 } : FAILED, start);
	if (!built) {
		console.log("0 passed, 1 failed");
		return 1;
	}
	console.log(`test: running ${chosen.join(", ")}`);
	const { passed, failed } = await runAll(chosen, Math.min(2, availableParallelism()));
	console.log(`${passed + 1} passed, ${failed} failed`);
	return failed === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
