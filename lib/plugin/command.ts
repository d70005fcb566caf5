/**
 * Commands of people: `berth node`, `whereabouts ls`. They print a table, or with `--json` what scripts read, and
 * exit with 0, 1 (something was found, or failed) or 2 (a wrong call).
 */
import { sentence } from "../cni/failures.ts";
import { writeStderr } from "../sys/stderr.ts";
import * as sys from "../sys/sys.ts";
import { FlagError } from "./flags.ts";

export interface Command {
	/** One line, for the list of commands. */
	readonly about: string;
	/** What `--help` prints below the line `usage: NAME ...`: what it does, its flags, its exit status. */
	readonly help: string;
	/** Operands and flags of the call, as in "[--json] [FILE...]". */
	readonly synopsis: string;
	/** By the word that chooses one. */
	readonly subcommands?: Readonly<Record<string, Command>>;
	/** Prints, and returns the exit status. Throws FlagError for a wrong call. */
	readonly run: (args: readonly string[]) => number;
}

/** Exit status of a wrong call. */
export const WRONG_CALL = 2;

/** Runs `command`, which people call `name` ("berth node"), and ends the process. */
export function runCommand(name: string, command: Command, args: readonly string[]): never {
	const sub = Object.hasOwn(command.subcommands ?? {}, args[0] ?? "") ? command.subcommands?.[args[0]!] : undefined;
	if (sub !== undefined) return runCommand(`${name} ${args[0]}`, sub, args.slice(1));
	try {
		if (args.some((arg) => arg === "-h" || arg === "-help" || arg === "--help")) {
			print(`usage: ${[name, command.synopsis].join(" ").trimEnd()}\n\n${command.help}`);
			return sys.exit(0);
		}
		return sys.exit(command.run(args));
	} catch (error) {
		const isWrongCall = error instanceof FlagError;
		const hint = isWrongCall ? `; "${name} --help" tells what there is` : "";
		writeStderr(`${name}: ${sentence(error)}${hint}\n`);
		return sys.exit(isWrongCall ? WRONG_CALL : 1);
	}
}

/**
 * Runs what the executable's arguments name of a plugin's commands: `whereabouts ls`, or the same after `berth`.
 * Returns where they name none.
 */
export function runCommandOf(plugin: string, commands: Readonly<Record<string, Command>>): void {
	const args = sys.args();
	const first = args[1] === plugin ? 2 : 1;
	const name = args[first];
	if (name !== undefined && Object.hasOwn(commands, name)) {
		runCommand(`${plugin} ${name}`, commands[name]!, args.slice(first + 1));
	}
	if (name === "--help" || name === "-h") {
		print(`usage: ${plugin} COMMAND; the plugin itself is called by a container runtime

${listCommands(commands)}`);
		sys.exit(0);
	}
}

/** "COMMAND  what it does" for each, for a usage. */
export function listCommands(commands: Readonly<Record<string, Command>>): string {
	const names = Object.keys(commands);
	const width = Math.max(...names.map((name) => name.length));
	return names.map((name) => `  ${name.padEnd(width)}  ${commands[name]!.about}\n`).join("");
}

/** Prints an answer as JSON, or what says it to people. */
export function printAnswer(isJson: boolean, answer: unknown, forPeople: () => string): void {
	print(isJson ? `${JSON.stringify(answer, null, 4)}\n` : forPeople());
}

/**
 * Writes to stdout. Where nobody reads any more (`berth node | head`) the process ends without a word; any other
 * failure is an error.
 */
export function print(text: string): void {
	try {
		sys.write(1, text);
	} catch (error) {
		if (sys.isSystemError(error, "EPIPE")) sys.exit(0);
		throw new Error(`the answer cannot be written to stdout: ${sentence(error)}`);
	}
}
