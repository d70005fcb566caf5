/**
 * Counts, which noise does not touch: instructions (valgrind's callgrind), system calls, threads and processes
 * (strace).
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { execaSync } from "execa";
import { type Call, type Laboratory, MAKERS, type Maker } from "./laboratory.ts";

export interface Trace {
	/** By name; the execve(2) that starts the program is one of them. */
	readonly systemCalls: Readonly<Record<string, number>>;
	readonly total: number;
	/** Started by the program, apart from the one that it is. */
	readonly threads: number;
	readonly processes: number;
}

export interface Count {
	/** "host-local ADD" */
	readonly verb: string;
	readonly maker: Maker;
	/** In user mode. Undefined for Go, whose runtime does not start under valgrind. */
	readonly instructions: number | undefined;
	readonly trace: Trace;
}

/**
 * A call to be counted, and the exit status that it has when it is the one that we mean; undefined where that depends
 * on the machine's cards.
 */
type Step = readonly [verb: string, status: number | undefined, call: (previous: string) => Call];

export function missingTools(): string[] {
	return ["valgrind", "strace"].filter((tool) => spawnSync(tool, ["--version"]).error !== undefined);
}

/** Counts every verb. Throws where a call does not end as it should. */
export function countAll(laboratory: Laboratory, progress: (verb: string) => void): Count[] {
	return MAKERS.flatMap((maker) => {
		progress(`system calls, ${maker}`);
		const traces = sequence(laboratory, maker, trace);
		if (maker === "ours") progress(`instructions, ${maker}`);
		const instructions = maker === "ours" ? sequence(laboratory, maker, countInstructions) : [];
		return traces.map(({ verb, value }, index) => {
			return { verb, maker, instructions: instructions[index]?.value, trace: value };
		});
	});
}

function steps(laboratory: Laboratory, maker: Maker): Step[] {
	const checked = (previous: string) => ({ prevResult: JSON.parse(previous) });
	const common: Step[] = [
		["host-local VERSION", 0, () => laboratory.version(maker, "host-local")],
		["host-local ADD", 0, () => laboratory.call("ADD", maker, "host-local")],
		["host-local CHECK", 0, (previous) => laboratory.call("CHECK", maker, "host-local", checked(previous))],
		["host-local DEL", 0, () => laboratory.call("DEL", maker, "host-local")],
		["static ADD", 0, () => laboratory.call("ADD", maker, "static")],
	];
	if (maker === "Go") return common;
	return [
		...common,
		["sriov VERSION", 0, () => laboratory.version(maker, "sriov")],
		["sriov ADD, no such device", 1, () => laboratory.call("ADD", maker, "sriov")],
		["sriov DEL, nothing there", 0, () => laboratory.call("DEL", maker, "sriov", { ipam: {} })],
		["sriov STATUS", undefined, () => laboratory.call("STATUS", maker, "sriov", NO_DEVICE)],
		["rdma DEL, nothing there", 0, () => laboratory.call("DEL", maker, "rdma", NO_DEVICE)],
		["rdma STATUS", undefined, () => laboratory.call("STATUS", maker, "rdma", NO_DEVICE)],
	];
}

/** As most configurations are: the device plugin chooses. */
const NO_DEVICE = { deviceID: undefined, ipam: {} };

type Measure<T> = (laboratory: Laboratory, call: Call, status: number | undefined) => { value: T; stdout: string };

/** Measures all verbs in turn, each as on a node that is running: the store is there and nothing is held. */
function sequence<T>(laboratory: Laboratory, maker: Maker, measure: Measure<T>): { verb: string; value: T }[] {
	laboratory.clear(maker);
	for (const verb of ["ADD", "DEL"] as const) start(laboratory, laboratory.call(verb, maker, "host-local"), 0, []);
	let previous = "";
	return steps(laboratory, maker).map(([verb, status, call]) => {
		const { value, stdout } = measure(laboratory, call(previous), status);
		previous = stdout;
		return { verb, value };
	});
}

/** Runs a call below the program that `under` names; returns its stdout. */
function start(laboratory: Laboratory, call: Call, status: number | undefined, under: string[]): string {
	const { program, environment = {}, stdin = "" } = call;
	const [first, ...rest] = [...under, program];
	const options = { cwd: laboratory.programs, env: environment, extendEnv: false, input: stdin, reject: false };
	const { exitCode, stdout, message } = execaSync(first!, rest, options);
	if (status === undefined ? exitCode === undefined : exitCode !== status) {
		throw new Error(`exit status ${status} was to come: ${message ?? [...under, program].join(" ")}\n${stdout}`);
	}
	return stdout;
}

export const trace: Measure<Trace> = (laboratory, call, status) => {
	const file = join(laboratory.state, "strace");
	const stdout = start(laboratory, call, status, ["strace", "-f", "-qq", "-s", "0", "-o", file]);
	return { value: parseTrace(readFileSync(file, "utf8")), stdout };
};

export const countInstructions: Measure<number> = (laboratory, call, status) => {
	const file = join(laboratory.state, "valgrind");
	const options = ["--tool=callgrind", "--callgrind-out-file=/dev/null", `--log-file=${file}`];
	const stdout = start(laboratory, call, status, ["valgrind", ...options]);
	return { value: parseCollected(readFileSync(file, "utf8")), stdout };
};

/**
 * The output of `strace -f`. A call that is interrupted by another thread's has two lines, one of them "<... resumed>".
 */
export function parseTrace(text: string): Trace {
	const systemCalls: Record<string, number> = {};
	let total = 0;
	let threads = 0;
	let processes = 0;
	for (const [, name = "", rest = ""] of text.matchAll(/^\d+ +(\w+)\((.*)$/gm)) {
		systemCalls[name] = (systemCalls[name] ?? 0) + 1;
		total++;
		if (!/^(?:clone3?|v?fork)$/.test(name)) continue;
		if (/\bCLONE_THREAD\b/.test(rest)) threads++;
		else processes++;
	}
	return { systemCalls, total, threads, processes };
}

/** Instructions in what callgrind says at the end. */
export function parseCollected(text: string): number {
	const count = /Collected *: *(\d+)/.exec(text)?.[1];
	if (count === undefined) throw new Error(`valgrind counted nothing:\n${text}`);
	return Number(count);
}
