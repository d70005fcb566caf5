import { describe, expect, test } from "vitest";
import { formatHolder, parseHolder } from "../../../ipam/host-local/holder.ts";

describe("text of an address file", () => {
	test.each<[string, string | undefined, string | undefined]>([
		["dummy\r\neth0", "dummy", "eth0"],
		[" dummy\r\neth0\n", "dummy", "eth0"],
		["dummy\neth0", "dummy", "eth0"],
		["dummy", "dummy", undefined],
		["dummy\r\n", "dummy", undefined],
		["a.b_c-d\r\nnet1@if2", "a.b_c-d", "net1@if2"],
		["", undefined, undefined],
		["\r\neth0", "eth0", undefined],
		["\0\0\0\0", undefined, undefined],
		["-dummy\r\neth0", undefined, undefined],
		["two words", undefined, undefined],
		["dummy\r\neth0\r\nmore", undefined, undefined],
	])("%j", (text, containerId, ifName) => {
		expect(parseHolder(text)).toEqual(containerId === undefined ? undefined : { containerId, ifName });
	});
	test("is Go's to the byte", () => {
		expect(formatHolder({ containerId: "dummy", ifName: "eth0" })).toBe("dummy\r\neth0");
	});
});
