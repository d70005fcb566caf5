/**
 * Waiting for what no event tells of.
 */
import * as sys from "./sys.ts";

/** How long, and how often to look meanwhile. */
interface Patience {
	readonly deadlineMs: number;
	readonly everyMs: number;
}

/** Asks until `done` (there is an answer, or it is true) or the deadline; the last answer. */
export function poll<T>({ deadlineMs, everyMs }: Patience, ask: () => T, done: (answer: T) => boolean = Boolean): T {
	let deadline: number | undefined;
	for (;;) {
		const answer = ask();
		// Most often the first answer will do, and a process' first look at the clock maps its pages.
		if (done(answer)) return answer;
		const now = sys.monotonicMs();
		deadline ??= now + deadlineMs;
		if (now >= deadline) return answer;
		sys.sleepMs(everyMs);
	}
}
