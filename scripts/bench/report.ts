/**
 * What the bench prints: tables of at most 100 columns, and whether the goals are met.
 */
import { alignColumns } from "../../test/lab/table.ts";
import { type Baseline, difference } from "./baseline.ts";
import type { Count, Trace } from "./counts.ts";
import type { Maker } from "./laboratory.ts";
import type { Run, Spread, Timing } from "./timing.ts";

const WIDTH = 100;

type Goal = ReturnType<typeof goalsOf>[number];

/** What the bench has measured. */
export interface Results {
	/** Sizes of files. Go has a file for each plugin. */
	readonly bytes: { readonly ours: number; readonly go: number; readonly true: number };
	readonly peers: string;
	readonly processor: string;
	readonly rounds: number;
	readonly timings: readonly Timing[];
	readonly goals: readonly Goal[];
	readonly counts: readonly Count[];
}

type Measure = keyof Run;

/** `against`: what ours is divided by; nothing: the figure itself. */
const LIMITS = [
	{ workload: "VERSION", measure: "wallMs", against: "Go", limit: 0.22 },
	{ workload: "VERSION", measure: "cpuMs", against: "Go", limit: 0.22 },
	{ workload: "VERSION", measure: "wallMs", against: "/bin/true", limit: 1 },
	{ workload: "VERSION", measure: "memoryMb", against: undefined, limit: 2 },
	{ workload: "host-local ADD+DEL", measure: "wallMs", against: "Go", limit: 0.45 },
	{ workload: "static ADD", measure: "wallMs", against: "Go", limit: 0.4 },
] as const;

const MEASURES = { wallMs: "wall time", cpuMs: "CPU time", memoryMb: "peak memory" } as const;

/** `value`: of the medians. */
export function goalsOf(timings: readonly Timing[]) {
	return LIMITS.map(({ workload, measure, against, limit }) => {
		const ours = median(timings, workload, "ours", measure);
		const other =
			against === undefined
				? 1
				: median(timings, against === "Go" ? workload : against, against === "Go" ? "Go" : undefined, measure);
		const value = ours / other;
		return { workload, measure, against, value, limit, met: value <= limit };
	});
}

function median(timings: readonly Timing[], workload: string, maker: Maker | undefined, measure: Measure): number {
	return timings.find((each) => each.workload === workload && each.maker === maker)![measure].median;
}

function ratioOf(timings: readonly Timing[], workload: Timing["workload"], measure: Measure): number {
	return median(timings, workload, "ours", measure) / median(timings, workload, "Go", measure);
}

export function timeTable(timings: readonly Timing[]): string {
	const rows: string[][] = [["", "", "wall ms", "min..max", "CPU ms", "min..max", "memory MB", "min..max"]];
	for (const { workload, maker, wallMs, cpuMs, memoryMb } of timings) {
		const cells = [wallMs, cpuMs, memoryMb].flatMap((spread) => [spread.median.toFixed(2), range(spread)]);
		rows.push([maker === "Go" ? "" : workload, maker ?? "", ...cells]);
		if (maker !== "Go") continue;
		const ratio = (measure: Measure) => ratioOf(timings, workload, measure).toFixed(2);
		rows.push(["", "ours / Go", ratio("wallMs"), "", ratio("cpuMs"), "", ratio("memoryMb"), ""]);
	}
	return alignColumns(rows, 2);
}

function range({ min, max }: Spread): string {
	return `${min.toFixed(2)}..${max.toFixed(max < 100 ? 2 : 0)}`;
}

export function goalLines(goals: readonly Goal[]): string {
	const unit = (goal: Goal) => (goal.measure === "memoryMb" ? "MB" : "ms");
	const rows = goals.map((goal) => [
		`${goal.workload}:`,
		MEASURES[goal.measure],
		goal.value.toFixed(2),
		`${goal.against === undefined ? unit(goal) : `of ${goal.against === "Go" ? "Go's" : goal.against}`}, at most ${goal.limit}:`,
		goal.met ? "met" : "NOT MET",
	]);
	return alignColumns(rows, 5);
}

/** For the README: who has never seen this wants to know what a call costs. Medians, in Markdown. */
export function readmeTable({ timings, bytes, peers, processor }: Results): string {
	const lines = ["| | wall time | CPU time | peak memory | file |", "|---|---|---|---|---|"];
	const files = { ours: `${megabytes(bytes.ours)}, all plugins`, Go: `${megabytes(bytes.go)}, host-local alone` };
	for (const { workload, maker, wallMs, cpuMs, memoryMb } of timings) {
		const name = maker === undefined ? "`/bin/true`" : `${workload}, ${maker === "ours" ? "**Berth**" : `Go ${peers}`}`;
		// Of the Go plugins one is enough to see what they are like.
		const file = maker === undefined ? megabytes(bytes.true) : workload === "VERSION" ? files[maker] : "";
		const times = [wallMs, cpuMs].map(({ median }) => `${median.toFixed(2)} ms`).join(" | ");
		lines.push(`| ${name} | ${times} | ${memoryMb.median.toFixed(2)} MB | ${file} |`);
	}
	const ratios = (["VERSION", "host-local ADD+DEL", "static ADD"] as const).map((workload) => {
		const ratio = (measure: Measure) => ratioOf(timings, workload, measure).toFixed(2);
		return `${workload} ${ratio("wallMs")} of wall and ${ratio("cpuMs")} of CPU`;
	});
	return `${lines.join("\n")}\n\nMedians of one run (${processor}; VERSION is the start of a process and no more). Berth's part of Go's time: ${ratios.join("; ")}.`;
}

function megabytes(bytes: number): string {
	return `${(bytes / 1e6).toFixed(2)} MB`;
}

export function countTable(counts: readonly Count[], baseline: Baseline | undefined): string {
	const rows: string[][] = [
		["", "", "instructions", "to baseline", "system calls", "to baseline", "threads", "processes"],
	];
	for (const { verb, maker, instructions, trace } of counts) {
		const before = maker === "ours" ? baseline?.verbs[verb] : undefined;
		const compare = (value: number | undefined, old: number | undefined) =>
			maker === "Go" || value === undefined || baseline === undefined ? "-" : difference(value, old);
		rows.push([
			verb,
			maker,
			instructions === undefined ? "-" : grouped(instructions),
			compare(instructions, before?.instructions),
			String(trace.total),
			compare(trace.total, before?.systemCalls),
			String(trace.threads),
			String(trace.processes),
		]);
	}
	return alignColumns(rows, 2);
}

/** 1998372: "1 998 372" */
function grouped(value: number): string {
	return String(value).replaceAll(/\B(?=(\d{3})+$)/g, " ");
}

/** The system calls of each of our verbs by name, most frequent first. */
export function callList(counts: readonly Count[]): string {
	return counts
		.filter(({ maker }) => maker === "ours")
		.map(({ verb, trace }) => fold(`${verb}: ${namesOf(trace)}`))
		.join("\n");
}

function namesOf({ systemCalls }: Trace): string {
	return Object.entries(systemCalls)
		.toSorted(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
		.map(([name, count]) => (count === 1 ? name : `${name}\u00a0${count}`))
		.join(", ");
}

/** Breaks a paragraph at spaces, but not at those that do not break; further lines are indented. */
function fold(text: string): string {
	const line = new RegExp(`(^.{1,${WIDTH}}|.{1,${WIDTH - 2}})(?: |$)`, "g");
	return (text.match(line) ?? [])
		.map((each) => each.trimEnd())
		.join("\n  ")
		.replaceAll("\u00a0", " ");
}
