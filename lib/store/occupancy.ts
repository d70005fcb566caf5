/**
 * Which addresses are allocated, as bits in pages that lie in files: the next free one is found without a walk over
 * those that are not.
 *
 * Page `key` of level 0 has a bit for each address from key * 4096; a page of level n + 1 has a bit for each page of
 * level n, set when that is full. A page that is not there is empty. So a million allocated addresses in a row are
 * passed in three steps.
 */
import type { Family, Ip } from "../ip/address.ts";

const PAGE_BITS = 12n;
const BITS = 1 << 12;
const BYTES = BITS / 8;

/** Where pages are kept. Both may throw SystemError. */
interface PageFiles {
	/** Undefined where there is none. */
	read(name: string): Uint8Array | undefined;
	write(name: string, page: Uint8Array): void;
}

export class Occupancy {
	readonly #files: PageFiles;
	readonly #pages = new Map<string, Uint8Array | undefined>();
	readonly #changed = new Set<string>();

	constructor(files: PageFiles) {
		this.#files = files;
	}

	/** The first address from `from` to `to`, both included and of one family, that is not allocated. */
	nextFree(from: Ip, to: Ip): Ip | undefined {
		const value = this.#nextClear(from.family, 0, from.value, to.value);
		return value === undefined ? undefined : { family: from.family, value };
	}

	take(ip: Ip): void {
		this.#mark(ip.family, 0, ip.value, true);
	}

	free(ip: Ip): void {
		this.#mark(ip.family, 0, ip.value, false);
	}

	/** Writes the pages that have changed. */
	flush(): void {
		for (const name of this.#changed) this.#files.write(name, this.#pages.get(name)!);
		this.#changed.clear();
	}

	#nextClear(family: Family, level: number, from: bigint, to: bigint): bigint | undefined {
		if (from > to) return undefined;
		const key = from >> PAGE_BITS;
		const page = this.#page(nameOf(family, level, key));
		if (page === undefined) return from;
		const bit = firstClearBit(page, Number(from & (BigInt(BITS) - 1n)));
		let found = (key << PAGE_BITS) + BigInt(bit);
		if (bit === BITS) {
			const next = this.#nextClear(family, level + 1, key + 1n, to >> PAGE_BITS);
			if (next === undefined) return undefined;
			// That page has a clear bit, and it lies after `from`.
			const start = next << PAGE_BITS;
			const nextPage = this.#page(nameOf(family, level, next));
			found = nextPage === undefined ? start : start + BigInt(firstClearBit(nextPage, 0));
		}
		return found <= to ? found : undefined;
	}

	/**
	 * Sets or clears the bit of an address, or of a page of the level below; and that of its own page, where it is full
	 * by that or is no more.
	 */
	#mark(family: Family, level: number, value: bigint, isTaken: boolean): void {
		const name = nameOf(family, level, value >> PAGE_BITS);
		const page = this.#page(name) ?? new Uint8Array(BYTES);
		const bit = Number(value & (BigInt(BITS) - 1n));
		const byte = bit >> 3;
		const isFull = (): boolean => page[byte] === 0xff && firstClearBit(page, 0) === BITS;
		const wasFull = isFull();
		if (isTaken) page[byte]! |= 1 << (bit & 7);
		else page[byte]! &= ~(1 << (bit & 7));
		this.#pages.set(name, page);
		this.#changed.add(name);
		if (isFull() !== wasFull) this.#mark(family, level + 1, value >> PAGE_BITS, isTaken);
	}

	#page(name: string): Uint8Array | undefined {
		if (this.#pages.has(name)) return this.#pages.get(name);
		const page = this.#files.read(name);
		// Of another length it is not ours: as good as none. Nobody gets an address before its own file was looked at.
		const known = page?.length === BYTES ? page : undefined;
		this.#pages.set(name, known);
		return known;
	}
}

function nameOf(family: Family, level: number, key: bigint): string {
	return `held.${family}.${level}.${key.toString(16)}`;
}

/** The first bit from `start` on that is 0; `BITS` where there is none. */
function firstClearBit(page: Uint8Array, start: number): number {
	let byte = start >> 3;
	// Bits before `start` count as set.
	let bits = page[byte]! | ((1 << (start & 7)) - 1);
	while (bits === 0xff) {
		byte++;
		if (byte === BYTES) return BITS;
		bits = page[byte]!;
	}
	let bit = byte << 3;
	while (bits & 1) {
		bits >>= 1;
		bit++;
	}
	return bit;
}
