import { describe, expect, it, test } from "vitest";
import { formatMac, isMulticastMac, isZeroMac, parseMac } from "../../../lib/ip/mac.ts";
import { goMacs } from "./go-vectors.ts";

describe("MACs as Go reads and prints them", () => {
	test.each(goMacs)("%j", (text, canonical) => {
		const mac = parseMac(text);
		expect(mac && formatMac(mac)).toBe(canonical);
	});
	it("refuses other lengths and nothing", () => {
		expect(parseMac("")).toBeUndefined();
		expect(parseMac("00:11:22:33:44")).toBeUndefined();
		expect(parseMac("0011223344")).toBeUndefined();
	});
});

it("knows the addresses that no interface can have", () => {
	expect(isZeroMac(parseMac("00:00:00:00:00:00")!)).toBe(true);
	expect(isZeroMac(parseMac("00:00:00:00:00:01")!)).toBe(false);
	expect(isMulticastMac(parseMac("ff:ff:ff:ff:ff:ff")!)).toBe(true);
	expect(isMulticastMac(parseMac("01:00:5e:00:00:01")!)).toBe(true);
	expect(isMulticastMac(parseMac("02:00:5e:00:00:01")!)).toBe(false);
});
