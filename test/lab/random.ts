/** Random numbers that a seed decides. */

/**
 * The same in every run, so that a change is judged by itself and not by the values that its run happened to draw;
 * BERTH_SEED gives others.
 */
export const SEED = Number(process.env.BERTH_SEED ?? 20_261_126);

/** Numbers below `limit` that follow from the seed (mulberry32). */
export function randomNumbers(seed: number): (limit: number) => number {
	let state = seed;
	return (limit) => {
		state = (state + 0x6d2b79f5) | 0;
		let mixed = Math.imul(state ^ (state >>> 15), state | 1);
		mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
		return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
	};
}
