/** A program that runs on a machine (most often the guest) beside the test. */
import type { Machine, RunningCommand } from "./machine.ts";
import { until } from "./until.ts";

/** `await using daemon = new GuestProgram(guest(), [...])`: killed at the end. What it prints is kept. */
export class GuestProgram implements AsyncDisposable {
	output = "";
	readonly #command: RunningCommand;

	constructor(machine: Machine, argv: readonly string[]) {
		const keep = (bytes: Uint8Array): void => {
			this.output += Buffer.from(bytes).toString();
		};
		this.#command = machine.start(argv, { ok: false, timeoutMs: 0, onStdout: keep, onStderr: keep });
	}

	/** Once it has printed a line that `pattern` matches, or `count` of them. */
	async says(pattern: RegExp, count = 1): Promise<void> {
		const found = (): boolean => this.output.split("\n").filter((line) => pattern.test(line)).length >= count;
		await until(`${count} lines like ${pattern}`, found, () => this.output);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.#command.kill("SIGKILL");
		await this.#command.result;
	}
}
