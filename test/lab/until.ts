import { setTimeout as delay } from "node:timers/promises";

/** Less than what a test of test/protocol may take, so that it is this error that is seen. */
const DEADLINE_MS = 40_000;

/**
 * Asks again and again until `condition` gives something else than undefined or false, which it resolves to. Throws at
 * the deadline, with what `explain` says then.
 */
export async function until<T>(
	what: string,
	condition: () => T | undefined | false | Promise<T | undefined | false>,
	explain: () => string = () => "",
	deadlineMs = DEADLINE_MS,
): Promise<T> {
	const deadline = Date.now() + deadlineMs;
	for (;;) {
		const answer = await condition();
		if (answer !== undefined && answer !== false) return answer;
		if (Date.now() > deadline)
			throw new Error(`waited ${deadlineMs / 1000} s in vain for ${what}\n${explain()}`.trimEnd());
		await delay(20);
	}
}
