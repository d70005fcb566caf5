import { describe, expect, it } from "vitest";
import { hashedOrder, lowestOrder } from "../../../ipam/whereabouts/order.ts";
import { addressAt, mayHandOut, offsetOf, type RangeConfig, readRange } from "../../../ipam/whereabouts/ranges.ts";
import { formatIp, parseIp } from "../../../lib/ip/address.ts";

const read = (config: RangeConfig, gateway?: string) =>
	readRange(config, gateway === undefined ? undefined : parseIp(gateway), "ipam");
const all = (config: RangeConfig, gateway?: string) => [...lowestOrder(read(config, gateway))].map(formatIp);

describe("the addresses of a range", () => {
	it.each<[string, RangeConfig, string[]]>([
		["not those of network and broadcast", { range: "10.0.0.0/30" }, ["10.0.0.1", "10.0.0.2"]],
		["host bits of the range do not count", { range: "10.0.0.2/30" }, ["10.0.0.1", "10.0.0.2"]],
		["both of a /31", { range: "10.0.0.2/31" }, ["10.0.0.2", "10.0.0.3"]],
		["the one of a /32", { range: "10.0.0.2/32" }, ["10.0.0.2"]],
		["both of a /127", { range: "fd00::2/127" }, ["fd00::2", "fd00::3"]],
		["start and end in the range", { range: "10.0.0.5-10.0.0.7/24" }, ["10.0.0.5", "10.0.0.6", "10.0.0.7"]],
		["leading zeros", { range: "010.000.0.5-10.0.0.006/24" }, ["10.0.0.5", "10.0.0.6"]],
		[
			"start and end beside the range",
			{ range: "10.0.0.0/24", range_start: "10.0.0.9", range_end: "10.0.0.10" },
			["10.0.0.9", "10.0.0.10"],
		],
		[
			"a start at the network address",
			{ range: "10.0.0.0/29", range_start: "10.0.0.0", range_end: "10.0.0.1" },
			["10.0.0.1"],
		],
		[
			"what is excluded is cut out",
			{ range: "10.0.0.0/29", exclude: ["10.0.0.2", "10.0.0.4/31", "10.9.9.0/24", "fd00::/64"] },
			["10.0.0.1", "10.0.0.3", "10.0.0.6"],
		],
		["the gateway is not handed out", { range: "10.0.0.0/30", gateway: "10.0.0.1" }, ["10.0.0.2"]],
		["nothing is left", { range: "10.0.0.0/30", exclude: ["10.0.0.0/30"] }, []],
	])("%s", (_, config, addresses) => {
		expect(all(config)).toEqual(addresses);
		expect(Number(read(config).size)).toBe(addresses.length);
	});

	it("leaves out the gateway of all ranges where it is of the range's family", () => {
		expect(all({ range: "10.0.0.0/30" }, "10.0.0.2")).toEqual(["10.0.0.1"]);
		expect(all({ range: "fd00::/126" }, "10.0.0.2")).toEqual(["fd00::1", "fd00::2"]);
	});

	it("counts offsets exactly, beyond 2^63", () => {
		const range = read({ range: "2001:db8::/48", range_start: "2001:db8:0:8000::5" });
		const ip = addressAt(range, 2n ** 64n);
		expect(formatIp(ip)).toBe("2001:db8:0:8001::5");
		expect(offsetOf(range, ip)).toBe(String(0x8001n * 2n ** 64n + 5n));
		expect(mayHandOut(range, ip)).toBe(true);
	});

	it.each<[string, RangeConfig, string]>([
		["no CIDR", { range: "10.0.0.0" }, "invalid CIDR 10.0.0.0"],
		[
			"a start outside",
			{ range: "10.0.0.0/24", range_start: "10.0.1.1" },
			"range_start 10.0.1.1 is not in 10.0.0.0/24",
		],
		[
			"an end before the start",
			{ range: "10.0.0.9-10.0.0.3/24" },
			"the range ends at 10.0.0.3, before its start 10.0.0.9",
		],
		[
			"an exclusion that is none",
			{ range: "10.0.0.0/24", exclude: ["x"] },
			'could not parse exclude range, err: "invalid CIDR address: x"',
		],
		["a start that is no address", { range: "10.0.0.0/24", range_start: "x" }, "invalid IP address: x"],
	])("refuses %s", (_, config, sentence) => {
		expect(() => read(config)).toThrow(sentence);
	});
});

describe("the hashed order", () => {
	it.each([1, 2, 3, 6, 14, 254, 255, 1000])("has each of %d addresses once", (count) => {
		const range = read({
			range: "10.0.0.1-10.0.3.232/22",
			range_end: formatIp({ family: 4, value: 0x0a000000n + BigInt(count) }),
		});
		for (const seed of ["", "default/web-0/net1/pool", "x"]) {
			expect(new Set([...hashedOrder(range, seed)].map(formatIp)).size).toBe(count);
		}
	});

	it("is the same for a seed, and begins elsewhere for another", () => {
		const range = read({ range: "10.0.0.0/16" });
		const first = (seed: string) => formatIp(hashedOrder(range, seed).next().value!);
		expect(first("a/b/net1")).toBe(first("a/b/net1"));
		const starts = new Set(Array.from({ length: 100 }, (_, index) => first(`default/web-${index}/net1`)));
		expect(starts.size).toBeGreaterThan(95);
	});

	it("has none of no addresses", () => {
		expect([...hashedOrder(read({ range: "10.0.0.0/30", exclude: ["10.0.0.0/30"] }), "x")]).toEqual([]);
	});
});
