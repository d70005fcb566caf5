/**
 * What ADD and DEL of host-local cost while many addresses are held: ours and Go's in turn, on stores of the same
 * content, on tmpfs.
 *
 *   npm run bench:held [-- --executable PATH]
 *
 * Writes the table of the run into docs/host-local.md. Numbers of rounds are small where Go takes seconds.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { withBlock } from "../../test/lab/markdown.ts";
import { executableOf, print, ROOT, say } from "./command.ts";
import { Laboratory, MAKERS } from "./laboratory.ts";
import { runTimer, spread } from "./timing.ts";

const HELD = [0, 100, 1000, 10_000, 50_000];
const ROUNDS: Record<number, number> = { 0: 80, 100: 80, 1000: 40, 10000: 15, 50000: 5 };
/** Goals of the project: ours against itself with nothing held, and against Go with 10,000 held. */
const MOST_GROWTH = 2;
const MOST_OF_GO = { held: 10_000, ratio: 0.03 };

/** Medians of a process, milliseconds of CPU. */
interface Times {
	readonly add: number;
	readonly del: number;
}

interface Row {
	readonly held: number;
	readonly ours: Times;
	readonly go: Times;
}

function fill(store: string, count: number): void {
	mkdirSync(store, { recursive: true });
	const nameOf = (index: number) => `10.${[index >> 16, (index >> 8) & 255, index & 255].join(".")}`;
	for (let index = 2; index < count + 2; index++) {
		writeFileSync(join(store, nameOf(index)), `${index.toString(16).padStart(64, "0")}\r\neth0`, { mode: 0o600 });
	}
	if (count > 0) writeFileSync(join(store, "last_reserved_ip.0"), nameOf(count + 1), { mode: 0o600 });
}

async function measure(laboratory: Laboratory, held: number): Promise<Row> {
	const calls = MAKERS.flatMap((maker) => {
		const dataDir = join(laboratory.state, `${maker}-${held}`);
		fill(join(dataDir, "bench"), held);
		const ipam = { type: "host-local", ranges: [[{ subnet: "10.0.0.0/8" }]], dataDir };
		return (["ADD", "DEL"] as const).map((verb) => laboratory.call(verb, maker, "host-local", { ipam }));
	});
	// The first round finds no index: that is not what is measured here.
	const runs = await runTimer(laboratory.programs, calls, ROUNDS[held]!);
	const median = (call: number) => spread(runs[call]!, "cpuMs").median;
	return { held, ours: { add: median(0), del: median(1) }, go: { add: median(2), del: median(3) } };
}

const ratioOf = ({ ours, go }: Row): number => (ours.add + ours.del) / (go.add + go.del);

function table(rows: readonly Row[]): string {
	const lines = ["| Held | ADD, ours | ADD, Go | DEL, ours | DEL, Go | ours / Go |", "|---:|---:|---:|---:|---:|---:|"];
	for (const row of rows) {
		const { held, ours, go } = row;
		const cells = [ours.add, go.add, ours.del, go.del].map((value) => `${value.toFixed(2)} ms`);
		lines.push(`| ${held} | ${cells.join(" | ")} | ${ratioOf(row).toFixed(3)} |`);
	}
	return lines.join("\n");
}

function verdicts(rows: readonly Row[]): string[] {
	const ours = rows.map((row) => row.ours);
	const growth = (["add", "del"] as const).map((verb) => Math.max(...ours.map((row) => row[verb])) / ours[0]![verb]);
	const ratio = ratioOf(rows.find(({ held }) => held === MOST_OF_GO.held)!);
	const says = (met: boolean) => (met ? "met" : "NOT MET");
	return [
		`ADD at most ${growth[0]!.toFixed(2)} and DEL ${growth[1]!.toFixed(2)} times of their own time with none held, goal ${MOST_GROWTH}: ${says(Math.max(...growth) <= MOST_GROWTH)}`,
		`ADD+DEL ${ratio.toFixed(3)} of Go's with ${MOST_OF_GO.held} held, goal ${MOST_OF_GO.ratio}: ${says(ratio <= MOST_OF_GO.ratio)}`,
	];
}

await print(async () => {
	const { values } = parseArgs({ options: { executable: { type: "string" } } });
	using laboratory = await Laboratory.open(executableOf(values.executable));
	const rows: Row[] = [];
	for (const held of HELD) {
		say(`${held} held`);
		rows.push(await measure(laboratory, held));
	}
	const results = `${table(rows)}\n\n${verdicts(rows).join("; ")}.`;
	const page = join(ROOT, "docs/host-local.md");
	writeFileSync(page, withBlock(readFileSync(page, "utf8"), "held", results));
	return results;
});
