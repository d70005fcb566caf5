/**
 * What all benches share as commands.
 */
import { join, resolve } from "node:path";
import { execaSync } from "execa";

export const ROOT = join(import.meta.dirname, "../..");

/** What is going on, for people: stdout is for the answer. */
export const say = (line: string) => process.stderr.write(`bench: ${line}\n`);

/** The value of an option that is a number from 1. */
export function positive(option: string, text: string): number {
	const number = Number(text);
	if (!Number.isInteger(number) || number < 1) throw new Error(`--${option} ${text}: it must be a number from 1`);
	return number;
}

/** What `--executable` names, or dist/bin/berth of today's sources. */
export function executableOf(path: string | undefined): string {
	if (path !== undefined) return resolve(path);
	say("building");
	execaSync(process.execPath, ["scripts/build.ts", "--fast"], { cwd: ROOT, stdio: ["ignore", 2, 2] });
	return join(ROOT, "dist/bin/berth");
}

/** Prints what `bench` returns; what it throws ends the process with status 1. */
export async function print(bench: () => Promise<string>): Promise<void> {
	try {
		console.log(await bench());
	} catch (error) {
		console.error(`bench: ${error instanceof Error ? error.message : error}`);
		process.exitCode = 1;
	}
}
