/**
 * A machine to run commands on: the test guest (guest.ts) or this host. What drives one drives the other.
 */
import { spawn } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { constants } from "node:os";

export interface RunOptions {
	readonly stdin?: string | Uint8Array;
	/** Added to a bare environment of PATH, HOME and LANG: nothing of this process's own leaks in. */
	readonly env?: Readonly<Record<string, string>>;
	/** Default: this process's. The guest has the host's files under the same paths. */
	readonly cwd?: string;
	/** Default 300 s; 0: none. Over it the command's process group is killed and `run` throws. */
	readonly timeoutMs?: number;
	/** False: any exit status and signal is an answer. Default true: all but status 0 throws, with what was printed. */
	readonly ok?: boolean;
	/** Told of output as it comes; the result has it all the same. */
	readonly onStdout?: (bytes: Uint8Array) => void;
	readonly onStderr?: (bytes: Uint8Array) => void;
}

export interface RunResult {
	/** Null when a signal ended it. */
	readonly status: number | null;
	readonly signal: NodeJS.Signals | null;
	readonly stdout: string;
	readonly stderr: string;
	readonly stdoutBytes: Uint8Array;
}

export interface RunningCommand {
	readonly result: Promise<RunResult>;
	/** Signals its process group. */
	kill(signal?: NodeJS.Signals): void;
}

export interface Machine {
	/** For messages: "guest", "this host". */
	readonly name: string;
	start(argv: readonly string[], options?: RunOptions): RunningCommand;
	run(argv: readonly string[], options?: RunOptions): Promise<RunResult>;
	/** Standard output parsed as JSON; nothing printed is `[]`, as `ip -j` means it. */
	// biome-ignore lint/suspicious/noExplicitAny: the output of foreign programs, which the caller knows.
	json(argv: readonly string[], options?: RunOptions): Promise<any>;
	readFile(path: string): Promise<string>;
	writeFile(path: string, data: string | Uint8Array): Promise<void>;
}

export const defaultTimeoutMs = 300_000;

export function commandEnvironment(options: RunOptions): Record<string, string> {
	return {
		PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		HOME: "/root",
		LANG: "C.UTF-8",
		...options.env,
	};
}

export function signalNumber(signal: NodeJS.Signals): number {
	return constants.signals[signal];
}

export function signalName(number: number): NodeJS.Signals {
	const entry = Object.entries(constants.signals).find(([, value]) => value === number);
	return (entry?.[0] ?? `SIG${number}`) as NodeJS.Signals;
}

/** Collects what a command prints, and makes the result of it. */
export class Output {
	readonly #options: RunOptions;
	readonly #stdout: Uint8Array[] = [];
	readonly #stderr: Uint8Array[] = [];

	constructor(options: RunOptions) {
		this.#options = options;
	}

	stdout(bytes: Uint8Array): void {
		this.#stdout.push(bytes);
		this.#options.onStdout?.(bytes);
	}

	stderr(bytes: Uint8Array): void {
		this.#stderr.push(bytes);
		this.#options.onStderr?.(bytes);
	}

	/** Throws if the command had to succeed and did not. */
	end(argv: readonly string[], status: number | null, signal: NodeJS.Signals | null): RunResult {
		const stdoutBytes = Buffer.concat(this.#stdout);
		const stdout = stdoutBytes.toString();
		const stderr = Buffer.concat(this.#stderr).toString();
		if (status !== 0 && this.#options.ok !== false) {
			const how = signal === null ? `exit status ${status}` : `killed by ${signal}`;
			throw new Error(
				`${describeCommand(argv)}: ${how}${quoteOutput("stdout", stdout)}${quoteOutput("stderr", stderr)}`,
			);
		}
		return { status, signal, stdout, stderr, stdoutBytes };
	}
}

export function describeCommand(argv: readonly string[]): string {
	const text = argv.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : JSON.stringify(word))).join(" ");
	return text.length > 300 ? `${text.slice(0, 300)}...` : text;
}

function quoteOutput(what: string, text: string): string {
	const trimmed = text.trim();
	return trimmed === "" ? "" : `\n${what}: ${trimmed.length > 4000 ? `${trimmed.slice(0, 4000)}...` : trimmed}`;
}

export function parseJsonOutput(argv: readonly string[], text: string): unknown {
	if (text.trim() === "") {
		return [];
	}
	try {
		return JSON.parse(text);
	} catch (error) {
		throw new Error(`${describeCommand(argv)}: not JSON (${(error as Error).message}): ${text.slice(0, 1000)}`);
	}
}

/** This host. Needs root for most of what it is asked for. */
export class LocalMachine implements Machine {
	readonly name = "this host";

	start(argv: readonly string[], options: RunOptions = {}): RunningCommand {
		const output = new Output(options);
		const child = spawn(argv[0]!, argv.slice(1), {
			cwd: options.cwd ?? process.cwd(),
			env: commandEnvironment(options),
			// A process group of its own, to be killed as one.
			detached: true,
			stdio: ["pipe", "pipe", "pipe"],
		});
		const kill = (signal: NodeJS.Signals = "SIGTERM") => {
			if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
				process.kill(-child.pid, signal);
			}
		};
		const limit = options.timeoutMs ?? defaultTimeoutMs;
		const result = new Promise<RunResult>((resolve, reject) => {
			let timedOut = false;
			const expire = () => {
				timedOut = true;
				kill("SIGKILL");
			};
			const timer = limit === 0 ? undefined : setTimeout(expire, limit);
			child.stdout.on("data", (bytes: Buffer) => output.stdout(bytes));
			child.stderr.on("data", (bytes: Buffer) => output.stderr(bytes));
			// A command need not read its input.
			child.stdin.on("error", () => {});
			child.stdin.end(options.stdin ?? "");
			child.on("error", (error) => {
				clearTimeout(timer);
				reject(new Error(`${describeCommand(argv)}: could not start: ${error.message}`));
			});
			child.on("close", (status, signal) => {
				clearTimeout(timer);
				if (timedOut) {
					reject(new Error(`${describeCommand(argv)}: killed after ${limit / 1000} s`));
					return;
				}
				try {
					resolve(output.end(argv, status, signal));
				} catch (error) {
					reject(error);
				}
			});
		});
		return { result, kill };
	}

	run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
		return this.start(argv, options).result;
	}

	// biome-ignore lint/suspicious/noExplicitAny: as in Machine.
	async json(argv: readonly string[], options: RunOptions = {}): Promise<any> {
		return parseJsonOutput(argv, (await this.run(argv, options)).stdout);
	}

	readFile(path: string): Promise<string> {
		return readFile(path, "utf8");
	}

	writeFile(path: string, data: string | Uint8Array): Promise<void> {
		return writeFile(path, data);
	}
}
