/**
 * Options of a lease as servers send them, byte by byte, and what they become in the result.
 */
import { describe, expect, it } from "vitest";
import { isOfOneHost, leaseResult, leaseTimes, optionNumber, prefixLength } from "../../../ipam/dhcp/wire/options.ts";
import type { Options } from "../../../ipam/dhcp/wire/packet.ts";

/** From hex digits, with spaces for the eye. */
const options = (values: Record<number, string>): Options =>
	new Map(
		Object.entries(values).map(([code, hex]) => [
			Number(code),
			Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex")),
		]),
	);
const MASK = { 1: "ffffff00" };
const routes = (values: Record<number, string>) => leaseResult("10.7.0.50", options({ ...MASK, ...values }), 0).routes;

it("knows the addresses that a server or a client can have", () => {
	const of = (...addresses: string[]): boolean[] => [...new Set(addresses.map(isOfOneHost))];
	expect(of("1.0.0.1", "10.7.0.1", "126.255.255.255", "128.0.0.1", "223.255.255.1")).toEqual([true]);
	expect(of("0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255")).toEqual([
		false,
	]);
});

describe("routes", () => {
	// The examples of RFC 3442, and every length around a byte's end.
	it.each([
		["0.0.0.0/0", "00 0a070001", { dst: "0.0.0.0/0", gw: "10.7.0.1" }],
		["10.0.0.0/8", "08 0a 0a070001", { dst: "10.0.0.0/8", gw: "10.7.0.1" }],
		["10.17.0.0/16", "10 0a11 0a070001", { dst: "10.17.0.0/16", gw: "10.7.0.1" }],
		["10.27.129.0/24", "18 0a1b81 0a070001", { dst: "10.27.129.0/24", gw: "10.7.0.1" }],
		["10.229.0.128/25", "19 0ae50080 0a070001", { dst: "10.229.0.128/25", gw: "10.7.0.1" }],
		["10.198.122.47/32", "20 0ac67a2f 0a070001", { dst: "10.198.122.47/32", gw: "10.7.0.1" }],
		["bits beyond the prefix", "09 0aff 0a070001", { dst: "10.128.0.0/9", gw: "10.7.0.1" }],
		["router 0.0.0.0: on the link", "18 c00002 00000000", { dst: "192.0.2.0/24", scope: 253 }],
	])("option 121, and 249 the same: %s", (_, hex, route) => {
		expect(routes({ 121: hex, 3: "0a070001", 33: "0a080000 0a070002" })).toEqual([route]);
		expect(routes({ 249: hex, 3: "0a070001", 33: "0a080000 0a070002" })).toEqual([route]);
	});

	it("option 121 goes before 249", () => {
		expect(routes({ 249: "08 0b 0a070001", 121: "08 0a 0a070001" })).toEqual([{ dst: "10.0.0.0/8", gw: "10.7.0.1" }]);
	});

	it.each([
		["a prefix of 33", "21 0a000000 0a070001"],
		["a truncated router", "08 0a 0a0700"],
		["nothing", ""],
	])("a malformed option 121 (%s) is as none: the router is the default route", (_, hex) => {
		expect(routes({ 121: hex, 3: "0a070001" })).toEqual([{ dst: "0.0.0.0/0", gw: "10.7.0.1" }]);
	});

	it("option 33 by the class of its addresses, without default route, multicast and half a pair", () => {
		expect(
			routes({
				33: "0a080000 0a070002 ac100500 0a070003 c0000200 0a070004 00000000 0a070005 e0000001 0a070006 0b000000",
			}),
		).toEqual([
			{ dst: "10.0.0.0/8", gw: "10.7.0.2" },
			{ dst: "172.16.0.0/16", gw: "10.7.0.3" },
			{ dst: "192.0.2.0/24", gw: "10.7.0.4" },
		]);
	});

	it("priority and MTU are on every route; an MTU below 68 is none", () => {
		const more = { ...MASK, 121: "08 0a 0a070001 18 c00002 00000000" };
		expect(leaseResult("10.7.0.50", options({ ...more, 26: "0578" }), 300).routes).toEqual([
			{ dst: "10.0.0.0/8", gw: "10.7.0.1", mtu: 1400, priority: 300 },
			{ dst: "192.0.2.0/24", scope: 253, mtu: 1400, priority: 300 },
		]);
		expect(routes({ 121: "08 0a 0a070001", 26: "0043" })).toEqual([{ dst: "10.0.0.0/8", gw: "10.7.0.1" }]);
	});
});

it("DNS: servers, domain without its final NUL, search list with RFC 3397's compression", () => {
	// eng.apple.com. marketing.apple.com., the example of RFC 3397.
	const search = "03656e67 056170706c65 03636f6d 00 096d61726b6574696e67 c004";
	const { dns } = leaseResult(
		"10.7.0.50",
		options({ ...MASK, 6: "0a070035 0a070036 0a", 15: "6c616e00", 119: search }),
		0,
	);
	expect(dns).toEqual({
		nameservers: ["10.7.0.53", "10.7.0.54"],
		domain: "lan",
		search: ["eng.apple.com", "marketing.apple.com"],
	});
});

it("a search list that leads in a circle ends", () => {
	expect(leaseResult("10.7.0.50", options({ ...MASK, 119: "0161c000 c002" }), 0).dns).toBeUndefined();
});

it.each([
	["ffffff00", 24],
	["ffffffff", 32],
	["00000000", 0],
	["fffffffe", 31],
	["ff00ff00", undefined],
	["ffffff", undefined],
])("mask %s is %s bits", (hex, bits) => {
	expect(prefixLength(options({ 1: hex }))).toBe(bits);
});

it.each([
	["an hour where the server says nothing", {}, [3600, 1800, 3150]],
	["its own T1 and T2", { 51: "00000078", 58: "00000003", 59: "0000003c" }, [120, 3, 60]],
	["T2 beyond the end, and T1 beyond T2", { 51: "00000078", 58: "000000ff", 59: "000000fe" }, [120, 60, 105]],
	["for ever", { 51: "ffffffff", 58: "00000003" }, [Infinity, Infinity, Infinity]],
])("lease times: %s", (_, values, [lease, renew, rebind]) => {
	expect(leaseTimes(options(values))).toEqual({
		leaseMs: lease! * 1000,
		renewMs: renew! * 1000,
		rebindMs: rebind! * 1000,
	});
});

it("options have the names of dhcp-options(5), or numbers from 1 to 254", () => {
	expect(["routers", "classless-static-routes", "121", "1", "254"].map(optionNumber)).toEqual([3, 121, 121, 1, 254]);
	expect(["0", "255", "-1", "1e2", "router", "toString", ""].map(optionNumber)).toEqual(Array(7).fill(undefined));
});
