/**
 * What the bench prints: tables of at most 100 columns, and whether the goals are met.
 */
import { type Baseline, difference } from "./baseline.ts";
import type { Count, Trace } from "./counts.ts";
import type { Maker } from "./laboratory.ts";
import type { Spread, Timing } from "./timing.ts";

const WIDTH = 100;

export interface Goal {
	readonly workload: Timing["workload"];
	readonly measure: "wallMs" | "cpuMs" | "memoryMb";
	/** Ours divided by Go's, of the medians. */
	readonly ratio: number;
	readonly limit: number;
	readonly met: boolean;
}

const LIMITS = [
	{ workload: "VERSION", measure: "wallMs", limit: 0.5 },
	{ workload: "VERSION", measure: "cpuMs", limit: 0.5 },
	{ workload: "VERSION", measure: "memoryMb", limit: 1 },
	{ workload: "host-local ADD+DEL", measure: "wallMs", limit: 0.6 },
	{ workload: "host-local ADD+DEL", measure: "cpuMs", limit: 0.6 },
	{ workload: "host-local ADD+DEL", measure: "memoryMb", limit: 1 },
] as const;

const MEASURES = { wallMs: "wall time", cpuMs: "CPU time", memoryMb: "peak memory" } as const;

export function goalsOf(timings: readonly Timing[]): Goal[] {
	return LIMITS.map(({ workload, measure, limit }) => {
		const ratio = ratioOf(timings, workload, measure);
		// Memory is to be below Go's, times may be just at their limit.
		return { workload, measure, ratio, limit, met: measure === "memoryMb" ? ratio < limit : ratio <= limit };
	});
}

function ratioOf(timings: readonly Timing[], workload: Timing["workload"], measure: Goal["measure"]): number {
	const of = (maker: Maker) => timings.find((each) => each.workload === workload && each.maker === maker)!;
	return of("ours")[measure].median / of("Go")[measure].median;
}

export function timeTable(timings: readonly Timing[]): string {
	const rows: string[][] = [["", "", "wall ms", "min..max", "CPU ms", "min..max", "memory MB", "min..max"]];
	for (const { workload, maker, wallMs, cpuMs, memoryMb } of timings) {
		const cells = [wallMs, cpuMs, memoryMb].flatMap((spread) => [spread.median.toFixed(2), range(spread)]);
		rows.push([maker === "Go" ? "" : workload, maker ?? "", ...cells]);
		if (maker !== "Go") continue;
		const ratio = (measure: Goal["measure"]) => ratioOf(timings, workload, measure).toFixed(2);
		rows.push(["", "ours / Go", ratio("wallMs"), "", ratio("cpuMs"), "", ratio("memoryMb"), ""]);
	}
	return alignColumns(rows, 2);
}

function range({ min, max }: Spread): string {
	return `${min.toFixed(2)}..${max.toFixed(max < 100 ? 2 : 0)}`;
}

export function goalLines(goals: readonly Goal[]): string {
	const rows = goals.map(({ workload, measure, ratio, limit, met }) => [
		`${workload}:`,
		MEASURES[measure],
		ratio.toFixed(2),
		`of Go's, ${measure === "memoryMb" ? "below" : "at most"} ${limit.toFixed(1)}:`,
		met ? "met" : "NOT MET",
	]);
	return alignColumns(rows, 5);
}

/** For the README: who has never seen this wants to know what a call costs. Medians, in Markdown. */
export function readmeTable({
	timings,
	bytes,
	peers,
	processor,
}: {
	timings: readonly Timing[];
	bytes: { ours: number; go: number; true: number };
	peers: string;
	processor: string;
}): string {
	const lines = ["| | wall time | CPU time | peak memory | file |", "|---|---|---|---|---|"];
	const files = { ours: `${megabytes(bytes.ours)}, all plugins`, Go: `${megabytes(bytes.go)}, host-local alone` };
	for (const { workload, maker, wallMs, cpuMs, memoryMb } of timings) {
		const name = maker === undefined ? "`/bin/true`" : `${workload}, ${maker === "ours" ? "**Berth**" : `Go ${peers}`}`;
		// Of the Go plugins one is enough to see what they are like.
		const file = maker === undefined ? megabytes(bytes.true) : workload === "VERSION" ? files[maker] : "";
		const times = [wallMs, cpuMs].map(({ median }) => `${median.toFixed(2)} ms`).join(" | ");
		lines.push(`| ${name} | ${times} | ${memoryMb.median.toFixed(2)} MB | ${file} |`);
	}
	const rows = MEASURED.map((measured) => ratiosOf(timings, measured)).join("; ");
	return `${lines.join("\n")}\n\nMedians of one run (${processor}; VERSION is the start of a process and no more). Berth's part of Go's time: ${rows}.`;
}

const MEASURED = ["VERSION", "host-local ADD+DEL", "static ADD"] as const;

function ratiosOf(timings: readonly Timing[], workload: Timing["workload"]): string {
	const ratio = (measure: Goal["measure"]) => ratioOf(timings, workload, measure).toFixed(2);
	return `${workload} ${ratio("wallMs")} of wall and ${ratio("cpuMs")} of CPU`;
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
	const lines: string[] = [];
	let line = "";
	for (const word of text.split(" ")) {
		if (line !== "" && line.length + 1 + word.length > WIDTH) {
			lines.push(line);
			line = `  ${word}`;
		} else {
			line += line === "" ? word : ` ${word}`;
		}
	}
	return [...lines, line].join("\n").replaceAll("\u00a0", " ");
}

/** Columns two spaces apart; the first `left` are flush left, numbers flush right. */
export function alignColumns(rows: readonly string[][], left: number): string {
	const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
	const lines = rows.map((row) =>
		row
			.map((cell, column) => (column < left ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
			.join("  ")
			.trimEnd(),
	);
	return lines.join("\n");
}
