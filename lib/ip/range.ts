/**
 * Ranges of addresses in subnets, and sets of them: the pools of an IPAM plugin.
 */
import { formatIp, type Ip } from "./address.ts";
import type { Cidr } from "./cidr.ts";

/** The addresses `start` to `end`, both included, of `subnet`; all of one family. */
export type Range = {
	readonly subnet: Cidr;
	readonly start: Ip;
	readonly end: Ip;
	/**
	 * Never handed out where it lies between start and end. It may lie outside of the subnet. A /31 or /32 may have
	 * none.
	 */
	readonly gateway: Ip | undefined;
	/** Blocks that are never handed out: between start and end, in order, with no address in common. */
	readonly exclude: readonly Block[];
};

/** The addresses `first` to `last`, both included. */
export type Block = { readonly first: Ip; readonly last: Ip };

/** How many addresses that is. */
export const sizeOfBlock = ({ first, last }: Block): bigint => last.value - first.value + 1n;

/** Of blocks with no address in common. */
export const sizeOfBlocks = (blocks: readonly Block[]): bigint =>
	blocks.reduce((sum, block) => sum + sizeOfBlock(block), 0n);

/** Disjoint ranges of one family that are one pool. Never empty. */
export type RangeSet = readonly Range[];

export function rangeContains(range: Range, ip: Ip): boolean {
	return range.start.family === ip.family && range.start.value <= ip.value && ip.value <= range.end.value;
}

/** The block of `range.exclude` that `ip` is in, or undefined. */
export function exclusionOf(range: Range, ip: Ip): Block | undefined {
	return range.exclude.find(({ first, last }) => first.value <= ip.value && ip.value <= last.value);
}

/** The range that `ip` is in, or undefined. */
export function rangeOf(set: RangeSet, ip: Ip): Range | undefined {
	for (const range of set) if (rangeContains(range, ip)) return range;
	return undefined;
}

type Bounds = Pick<Range, "start" | "end">;

/** Whether two ranges have an address in common; their subnets do not matter. */
export function rangesOverlap(a: Bounds, b: Bounds): boolean {
	return a.start.family === b.start.family && a.start.value <= b.end.value && b.start.value <= a.end.value;
}

export function setsOverlap(a: RangeSet, b: RangeSet): boolean {
	return a.some((left) => b.some((right) => rangesOverlap(left, right)));
}

/** How many addresses of the set can be handed out: all but the ranges' own gateways and what is excluded. */
export function capacityOf(set: RangeSet): bigint {
	let capacity = 0n;
	for (const range of set) {
		capacity += sizeOfBlock({ first: range.start, last: range.end }) - sizeOfBlocks(range.exclude);
		const { gateway } = range;
		if (gateway && rangeContains(range, gateway) && !exclusionOf(range, gateway)) capacity--;
	}
	return capacity;
}

/** "10.1.2.2-10.1.2.9" */
export function formatRange(range: Range): string {
	return `${formatIp(range.start)}-${formatIp(range.end)}`;
}

/** The ranges, joined by commas. */
export function formatRangeSet(set: RangeSet): string {
	return set.map(formatRange).join(",");
}
