import fc from "fast-check";
import IPCIDR from "ip-cidr";
import { describe, expect, it, test } from "vitest";
import { formatIp, type Ip, ipFromBytes, ipToBytes, nextIp, parseIp, previousIp } from "../../../lib/ip/address.ts";
import { contains, formatCidr, lastAddressOf, networkOf, parseCidr } from "../../../lib/ip/cidr.ts";
import { goAddresses, goCidrs } from "./go-vectors.ts";

const ip = (text: string): Ip => parseIp(text) ?? expect.fail(`${text} is no address`);
const formatted = (value: Ip | undefined) => value && formatIp(value);

describe("addresses as Go reads and prints them", () => {
	test.each(goAddresses)("%j", (text, canonical) => {
		expect(formatted(parseIp(text))).toBe(canonical);
	});
});

describe("CIDRs as Go reads and prints them", () => {
	test.each(goCidrs)("%j", (text, canonical) => {
		const cidr = parseCidr(text);
		expect(cidr && formatCidr(cidr)).toBe(canonical);
	});
	it("needs a prefix", () => {
		expect(parseCidr("10.1.2.3")).toBeUndefined();
	});
});

const v4Text = fc.ipV4();
// The oracle takes an IPv6 address with an embedded IPv4 one for the latter: left out here, goAddresses has them.
const v6Text = fc.ipV6().filter((text) => !text.includes(".") && parseIp(text)?.family === 6);
const cidrText = fc.oneof(
	fc.tuple(v4Text, fc.nat(32)).map(([address, prefix]) => `${address}/${prefix}`),
	fc.tuple(v6Text, fc.nat(128)).map(([address, prefix]) => `${address}/${prefix}`),
);

describe("against ip-cidr", () => {
	it("prints the canonical form", () => {
		fc.assert(
			fc.property(fc.oneof(v4Text, v6Text), (text) => {
				expect(formatIp(ip(text))).toBe(IPCIDR.createAddress(text).correctForm());
			}),
			{ numRuns: 2000 },
		);
	});
	it("finds the first and the last address of a network", () => {
		fc.assert(
			fc.property(cidrText, (text) => {
				const cidr = parseCidr(text)!;
				const oracle = new IPCIDR(text);
				expect(networkOf(cidr).ip.value).toBe(oracle.start({ type: "bigInteger" }));
				expect(lastAddressOf(cidr).value).toBe(oracle.end({ type: "bigInteger" }));
			}),
			{ numRuns: 2000 },
		);
	});
	it("knows what a network contains, at and beside its edges", () => {
		fc.assert(
			fc.property(cidrText, fc.constantFrom("before", "first", "last", "after"), (text, where) => {
				const cidr = parseCidr(text)!;
				const first = networkOf(cidr).ip;
				const last = lastAddressOf(cidr);
				const address = { before: previousIp(first), first, last, after: nextIp(last) }[where];
				fc.pre(address !== undefined && !formatIp(address).startsWith("::ffff:"));
				expect(contains(cidr, address!)).toBe(new IPCIDR(text).contains(formatIp(address!)));
			}),
			{ numRuns: 2000 },
		);
	});
});

describe("bytes", () => {
	it("are in network order", () => {
		expect([...ipToBytes(ip("10.1.2.3"))]).toEqual([10, 1, 2, 3]);
		expect([...ipToBytes(ip("2001:db8::1"))]).toEqual([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
	});
	it("come back as they were, also those of an IPv4-mapped address", () => {
		const sixteen = fc.uint8Array({ minLength: 16, maxLength: 16 });
		const mapped = fc.uint8Array({ minLength: 4, maxLength: 4 }).map((tail) => {
			return Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, ...tail]);
		});
		fc.assert(
			fc.property(fc.oneof(sixteen, mapped, fc.uint8Array({ minLength: 4, maxLength: 4 })), (bytes) => {
				expect(ipToBytes(ipFromBytes(bytes))).toEqual(bytes);
			}),
		);
		expect(formatIp(ipFromBytes(Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1])))).toBe(
			"::ffff:10.0.0.1",
		);
	});
	it("of another length are refused", () => {
		expect(() => ipFromBytes(new Uint8Array(6))).toThrow("an address of 6 bytes");
	});
});

describe("neighbours", () => {
	it.each([
		["10.0.0.255", "10.0.1.0"],
		["2001:db8::ffff", "2001:db8::1:0"],
		["255.255.255.254", "255.255.255.255"],
	])("%s is before %s", (low, high) => {
		expect(formatted(nextIp(ip(low)))).toBe(high);
		expect(formatted(previousIp(ip(high)))).toBe(low);
	});
	it("ends at the ends of the family", () => {
		expect(nextIp(ip("255.255.255.255"))).toBeUndefined();
		expect(nextIp(ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"))).toBeUndefined();
		expect(previousIp(ip("0.0.0.0"))).toBeUndefined();
		expect(previousIp(ip("::"))).toBeUndefined();
	});
});
