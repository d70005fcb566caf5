/** What the demo says while it works, and how it ends early. */

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
			throw new Error("interrupted");
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

/**
 * At the end, in reverse order, `run` puts something back; `what` says what. The others are not kept from it by a
 * failure.
 */
export function atEnd(cleanup: AsyncDisposableStack, what: string, run: () => Promise<unknown>): void {
	cleanup.defer(async () => {
		try {
			await run();
		} catch (error) {
			throw new Error(`could not ${what}: ${(error as Error).message}`);
		}
	});
}

/** Puts everything back. Returns a sentence for each failure. */
export async function putBack(cleanup: AsyncDisposableStack): Promise<string[]> {
	try {
		await cleanup.disposeAsync();
		return [];
	} catch (error) {
		return sentencesOf(error);
	}
}

const sentencesOf = (error: unknown): string[] =>
	error instanceof SuppressedError
		? [...sentencesOf(error.suppressed), ...sentencesOf(error.error)]
		: [(error as Error).message];
