/**
 * Faults at every system call of a verb: what test/faults/tracer does in one process, described and read from here.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, globSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Machine } from "../lab/machine.ts";
import { binaries, type Configuration } from "../lab/pods.ts";

const SOURCES = join(import.meta.dirname, "tracer");
const BUILT = join(import.meta.dirname, "../../build/fixtures/c");

/** Path of the tracer, compiled if it has changed: static, so that it starts quickly in the guest. */
export function tracer(): string {
	const files = globSync("*.[ch]", { cwd: SOURCES }).sort();
	const hash = createHash("sha256");
	for (const file of files) hash.update(file).update(readFileSync(join(SOURCES, file)));
	const program = join(BUILT, `tracer-${hash.digest("hex").slice(0, 16)}`);
	if (existsSync(program)) return program;
	const directory = `${program}.${process.pid}`;
	mkdirSync(directory, { recursive: true });
	const macros = execFileSync("cc", ["-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null"]).toString();
	const names = [...macros.matchAll(/^#define __NR_(\w+) (\d+)$/gm)].map(
		([, name, number]) => `[${number}] = "${name}",`,
	);
	writeFileSync(join(directory, "names.h"), `${names.join("\n")}\n`);
	const units = files.filter((file) => file.endsWith(".c")).map((file) => join(SOURCES, file));
	const output = join(directory, "tracer");
	execFileSync("cc", ["-Wall", "-Wextra", "-Werror", "-O1", "-static", `-I${directory}`, "-o", output, ...units]);
	renameSync(output, program);
	return program;
}

/**
 * One call of a plugin: verb, name of a configuration, container, sandbox ("-": none); or of an operator's command.
 */
export type Call =
	| readonly [plugin: string, verb: string, configuration: string, container: string, netns: string]
	| readonly [program: "berth", command: string];

/** See test/faults/tracer/loop.c for what the steps mean. */
export type Step =
	| readonly ["call", ...Call]
	| readonly ["clear", string]
	| readonly ["netns", string]
	| readonly ["unnetns", string]
	| readonly ["await", string]
	| readonly ["same"]
	| readonly ["same-if-failed"]
	| readonly ["same-if-succeeded"];

/** What is around the faults. */
export interface Scene {
	/** Directory of the plugins, default: ours. */
	readonly plugins?: string;
	readonly configurations: Readonly<Record<string, Configuration>>;
	/** Shell script that makes all as it should be. */
	readonly reset: string;
	/** What must be as it was after `reset`. */
	readonly watch: readonly (readonly ["links"] | readonly ["files" | "symlink", string])[];
}

export interface Scenario extends Scene {
	readonly mode: "kill" | "fail";
	readonly before: readonly Step[];
	readonly target: Call;
	readonly after: readonly Step[];
}

export interface Outcome {
	/** How many calls had a fault. */
	readonly points: number;
	/** What was not as it has to be, a sentence each; the tracer ends after a dozen. */
	readonly violations: string[];
	/** Failed calls that did not make the verb fail. */
	readonly succeeded: number;
	/** Failed calls that gave an error of the protocol. */
	readonly failed: number;
	/** Failed calls that ended the process without an answer. */
	readonly unanswered: string[];
}

/** Runs a scenario on a machine; its files go into `directory`. Throws where the tracer itself fails. */
export async function runFaults(machine: Machine, scenario: Scenario, directory: string): Promise<Outcome> {
	const plugins = scenario.plugins ?? binaries;
	const lines = [
		`mode ${scenario.mode}`,
		...scenario.before.map((step) => `before ${words(step, plugins)}`),
		`target ${callWords(scenario.target, plugins)}`,
		...scenario.after.map((step) => `after ${words(step, plugins)}`),
	];
	const { output, violations } = await run(machine, scenario, lines, directory);
	const counts = /^points (\d+) violations \d+ succeeded (\d+) failed (\d+) unanswered \d+$/m.exec(output);
	if (counts === null) throw new Error(`the tracer has not come to its end:\n${output}`);
	return {
		points: Number(counts[1]),
		violations,
		succeeded: Number(counts[2]),
		failed: Number(counts[3]),
		unanswered: output.split("\n").filter((line) => line.startsWith("unanswered ")),
	};
}

interface Storm extends Scene {
	readonly plugin: string;
	readonly rounds: number;
	readonly seed: number;
	readonly pods: number;
	/** How many calls in a round. */
	readonly atOnce: number;
	/** PCI addresses of the VFs, each with the name of its configuration. */
	readonly vfs: readonly (readonly [pci: string, configuration: string])[];
}

/** Many attachments at once: see test/faults/tracer/storm.c. Throws where the tracer itself fails. */
export async function runStorm(
	machine: Machine,
	storm: Storm,
	directory: string,
): Promise<{ rounds: number; adds: number; dels: number; refused: number; kills: number; violations: string[] }> {
	const { rounds, seed, pods, atOnce } = storm;
	const lines = [
		`storm ${storm.plugins ?? binaries}/${storm.plugin} ${rounds} ${seed} ${pods} ${atOnce}`,
		...storm.vfs.map((vf) => `vf ${vf.join(" ")}`),
	];
	const { output, violations } = await run(machine, storm, lines, directory);
	const counts = /^rounds (\d+) violations \d+ adds (\d+) dels (\d+) refused (\d+) kills (\d+)$/m.exec(output);
	if (counts === null) throw new Error(`the storm has not come to its end:\n${output}`);
	const [played, adds, dels, refused, kills] = counts.slice(1).map(Number) as [number, number, number, number, number];
	return { rounds: played, adds, dels, refused, kills, violations };
}

async function run(
	machine: Machine,
	scene: Scene,
	lines: readonly string[],
	directory: string,
): Promise<{ output: string; violations: string[] }> {
	const all = [`cni-path ${scene.plugins ?? binaries}`, `reset /bin/sh -e ${directory}/reset`];
	await machine.run(["mkdir", "-p", directory]);
	for (const [name, configuration] of Object.entries(scene.configurations)) {
		await machine.writeFile(`${directory}/${name}.json`, JSON.stringify(configuration));
		all.push(`config ${name} ${directory}/${name}.json`);
	}
	await machine.writeFile(`${directory}/reset`, scene.reset);
	for (const what of scene.watch) all.push(`watch ${what.join(" ")}`);
	await machine.writeFile(`${directory}/scenario`, `${[...all, ...lines].join("\n")}\n`);
	const result = await machine.run([tracer(), "run", `${directory}/scenario`], { ok: false, timeoutMs: 3_600_000 });
	return {
		output: `${result.stdout}${result.stderr}`,
		violations: result.stdout.split(/^(?=violation |points |rounds )/m).filter((part) => part.startsWith("violation ")),
	};
}

function words(step: Step, plugins: string): string {
	if (step[0] !== "call") return step.join(" ");
	const [, ...call] = step;
	return `call ${callWords(call, plugins)}`;
}

const callWords = ([plugin, ...rest]: Call, plugins: string): string => `${plugins}/${plugin} ${rest.join(" ")}`;
