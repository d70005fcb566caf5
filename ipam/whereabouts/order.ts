/**
 * In which order the addresses of a range are tried.
 */
import type { Ip } from "../../lib/ip/address.ts";
import { fnv1a } from "../../lib/ip/fnv.ts";
import { addressAt, type PoolRange } from "./ranges.ts";

/**
 * Every address once, in an order that follows from `seed`: from a start of its own in steps of its own, so that two
 * seeds seldom want the same, and a seed always wants the same first.
 */
export function* hashedOrder(range: PoolRange, seed: string): Generator<Ip> {
	const { size } = range;
	if (size === 0n) return;
	const hash = fnv1a(seed, 128);
	const step = coprimeFrom(1n + ((hash >> 64n) % size), size);
	let index = (hash & 0xffff_ffff_ffff_ffffn) % size;
	// A whole cycle: step and size have no common divisor.
	for (let count = 0n; count < size; count++) {
		yield addressAt(range, index);
		index = (index + step) % size;
	}
}

export function* lowestOrder(range: PoolRange): Generator<Ip> {
	for (let index = 0n; index < range.size; index++) yield addressAt(range, index);
}

/** The first number from `start` on that has no divisor with `size` in common; 1 is one for every size. */
function coprimeFrom(start: bigint, size: bigint): bigint {
	for (let step = start; step < size; step++) if (greatestCommonDivisor(step, size) === 1n) return step;
	return 1n;
}

function greatestCommonDivisor(a: bigint, b: bigint): bigint {
	let [x, y] = [a, b];
	while (y !== 0n) [x, y] = [y, x % y];
	return x;
}
