/** What the demo says while it works, and how it ends early. */

/** The person pressed Ctrl-C. */
export class Interrupted extends Error {
	constructor() {
		super("interrupted");
	}
}

export class Progress {
	readonly #start = performance.now();
	readonly #write: (line: string) => void;
	readonly #interruption = new AbortController();

	/** `write` gets whole lines. */
	constructor(write: (line: string) => void) {
		this.#write = write;
	}

	/** Says what is done next. A moment at which Ctrl-C takes effect. */
	step(what: string): void {
		if (this.interrupted) {
			throw new Interrupted();
		}
		this.note(what);
	}

	/** The same, where nothing may stop us: while everything is put back. */
	note(what: string): void {
		const seconds = ((performance.now() - this.#start) / 1000).toFixed(1);
		this.#write(`[${seconds.padStart(5)} s] ${what}`);
	}

	text(lines: string): void {
		this.#write(lines);
	}

	interrupt(): void {
		this.#interruption.abort();
	}

	get interrupted(): boolean {
		return this.signal.aborted;
	}

	get signal(): AbortSignal {
		return this.#interruption.signal;
	}
}

/** What has to be put back, in reverse order. */
export class Cleanup {
	readonly #steps: { readonly what: string; readonly run: () => Promise<unknown> }[] = [];

	push(what: string, run: () => Promise<unknown>): void {
		this.#steps.push({ what, run });
	}

	/** Goes on after a failure. Returns a sentence for each. */
	async run(): Promise<string[]> {
		const failures: string[] = [];
		for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
			try {
				await step.run();
			} catch (error) {
				failures.push(`could not ${step.what}: ${(error as Error).message}`);
			}
		}
		return failures;
	}
}
