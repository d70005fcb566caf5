/**
 * Times: every contender in turn, round after round, by the program timer.c.
 */
import { join } from "node:path";
import { execa } from "execa";
import { run } from "../build/host.ts";
import { type Call, type Laboratory, MAKERS, type Maker } from "./laboratory.ts";

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

export type Timing = Omit<Contestant, "calls"> & Readonly<Record<keyof Run, Spread>>;

function contestants(laboratory: Laboratory): Contestant[] {
	const both = (workload: Contestant["workload"], calls: (maker: Maker) => Call[]): Contestant[] =>
		MAKERS.map((maker) => ({ workload, maker, calls: calls(maker) }));
	return [
		...both("VERSION", (maker) => [laboratory.version(maker, "host-local")]),
		{ workload: "/bin/true", maker: undefined, calls: [{ program: "/bin/true" }] },
		...both("host-local ADD+DEL", (maker) => [
			laboratory.call("ADD", maker, "host-local"),
			laboratory.call("DEL", maker, "host-local"),
		]),
		...both("static ADD", (maker) => [laboratory.call("ADD", maker, "static")]),
	];
}

/** Times `rounds` rounds after one that is not counted. Throws with the answer of a call that fails. */
export async function timeAll(laboratory: Laboratory, rounds: number): Promise<Timing[]> {
	for (const maker of MAKERS) laboratory.clear(maker);
	const all = contestants(laboratory);
	const calls = all.flatMap((contestant) => contestant.calls);
	const samples = samplesOf(all, await runTimer(laboratory.programs, calls, rounds));
	return all.map(({ workload, maker }, index) => {
		const of = (key: keyof Run) => spread(samples[index]!, key);
		return { workload, maker, wallMs: of("wallMs"), cpuMs: of("cpuMs"), memoryMb: of("memoryMb") };
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
export async function runTimer(directory: string, calls: readonly Call[], rounds: number): Promise<Run[][]> {
	const plan = calls.map(planOf).join("");
	const { stdout } = await execa(compile("timer.c", directory), [`${rounds + 1}`], { cwd: directory, input: plan });
	return readRuns(stdout);
}

export interface Run {
	readonly wallMs: number;
	/** User and system, children included. */
	readonly cpuMs: number;
	/** Peak resident memory; of several calls that of the greatest. */
	readonly memoryMb: number;
}

/** The lines of timer.c, by the call of the plan; without the first round. */
export function readRuns(lines: string): Run[][] {
	const runs: Run[][] = [];
	for (const line of lines.trimEnd().split("\n")) {
		const [index = -1, wallNs = 0, cpuUs = 0, memoryKb = 0] = line.split(" ").map(Number);
		runs[index] ??= [];
		runs[index].push({ wallMs: wallNs / 1e6, cpuMs: cpuUs / 1e3, memoryMb: memoryKb / 1024 });
	}
	return runs.map((each) => each.slice(1));
}

/** Lines of a call in the plan of timer.c. */
export function planOf({ program, arguments: texts = [], environment = {}, stdin = "" }: Call): string {
	const given = texts.map((text) => `arg ${text}\n`);
	const variables = Object.entries(environment).map(([name, value]) => `env ${name}=${value}\n`);
	return `run ${program}\n${given.join("")}${variables.join("")}${stdin === "" ? "" : `stdin ${stdin}\n`}end\n`;
}

/** The samples of each contestant, of the runs of all calls: times add up, memory is the greatest. */
export function samplesOf(all: readonly { calls: readonly Call[] }[], runs: readonly Run[][]): Run[][] {
	const left = [...runs];
	return all.map(({ calls }) => {
		const own = left.splice(0, calls.length);
		return own[0]!.map((_, round) => ({
			wallMs: sum(own.map((each) => each[round]!.wallMs)),
			cpuMs: sum(own.map((each) => each[round]!.cpuMs)),
			memoryMb: Math.max(...own.map((each) => each[round]!.memoryMb)),
		}));
	});
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Of one measure in some runs. */
export const spread = (runs: readonly Run[], key: keyof Run): Spread => spreadOf(runs.map((run) => run[key]));

export function spreadOf(values: readonly number[]): Spread {
	const sorted = values.toSorted((a, b) => a - b);
	const middle = (sorted.length - 1) / 2;
	const median = (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2;
	return { median, min: sorted[0]!, max: sorted.at(-1)! };
}
