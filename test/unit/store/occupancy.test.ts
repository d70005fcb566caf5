/**
 * The bits of the index against a plain set.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Ip, parseIp } from "../../../lib/ip/address.ts";
import { Occupancy } from "../../../lib/store/occupancy.ts";

function onFiles() {
	const files = new Map<string, Uint8Array>();
	let reads = 0;
	const open = () =>
		new Occupancy({
			read(name) {
				reads++;
				return files.get(name);
			},
			write: (name, page) => files.set(name, page.slice()),
		});
	return { open, files, reads: () => reads };
}

const v6 = (value: bigint): Ip => ({ family: 6, value });

describe("the next free address", () => {
	it("is the one of a plain set, whatever was held and freed, also by earlier processes", () => {
		// Dense at the boundaries of pages, so that whole pages of level 0 fill up: a step holds or frees a run.
		const step = fc.record({
			hold: fc.boolean(),
			start: fc.integer({ min: 0, max: 14_000 }),
			length: fc.constantFrom(1, 7, 4096, 8200),
		});
		const property = fc.property(
			fc.array(step, { maxLength: 8 }),
			fc.integer({ min: 0, max: 22_000 }),
			(steps, from) => {
				const held = new Set<number>();
				const { open } = onFiles();
				for (const { hold, start, length } of steps) {
					const occupancy = open();
					for (let value = start; value < start + length; value++) {
						if (hold) {
							held.add(value);
							occupancy.take(v6(BigInt(value)));
						} else {
							held.delete(value);
							occupancy.free(v6(BigInt(value)));
						}
					}
					occupancy.flush();
				}
				let expected = from;
				while (held.has(expected)) expected++;
				const occupancy = open();
				expect(occupancy.nextFree(v6(BigInt(from)), v6(30_000n))).toEqual(v6(BigInt(expected)));
				expect(occupancy.nextFree(v6(BigInt(from)), v6(BigInt(expected)))).toEqual(v6(BigInt(expected)));
				if (expected > from) {
					expect(occupancy.nextFree(v6(BigInt(from)), v6(BigInt(expected - 1)))).toBeUndefined();
				}
			},
		);
		fc.assert(property, { numRuns: 60 });
	});

	it("is found in a few pages, of a /64 whose first million are held", () => {
		const { open, reads } = onFiles();
		const network = parseIp("2001:db8::")!.value;
		const writer = open();
		for (let i = 0n; i < 1_000_000n; i++) writer.take(v6(network + i));
		writer.flush();
		const before = reads();
		const free = open().nextFree(v6(network + 1n), v6(network + (1n << 64n) - 1n));
		expect(free).toEqual(v6(network + 1_000_000n));
		expect(reads() - before).toBeLessThanOrEqual(4);
	});

	it("is the first of a /64 of which nothing is held, up to the last", () => {
		const { open } = onFiles();
		const last = parseIp("2001:db8::ffff:ffff:ffff:ffff")!;
		expect(open().nextFree(last, last)).toEqual(last);
	});

	it("does not mix up families, nor take a damaged page for one", () => {
		const { open, files } = onFiles();
		const occupancy = open();
		occupancy.take({ family: 4, value: 5n });
		occupancy.flush();
		expect(open().nextFree(v6(5n), v6(9n))).toEqual(v6(5n));
		expect(open().nextFree({ family: 4, value: 5n }, { family: 4, value: 9n })).toEqual({ family: 4, value: 6n });
		for (const name of files.keys()) files.set(name, new Uint8Array(3).fill(255));
		expect(open().nextFree({ family: 4, value: 5n }, { family: 4, value: 9n })).toEqual({ family: 4, value: 5n });
	});
});
