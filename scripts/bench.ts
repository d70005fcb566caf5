/**
 * Measures the executable against the Go plugins: see docs/bench.md.
 *
 *   npm run bench -- [--rounds N] [--times | --counts] [--executable PATH] [--json] [--update]
 *
 * --rounds      rounds of timing, 200 by default
 * --times       times only; --counts: counts only (these need valgrind and strace)
 * --executable  measures this one instead of dist/bin/berth, which is built first
 * --json        one JSON document on stdout instead of tables
 * --update      makes the counts the new baseline, and puts the tables into docs/bench.md and README.md
 *
 * Needs gcc, Go (for the peers) and root or user namespaces. Exit status 0 also when a goal is not met: times are
 * noise, in part.
 */
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { withBlock } from "../test/lab/markdown.ts";
import { pluginsVersion } from "../test/lab/peers.ts";
import { type Baseline, readBaseline, writeBaseline } from "./bench/baseline.ts";
import { executableOf, positive, print, ROOT, say } from "./bench/command.ts";
import { countAll, missingTools } from "./bench/counts.ts";
import { Laboratory } from "./bench/laboratory.ts";
import { callList, countTable, goalLines, goalsOf, type Results, readmeTable, timeTable } from "./bench/report.ts";
import { timeAll } from "./bench/timing.ts";

const BASELINE = join(ROOT, "docs/bench/baseline.json");
const PAGE = join(ROOT, "docs/bench.md");
const README = join(ROOT, "README.md");

/** `rounds`: of timing; 0: none. */
async function measure(executable: string | undefined, rounds: number, counts: boolean): Promise<Results> {
	const missing = counts ? missingTools() : [];
	if (missing.length > 0) {
		throw new Error(
			`${missing.join(" and ")} missing: apt-get install ${missing.join(" ")}, or leave counts out: --times`,
		);
	}
	const file = executableOf(executable);
	using laboratory = await Laboratory.open(file);
	const stop = () => {
		laboratory[Symbol.dispose]();
		process.exit(130);
	};
	for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, stop);
	if (rounds > 0) say(`timing ${rounds} rounds`);
	const timings = rounds > 0 ? await timeAll(laboratory, rounds) : [];
	return {
		bytes: {
			ours: statSync(file).size,
			go: statSync(join(laboratory.programs, "Go/host-local")).size,
			true: statSync("/bin/true").size,
		},
		peers: pluginsVersion,
		processor: `${cpus()[0]?.model ?? "unknown"}, ${cpus().length} processors`,
		rounds,
		timings,
		goals: rounds > 0 ? goalsOf(timings) : [],
		counts: counts ? countAll(laboratory, (what) => say(`counting ${what}`)) : [],
	};
}

function tables(results: Results, baseline: Baseline | undefined): string {
	const { timings, goals, counts, peers, rounds, bytes, processor } = results;
	const parts: string[] = [];
	if (timings.length > 0) {
		parts.push(
			`ours: ${(bytes.ours / 1e6).toFixed(2)} MB; Go plugins ${peers}; ${processor}; medians of ${rounds} rounds`,
			timeTable(timings),
			goalLines(goals),
		);
	}
	if (counts.length > 0) parts.push(countTable(counts, baseline), callList(counts));
	return parts.join("\n\n");
}

function updatePage(file: string, name: string, text: string): void {
	writeFileSync(file, withBlock(readFileSync(file, "utf8"), name, text));
}

async function main(): Promise<string> {
	const { values } = parseArgs({
		options: {
			rounds: { type: "string", default: "200" },
			times: { type: "boolean", default: false },
			counts: { type: "boolean", default: false },
			executable: { type: "string" },
			json: { type: "boolean", default: false },
			update: { type: "boolean", default: false },
		},
	});
	const rounds = positive("rounds", values.rounds);
	if (values.times && values.counts) throw new Error("--times and --counts: without either, both are measured");
	if (values.update && (values.times || values.counts)) throw new Error("--update needs times and counts");
	const results = await measure(values.executable, values.counts ? 0 : rounds, !values.times);
	// What is printed tells what an update changes.
	const text = tables(results, readBaseline(BASELINE));
	if (values.update) {
		writeBaseline(BASELINE, results.counts);
		updatePage(PAGE, "bench", `\`\`\`\n${tables(results, readBaseline(BASELINE))}\n\`\`\``);
		updatePage(README, "bench:readme", readmeTable(results));
	}
	return values.json ? JSON.stringify(results, null, "\t") : text;
}

await print(main);
