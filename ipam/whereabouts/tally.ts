/**
 * What a run of `whereabouts reconcile` has done: printed as it is done, and counted.
 */
import { sentence } from "../../lib/cni/failures.ts";
import { print } from "../../lib/plugin/command.ts";
import { writeStderr } from "../../lib/sys/stderr.ts";

export class Tally {
	/** Entries, reservations and addresses of pods that are gone. */
	freed = 0;
	/** What was missing, or not up to date. */
	healed = 0;
	/** What could not be done, or nobody but a person can mend. */
	failed = 0;
	readonly #isDryRun: boolean;

	constructor(isDryRun: boolean) {
		this.#isDryRun = isDryRun;
	}

	/** Makes a change, unless this is a dry run; `work` says whether there was something to do. */
	change(line: string, kind: "freed" | "healed", work: () => boolean): void {
		try {
			// What somebody has taken or released meanwhile needs nothing.
			if (!this.#isDryRun && !work()) return;
			this[kind]++;
			print(`${line}\n`);
		} catch (error) {
			this.fail(`${line}: ${sentence(error)}`);
		}
	}

	fail(line: string): void {
		this.failed++;
		this.warn(line);
	}

	warn(line: string): void {
		writeStderr(`whereabouts reconcile: ${line}\n`);
	}

	printCounts(): void {
		const would = this.#isDryRun ? "would be " : "";
		print(`${this.freed} ${would}freed, ${this.healed} ${would}healed, ${this.failed} failed\n`);
	}
}
