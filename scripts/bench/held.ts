/**
 * What ADD and DEL of host-local cost while many addresses are held: ours and Go's in turn, on stores of the same
 * content, on tmpfs.
 *
 *   npm run bench:held [-- --executable PATH]
 *
 * Writes docs/bench/held.svg, and the table of the run into docs/host-local.md. Numbers of rounds are small where Go
 * takes seconds.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Laboratory, type Maker } from "./laboratory.ts";
import { runTimer, spreadOf } from "./timing.ts";

const ROOT = join(import.meta.dirname, "../..");
const HELD = [0, 100, 1000, 10_000, 50_000];
const ROUNDS: Record<number, number> = { 0: 80, 100: 80, 1000: 40, 10000: 15, 50000: 5 };
/** Goals of the project: ours against itself with nothing held, and against Go with 10,000 held. */
const MOST_GROWTH = 2;
const MOST_OF_GO = { held: 10_000, ratio: 0.03 };

/** Medians of a process, milliseconds of CPU. */
interface Row {
	readonly held: number;
	readonly maker: Maker;
	readonly add: number;
	readonly del: number;
}

function fill(store: string, count: number): void {
	mkdirSync(store, { recursive: true });
	const nameOf = (index: number) => `10.${[index >> 16, (index >> 8) & 255, index & 255].join(".")}`;
	for (let index = 2; index < count + 2; index++) {
		writeFileSync(join(store, nameOf(index)), `${index.toString(16).padStart(64, "0")}\r\neth0`, { mode: 0o600 });
	}
	if (count > 0) writeFileSync(join(store, "last_reserved_ip.0"), nameOf(count + 1), { mode: 0o600 });
}

async function measure(laboratory: Laboratory, held: number): Promise<Row[]> {
	const makers: Maker[] = ["ours", "Go"];
	const calls = makers.flatMap((maker) => {
		const dataDir = join(laboratory.state, `${maker}-${held}`);
		fill(join(dataDir, "bench"), held);
		const ipam = { type: "host-local", ranges: [[{ subnet: "10.0.0.0/8" }]], dataDir };
		return (["ADD", "DEL"] as const).map((verb) => laboratory.call(verb, maker, "host-local", { ipam }));
	});
	// The first round finds no index: that is not what is measured here.
	const runs = await runTimer(laboratory.programs, calls, ROUNDS[held]!);
	const median = (call: number) => spreadOf(runs[call]!.map(({ cpuMs }) => cpuMs)).median;
	return makers.map((maker, index) => ({ held, maker, add: median(2 * index), del: median(2 * index + 1) }));
}

function table(rows: readonly Row[]): string {
	const of = (maker: Maker, held: number) => rows.find((row) => row.maker === maker && row.held === held)!;
	const lines = ["| Held | ADD, ours | ADD, Go | DEL, ours | DEL, Go | ours / Go |", "|---:|---:|---:|---:|---:|---:|"];
	for (const held of HELD) {
		const [a, b] = [of("ours", held), of("Go", held)];
		const cells = [a.add, b.add, a.del, b.del].map((value) => `${value.toFixed(2)} ms`);
		lines.push(`| ${held} | ${cells.join(" | ")} | ${((a.add + a.del) / (b.add + b.del)).toFixed(3)} |`);
	}
	return lines.join("\n");
}

function verdicts(rows: readonly Row[]): string[] {
	const ours = rows.filter(({ maker }) => maker === "ours");
	const growth = (["add", "del"] as const).map((verb) => Math.max(...ours.map((row) => row[verb])) / ours[0]![verb]);
	const at = (maker: Maker) => rows.find((row) => row.maker === maker && row.held === MOST_OF_GO.held)!;
	const ratio = (at("ours").add + at("ours").del) / (at("Go").add + at("Go").del);
	const says = (met: boolean) => (met ? "met" : "NOT MET");
	return [
		`ADD at most ${growth[0]!.toFixed(2)} and DEL ${growth[1]!.toFixed(2)} times of their own time with none held, goal ${MOST_GROWTH}: ${says(Math.max(...growth) <= MOST_GROWTH)}`,
		`ADD+DEL ${ratio.toFixed(3)} of Go's with ${MOST_OF_GO.held} held, goal ${MOST_OF_GO.ratio}: ${says(ratio <= MOST_OF_GO.ratio)}`,
	];
}

const TITLE = "host-local: CPU time of an ADD and a DEL by addresses held (median)";

/** A line for each maker, both axes logarithmic; with none held at the left edge. */
function chart(rows: readonly Row[]): string {
	const [width, height, left, top] = [640, 360, 70, 40];
	const x = (held: number) => left + (Math.max(0, Math.log10(Math.max(held, 10)) - 1) / 3.7) * (width - 2 * left);
	const y = (ms: number) => top + ((3.5 - Math.log10(ms)) / 3.5) * (height - 2 * top);
	const text = (px: number, py: number, words: string, anchor = "middle") =>
		`<text x="${px.toFixed(1)}" y="${py.toFixed(1)}" text-anchor="${anchor}">${words}</text>`;
	const parts: string[] = [];
	for (const ms of [1, 10, 100, 1000]) {
		parts.push(
			`<path d="M${left} ${y(ms).toFixed(1)}H${width - left}" stroke="#ddd"/>`,
			text(left - 8, y(ms) + 4, `${ms} ms`, "end"),
		);
	}
	for (const held of HELD) parts.push(text(x(held), height - top + 20, held.toLocaleString("en")));
	for (const [maker, colour] of [
		["ours", "#1a7f37"],
		["Go", "#0969da"],
	] as const) {
		const points = rows.filter((row) => row.maker === maker).map((row) => [x(row.held), y(row.add + row.del)] as const);
		const path = points.map(([px, py]) => `${px.toFixed(1)} ${py.toFixed(1)}`).join("L");
		parts.push(`<path d="M${path}" fill="none" stroke="${colour}" stroke-width="2"/>`);
		for (const [px, py] of points)
			parts.push(`<circle cx="${px.toFixed(1)}" cy="${py.toFixed(1)}" r="3" fill="${colour}"/>`);
		parts.push(text(points.at(-1)![0] + 8, points.at(-1)![1] + 4, maker, "start"));
	}
	parts.push(text(width / 2, 20, TITLE));
	return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12"><title>${TITLE}</title><rect width="${width}" height="${height}" fill="#fff"/>\n${parts.join("\n")}\n</svg>\n`;
}

const { values } = parseArgs({ options: { executable: { type: "string" } } });
using laboratory = await Laboratory.open(values.executable ?? join(ROOT, "dist/bin/berth"), join(ROOT, "build"));
const rows: Row[] = [];
for (const held of HELD) {
	console.error(`bench: ${held} held`);
	rows.push(...(await measure(laboratory, held)));
}
const results = `${table(rows)}\n\n${verdicts(rows).join("; ")}.`;
console.log(results);
writeFileSync(join(ROOT, "docs/bench/held.svg"), chart(rows));
const page = join(ROOT, "docs/host-local.md");
const text = readFileSync(page, "utf8");
writeFileSync(page, text.replace(/(<!-- held -->\n)[\s\S]*?(<!-- \/held -->)/, `$1${results}\n$2`));
