/**
 * Faults at every system call of a verb: what test/faults/tracer does in one process, described and read from here.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, globSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Machine } from "../support/machine.ts";
import { binaries, type Configuration } from "../support/pods.ts";

const SOURCES = join(import.meta.dirname, "tracer");
const BUILT = join(import.meta.dirname, "../../build/fixtures/c");

/** Path of the tracer, compiled if it has changed: static, so that it starts quickly in the guest. */
export function tracer(): string {
	const files = globSync("*.[ch]", { cwd: SOURCES }).sort();
	const hash = createHash("sha256");
	for (const file of files) hash.update(file).update(readFileSync(join(SOURCES, file)));
	const program = join(BUILT, `tracer-${hash.digest("hex").slice(0, 16)}`);
	if (existsSync(program)) return program;
	const folder = `${program}.${process.pid}`;
	mkdirSync(folder, { recursive: true });
	const macros = execFileSync("cc", ["-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null"]).toString();
	const names = [...macros.matchAll(/^#define __NR_(\w+) (\d+)$/gm)].map(
		([, name, number]) => `[${number}] = "${name}",`,
	);
	writeFileSync(join(folder, "names.h"), `${names.join("\n")}\n`);
	const units = files.filter((file) => file.endsWith(".c")).map((file) => join(SOURCES, file));
	const output = join(folder, "tracer");
	execFileSync("cc", ["-Wall", "-Wextra", "-Werror", "-O1", "-static", `-I${folder}`, "-o", output, ...units]);
	renameSync(output, program);
	return program;
}

/** One call of a plugin: verb, name of a configuration, container, sandbox ("-": none). */
export type Call = readonly [plugin: string, verb: string, configuration: string, container: string, netns: string];

/** See test/faults/tracer/loop.c for what the steps mean. */
export type Step =
	| readonly ["call", ...Call]
	| readonly ["clear", string]
	| readonly ["netns", string]
	| readonly ["unnetns", string]
	| readonly ["await", string]
	| readonly ["same"]
	| readonly ["same-if-failed"];

export interface Scenario {
	readonly mode: "kill" | "fail";
	/** Folder of the plugins, default: ours. */
	readonly plugins?: string;
	readonly configurations: Readonly<Record<string, Configuration>>;
	/** Shell script that makes all as it should be. */
	readonly reset: string;
	/** What must be as it was after `reset`. */
	readonly watch: readonly (readonly ["links"] | readonly ["files" | "symlink", string])[];
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

/** Runs a scenario on a machine. Throws where the tracer itself fails. */
export async function runFaults(machine: Machine, scenario: Scenario, folder: string): Promise<Outcome> {
	const plugins = scenario.plugins ?? binaries;
	const lines = [`mode ${scenario.mode}`, `cni-path ${plugins}`];
	await machine.run(["mkdir", "-p", folder]);
	for (const [name, configuration] of Object.entries(scenario.configurations)) {
		await machine.writeFile(`${folder}/${name}.json`, JSON.stringify(configuration));
		lines.push(`config ${name} ${folder}/${name}.json`);
	}
	await machine.writeFile(`${folder}/reset`, scenario.reset);
	lines.push(`reset /bin/sh -e ${folder}/reset`);
	for (const what of scenario.watch) lines.push(`watch ${what.join(" ")}`);
	for (const step of scenario.before) lines.push(`before ${words(step, plugins)}`);
	lines.push(`target ${callWords(scenario.target, plugins)}`);
	for (const step of scenario.after) lines.push(`after ${words(step, plugins)}`);
	await machine.writeFile(`${folder}/scenario`, `${lines.join("\n")}\n`);

	const result = await machine.run([tracer(), "run", `${folder}/scenario`], { ok: false, timeoutMs: 900_000 });
	const counts = /^points (\d+) violations (\d+) succeeded (\d+) failed (\d+) unanswered (\d+)$/m.exec(result.stdout);
	if (counts === null) throw new Error(`the tracer: status ${result.status}\n${result.stdout}\n${result.stderr}`);
	return {
		points: Number(counts[1]),
		violations: result.stdout.split(/^(?=violation )/m).filter((part) => part.startsWith("violation ")),
		succeeded: Number(counts[3]),
		failed: Number(counts[4]),
		unanswered: result.stdout.split("\n").filter((line) => line.startsWith("unanswered ")),
	};
}

function words(step: Step, plugins: string): string {
	if (step[0] !== "call") return step.join(" ");
	const [, ...call] = step;
	return `call ${callWords(call, plugins)}`;
}

const callWords = ([plugin, ...rest]: Call, plugins: string): string => `${plugins}/${plugin} ${rest.join(" ")}`;
