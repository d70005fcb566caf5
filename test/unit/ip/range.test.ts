import { describe, expect, it } from "vitest";
import { parseIp } from "../../../lib/ip/address.ts";
import { parseCidr } from "../../../lib/ip/cidr.ts";
import { type Block, capacityOf, formatRangeSet, type Range, rangeOf, rangesOverlap } from "../../../lib/ip/range.ts";

function range(subnet: string, start: string, end: string, gateway: string, ...exclude: Block[]): Range {
	const [from, to] = [parseIp(start)!, parseIp(end)!];
	return { subnet: parseCidr(subnet)!, start: from, end: to, gateway: parseIp(gateway)!, exclude };
}
const low = range("10.0.0.0/24", "10.0.0.1", "10.0.0.127", "10.0.0.1");

describe("overlap is of addresses, not of subnets, and has no direction", () => {
	it.each([
		["disjoint subnets", range("10.0.1.0/24", "10.0.1.1", "10.0.1.9", "10.0.1.1"), false],
		["another family with the same bits", range("::a00:0/120", "::a00:1", "::a00:7f", "::a00:1"), false],
		["itself", low, true],
		["one inside", range("10.0.0.0/24", "10.0.0.5", "10.0.0.6", "10.0.0.1"), true],
		["one around", range("10.0.0.0/16", "10.0.0.0", "10.0.255.254", "10.0.0.1"), true],
		["the other half of the subnet", range("10.0.0.0/24", "10.0.0.128", "10.0.0.254", "10.0.0.1"), false],
		["one shared address", range("10.0.0.0/24", "10.0.0.127", "10.0.0.254", "10.0.0.1"), true],
	])("%s", (_, other, overlaps) => {
		expect(rangesOverlap(low, other)).toBe(overlaps);
		expect(rangesOverlap(other, low)).toBe(overlaps);
	});
});

describe("a set", () => {
	const set = [low, range("10.0.1.0/24", "10.0.1.10", "10.0.1.12", "10.0.1.1")];
	it("finds the range of an address by its bounds", () => {
		expect(rangeOf(set, parseIp("10.0.1.10")!)).toBe(set[1]);
		expect(rangeOf(set, parseIp("10.0.1.12")!)).toBe(set[1]);
		expect(rangeOf(set, parseIp("10.0.1.13")!)).toBeUndefined();
		expect(rangeOf(set, parseIp("::a00:1")!)).toBeUndefined();
	});
	it("holds all its addresses but gateways within the bounds", () => {
		expect(capacityOf(set)).toBe(126n + 3n);
	});
	it("holds none of what it excludes, whether the gateway is among that or not", () => {
		const block = (first: string, last: string): Block => ({ first: parseIp(first)!, last: parseIp(last)! });
		const within = range("10.0.0.0/24", "10.0.0.1", "10.0.0.10", "10.0.0.1", block("10.0.0.1", "10.0.0.3"));
		const beside = range("10.0.0.0/24", "10.0.0.1", "10.0.0.10", "10.0.0.1", block("10.0.0.9", "10.0.0.9"));
		expect(capacityOf([within])).toBe(7n);
		expect(capacityOf([beside])).toBe(8n);
	});
	it("prints as in Go's sentences", () => {
		expect(formatRangeSet(set)).toBe("10.0.0.1-10.0.0.127,10.0.1.10-10.0.1.12");
	});
});
