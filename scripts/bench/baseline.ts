/**
 * docs/bench/baseline.json: the counts that were last accepted.
 */
import { readFileSync, writeFileSync } from "node:fs";
import type { Count } from "./counts.ts";

export interface Baseline {
	/** Of the machine that counted, as Node calls it: "x64". Counts of another architecture cannot be compared. */
	readonly architecture: string;
	/** Counts of ours, by verb. */
	readonly verbs: Readonly<Record<string, { readonly instructions: number; readonly systemCalls: number }>>;
}

/** Undefined where there is none for this architecture. */
export function readBaseline(file: string): Baseline | undefined {
	const baseline = JSON.parse(readFileSync(file, "utf8")) as Baseline;
	return baseline.architecture === process.arch ? baseline : undefined;
}

export function writeBaseline(file: string, counts: readonly Count[]): void {
	const verbs: Record<string, { instructions: number; systemCalls: number }> = {};
	for (const { verb, instructions, trace } of counts) {
		if (instructions !== undefined) verbs[verb] = { instructions, systemCalls: trace.total };
	}
	writeFileSync(file, `${JSON.stringify({ architecture: process.arch, verbs }, null, "\t")}\n`);
}

/** "+1.3 %", "0.0 %"; "new" where there is nothing to compare with. */
export function difference(value: number, before: number | undefined): string {
	if (before === undefined) return "new";
	const percent = ((value - before) / before) * 100;
	const text = Math.abs(percent).toFixed(1);
	return `${text === "0.0" ? "" : percent > 0 ? "+" : "-"}${text} %`;
}
