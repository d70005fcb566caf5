/**
 * Waiting for what no event tells of.
 */
import * as sys from "./sys.ts";

/** How long, and how often to look meanwhile. */
interface Patience {
	readonly deadlineMs: number;
	readonly everyMs: number;
}

/** Asks until `done` or the deadline; the last answer. */
export function poll<T>({ deadlineMs, everyMs }: Patience, ask: () => T, done: (answer: T) => boolean): T {
	const deadline = sys.monotonicMs() + deadlineMs;
	for (;;) {
		const answer = ask();
		if (done(answer) || sys.monotonicMs() >= deadline) return answer;
		sys.sleepMs(everyMs);
	}
}
