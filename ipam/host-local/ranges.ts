/**
 * Range sets of the configuration, checked and completed in the order and with the sentences of the Go plugin.
 */
import { addressBits, formatIp, type Ip, nextIp, previousIp, sameIp } from "../../lib/ip/address.ts";
import { type Cidr, contains, formatCidr, lastAddressOf, networkOf, parseCidr } from "../../lib/ip/cidr.ts";
import { type Block, formatRange, type Range, type RangeSet, rangesOverlap, setsOverlap } from "../../lib/ip/range.ts";
import { invalidConfig, optionalAddress, requireCidr } from "../fields.ts";
import type { RangeConfig } from "./schema.ts";

/** A range as configured, its texts read but nothing checked or filled in. */
export type ReadRange = Readonly<ReturnType<typeof readRange>>;

/** Reads the texts of the range at `path` of the configuration. Throws code 7. */
export function readRange(range: RangeConfig, path: string) {
	const subnet = requireCidr(range.subnet, `${path}.subnet`);
	return {
		subnet,
		/** The subnet is written as an IPv4-mapped IPv6 network ("::ffff:10.0.0.0/120"). */
		mapped: subnet.ip.family === 4 && range.subnet.includes(":"),
		start: optionalAddress(range.rangeStart, `${path}.rangeStart`),
		end: optionalAddress(range.rangeEnd, `${path}.rangeEnd`),
		gateway: optionalAddress(range.gateway, `${path}.gateway`),
		exclude: (range.exclude ?? []).map((text, i) => readBlock(text, subnet, `${path}.exclude[${i}]`)),
	};
}

/** An address or a CIDR of `subnet`. Throws code 7 for another one: it would exclude nothing, and be a slip. */
function readBlock(text: string, subnet: Cidr, path: string): Block {
	const cidr = parseCidr(text.includes("/") ? text : `${text}/${text.includes(":") ? 128 : 32}`);
	if (cidr === undefined) throw invalidConfig(`invalid address or CIDR to exclude: ${text}`, `field ${path}`);
	const block = { first: networkOf(cidr).ip, last: lastAddressOf(cidr) };
	if (!contains(subnet, block.first) && !contains(cidr, subnet.ip)) {
		throw invalidConfig(`exclude ${text} is not in subnet ${formatCidr(subnet)}`, `field ${path}`);
	}
	return block;
}

/** Checks and completes range set `index`. Throws code 7: `invalid range set <index>: <reason>`. */
export function completeSet(ranges: readonly ReadRange[], index: number): RangeSet {
	const invalid = (reason: string) => invalidConfig(`invalid range set ${index}: ${reason}`);
	if (ranges.length === 0) throw invalid("empty range set");
	const set: Range[] = [];
	for (const read of ranges) {
		const range = completeRange(read);
		if (typeof range === "string") throw invalid(range);
		set.push(range);
		if (range.start.family !== set[0]!.start.family) throw invalid("mixed address families");
	}
	for (const [position, range] of set.entries()) {
		for (const later of set.slice(position + 1)) {
			if (rangesOverlap(range, later)) {
				throw invalid(`subnets ${formatRange(range)} and ${formatRange(later)} overlap`);
			}
		}
	}
	return set;
}

/** The range with what its subnet implies, or the reason why there can be none. */
function completeRange({ subnet, mapped, start, end, gateway, exclude }: ReadRange): Range | string {
	const { ip, prefix } = subnet;
	if (mapped) return "IPNet IP and Mask version mismatch";
	const network = networkOf(subnet);
	if (!sameIp(network.ip, ip)) {
		return `Network has host bits set. For a subnet mask of length ${prefix} the network address is ${formatIp(network.ip)}`;
	}
	// RFC 3021 and 6164: of two addresses, both are hosts. Go takes no such network.
	const isTiny = prefix > addressBits(ip.family) - 2;
	const first = isTiny ? ip : nextIp(ip)!;
	// Go looks at the other bound too while it checks one: a start after the end is "not in network".
	const isAfterEnd = end !== undefined && start?.family === end.family && start.value > end.value;
	if (start !== undefined && (!contains(subnet, start) || isAfterEnd)) {
		return `RangeStart ${formatIp(start)} not in network ${formatCidr(subnet)}`;
	}
	const from = start ?? first;
	if (end !== undefined && (!contains(subnet, end) || end.value < from.value)) {
		return `RangeEnd ${formatIp(end)} not in network ${formatCidr(subnet)}`;
	}
	const last = lastAddressOf(subnet);
	const to = end ?? (ip.family === 4 && !isTiny ? previousIp(last)! : last);
	if (from.value > to.value) {
		return `RangeStart ${formatIp(from)} is the broadcast address of ${formatCidr(subnet)}: the last one to hand out is ${formatIp(to)}`;
	}
	return {
		subnet,
		start: from,
		end: to,
		gateway: gateway ?? (isTiny ? undefined : first),
		exclude: joinBlocks(exclude, from, to),
	};
}

/** The blocks within the bounds, in order, those that touch or overlap made one. */
function joinBlocks(blocks: readonly Block[], from: Ip, to: Ip): Block[] {
	const joined: Block[] = [];
	for (const { first, last } of blocks.toSorted((a, b) => (a.first.value < b.first.value ? -1 : 1))) {
		if (last.value < from.value || first.value > to.value) continue;
		const block = { first: first.value < from.value ? from : first, last: last.value > to.value ? to : last };
		const before = joined.at(-1);
		if (before === undefined || block.first.value > before.last.value + 1n) joined.push(block);
		else if (block.last.value > before.last.value)
			joined[joined.length - 1] = { first: before.first, last: block.last };
	}
	return joined;
}

/** Throws code 7: `range set <i> overlaps with <j>`. */
export function requireDisjoint(sets: readonly RangeSet[]): void {
	for (const [i, set] of sets.entries()) {
		for (let j = i + 1; j < sets.length; j++) {
			if (setsOverlap(set, sets[j]!)) throw invalidConfig(`range set ${i} overlaps with ${j}`);
		}
	}
}
