/**
 * Times: every contender in turn, round after round, by the program timer.c.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { run } from "../build/host.ts";
import type { Call, Laboratory, Maker } from "./laboratory.ts";

/** What is timed together: all calls in turn are one sample. */
interface Contestant {
	readonly workload: "VERSION" | "host-local ADD+DEL" | "static ADD" | "/bin/true";
	readonly maker: Maker | undefined;
	readonly calls: readonly Call[];
}

export interface Spread {
	readonly median: number;
	readonly min: number;
	readonly max: number;
}

export interface Timing {
	readonly workload: Contestant["workload"];
	readonly maker: Maker | undefined;
	readonly wallMs: Spread;
	/** User and system, children included. */
	readonly cpuMs: Spread;
	/** Peak resident memory of the greatest of the calls. */
	readonly memoryMb: Spread;
}

function contestants(laboratory: Laboratory): Contestant[] {
	const both = (workload: Contestant["workload"], calls: (maker: Maker) => Call[]): Contestant[] =>
		(["ours", "Go"] as const).map((maker) => ({ workload, maker, calls: calls(maker) }));
	return [
		...both("VERSION", (maker) => [laboratory.version(maker, "host-local")]),
		{
			workload: "/bin/true",
			maker: undefined,
			calls: [{ program: "/bin/true", environment: {}, stdin: "" }],
		},
		...both("host-local ADD+DEL", (maker) => [
			laboratory.call("ADD", maker, "host-local"),
			laboratory.call("DEL", maker, "host-local"),
		]),
		...both("static ADD", (maker) => [laboratory.call("ADD", maker, "static")]),
	];
}

/** Times `rounds` rounds after one that is not counted. Throws with the answer of a call that fails. */
export async function timeAll(
	laboratory: Laboratory,
	rounds: number,
	progress: (round: number) => void,
): Promise<Timing[]> {
	for (const maker of ["ours", "Go"] as const) laboratory.clear(maker);
	const all = contestants(laboratory);
	const calls = all.flatMap((contestant) => contestant.calls);
	const runs = await runTimer(laboratory.programs, calls, rounds, progress);
	let next = 0;
	return all.map(({ workload, maker, calls }) => {
		const samples = sumRuns(runs.slice(next, next + calls.length));
		next += calls.length;
		const spread = (key: keyof Run) => spreadOf(samples.map((sample) => sample[key]));
		return { workload, maker, wallMs: spread("wallMs"), cpuMs: spread("cpuMs"), memoryMb: spread("memoryMb") };
	});
}

/** Compiles a C program of this directory, static, into `directory`; returns its path. */
export function compile(source: string, directory: string): string {
	const program = join(directory, source.replace(/\.c$/, ""));
	run("gcc", ["-O2", "-Wall", "-Wextra", "-static", "-o", program, join(import.meta.dirname, source)], {
		cwd: directory,
	});
	return program;
}

/**
 * The runs of each call, which are made in turn, `rounds` times after a first round that is not counted. Programs are
 * looked up in `directory`, where timer.c is compiled. Throws with the answer of a call that fails.
 */
export async function runTimer(
	directory: string,
	calls: readonly Call[],
	rounds: number,
	progress: (round: number) => void = () => {},
): Promise<Run[][]> {
	const timer = compile("timer.c", directory);
	const child = spawn(timer, [String(rounds + 1)], { cwd: directory, stdio: ["pipe", "pipe", "pipe"] });
	let complaint = "";
	child.stderr.on("data", (bytes: Buffer) => {
		complaint += bytes;
	});
	const ended = new Promise<number | null>((resolve, reject) => {
		child.once("error", reject);
		child.once("close", resolve);
	});
	child.stdin.end(calls.map(planOf).join(""));
	const runs: Run[][] = calls.map(() => []);
	for await (const line of createInterface({ input: child.stdout })) {
		const { index, run } = readRun(line);
		runs[index]!.push(run);
		if (index === calls.length - 1) progress(runs[index]!.length - 1);
	}
	if ((await ended) !== 0) throw new Error(complaint.trim());
	return runs.map((each) => each.slice(1));
}

export interface Run {
	readonly wallMs: number;
	readonly cpuMs: number;
	readonly memoryMb: number;
}

/** A line of timer.c: which call of the plan, and what it took. */
export function readRun(line: string): { index: number; run: Run } {
	const [index = -1, wallNs = 0, cpuUs = 0, memoryKb = 0] = line.split(" ").map(Number);
	return { index, run: { wallMs: wallNs / 1e6, cpuMs: cpuUs / 1e3, memoryMb: memoryKb / 1024 } };
}

/** Lines of a call in the plan of timer.c. */
export function planOf({ program, arguments: texts = [], environment, stdin }: Call): string {
	const given = texts.map((text) => `arg ${text}\n`);
	const variables = Object.entries(environment).map(([name, value]) => `env ${name}=${value}\n`);
	return `run ${program}\n${given.join("")}${variables.join("")}${stdin === "" ? "" : `stdin ${stdin}\n`}end\n`;
}

/** The samples of calls that belong together: times add up, memory is the greater. */
export function sumRuns(calls: readonly Run[][]): Run[] {
	const [first = [], ...others] = calls;
	return first.map((sample, round) =>
		others.reduce(
			(sum, other) => ({
				wallMs: sum.wallMs + other[round]!.wallMs,
				cpuMs: sum.cpuMs + other[round]!.cpuMs,
				memoryMb: Math.max(sum.memoryMb, other[round]!.memoryMb),
			}),
			sample,
		),
	);
}

export function spreadOf(values: readonly number[]): Spread {
	const sorted = values.toSorted((a, b) => a - b);
	const middle = (sorted.length - 1) / 2;
	const median = (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2;
	return { median, min: sorted[0]!, max: sorted.at(-1)! };
}
