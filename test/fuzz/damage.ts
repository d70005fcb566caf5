/**
 * Damage that follows from a seed: to bytes, and to trees of JSON.
 */

/** Numbers that follow from a seed (mulberry32). */
export class Chance {
	#state: number;

	constructor(seed: number) {
		this.#state = seed;
	}

	/** An integer from 0 to `limit` - 1. */
	below(limit: number): number {
		this.#state = (this.#state + 0x6d2b79f5) | 0;
		let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
		mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
		return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
	}

	of<T>(list: readonly T[]): T {
		return list[this.below(list.length)]!;
	}

	/** A short text of odd characters. */
	text(): string {
		const characters = [
			"a",
			"1",
			".",
			":",
			"/",
			"=",
			";",
			",",
			" ",
			"\n",
			"\r",
			"\0",
			"ä",
			"\ud83d\ude00",
			"\\",
			'"',
			"%",
			"-",
		];
		let text = "";
		for (let i = this.below(20); i > 0; i--) text += this.of(characters);
		return text;
	}
}

const NASTY: readonly unknown[] = [
	null,
	true,
	0,
	-1,
	1.5,
	1e308,
	2 ** 53,
	"",
	"x",
	"\0",
	"__proto__",
	"10.1.2.3",
	"10.1.2.0/24",
	"10.1.2.0/33",
	"0.0.0.0/0",
	"::/0",
	"::",
	"::ffff:10.0.0.1/120",
	"fe80::1%eth0",
	"010.1.1.1",
	"255.255.255.255/32",
	"2001:db8::/128",
	"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/127",
	"/",
	"../..",
	"/dev/null",
	"/data",
	"9".repeat(400),
	"é".repeat(300),
	[],
	{},
	[[]],
	[null],
	[[[]]],
	[{}],
	{ subnet: "10.0.0.0/8" },
	{ dst: "x" },
];

/** The tree with one of its values replaced, removed, doubled, or under another key. Shares what it did not change. */
export function damageValue(chance: Chance, value: unknown): unknown {
	const isBranch = typeof value === "object" && value !== null && Object.keys(value).length > 0;
	if (!isBranch || chance.below(8) === 0) return chance.below(6) === 0 ? chance.text() : chance.of(NASTY);
	if (Array.isArray(value)) {
		const at = chance.below(value.length);
		const kind = chance.below(6);
		if (kind === 0) return value.toSpliced(at, 1);
		if (kind === 1) return value.toSpliced(at, 0, value[at]);
		return value.with(at, damageValue(chance, value[at]));
	}
	const entries = Object.entries(value);
	const at = chance.below(entries.length);
	const [key, child] = entries[at]!;
	const kind = chance.below(10);
	if (kind === 0) entries.splice(at, 1);
	else if (kind === 1)
		entries[at] = [chance.of([key.toUpperCase(), "__proto__", "constructor", "", chance.text()]), child];
	else if (kind === 2)
		entries.push([chance.of(["gateway", "rangeStart", "exclude", "subnet", "ips", "x"]), chance.of(NASTY)]);
	else entries[at] = [key, damageValue(chance, child)];
	return Object.fromEntries(entries);
}

/** The bytes with some of them changed, removed, doubled or truncated. */
export function damageText(chance: Chance, bytes: Uint8Array): Uint8Array {
	let damaged = Buffer.from(bytes);
	for (let i = chance.below(3); i >= 0; i--) {
		const at = chance.below(damaged.length + 1);
		const end = Math.min(damaged.length, at + 1 + chance.below(12));
		const [before, middle, after] = [damaged.subarray(0, at), damaged.subarray(at, end), damaged.subarray(end)];
		const odd = Buffer.from([
			chance.of([0, 9, 10, 34, 44, 45, 48, 58, 91, 92, 93, 101, 123, 125, 0x80, 0xc3, 0xed, 0xff]),
		]);
		switch (chance.below(5)) {
			case 0:
				damaged = Buffer.concat([before, odd, damaged.subarray(at + 1)]);
				break;
			case 1:
				damaged = Buffer.concat([before, after]);
				break;
			case 2:
				damaged = Buffer.concat([before, middle, middle, after]);
				break;
			case 3:
				damaged = Buffer.concat([before, odd, damaged.subarray(at)]);
				break;
			default:
				damaged = Buffer.from(chance.below(4) === 0 ? before : damaged);
		}
	}
	return damaged;
}
