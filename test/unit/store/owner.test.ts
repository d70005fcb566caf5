import { describe, expect, test } from "vitest";
import { formatOwner, parseOwner } from "../../../lib/store/owner.ts";

describe("text of an address file", () => {
	test.each<[string, string | undefined, string | undefined]>([
		["dummy\r\n\ufeffnet\ufeff", "dummy", "\ufeffnet\ufeff"],
		["\u00a0dummy\r\nnet1\u3000\n", "dummy", "net1"],
		["\0\0 \n", undefined, undefined],
		["dummy\r\neth0", "dummy", "eth0"],
		[" dummy\r\neth0\n", "dummy", "eth0"],
		["dummy\neth0", "dummy", "eth0"],
		["dummy", "dummy", undefined],
		["dummy\r\n", "dummy", undefined],
		["a.b_c-d\r\nnet1@if2", "a.b_c-d", "net1@if2"],
		["", undefined, undefined],
		["\r\neth0", "eth0", undefined],
		["\0\0\0\0", undefined, undefined],
	])("%j", (text, containerId, ifName) => {
		expect(parseOwner(text)).toEqual(containerId === undefined ? "blank" : { containerId, ifName });
	});
	test.each([
		"-dummy\r\neth0",
		"two words",
		"dummy\r\neth0\r\nmore",
		"reserved for the printer",
		"\ufeff",
		"dummy\r\n \u00a0x\ufeff y",
	])("%j is somebody's, of whom nothing is known", (text) => {
		expect(parseOwner(text)).toBe("foreign");
	});
	test("is Go's to the byte", () => {
		expect(formatOwner({ containerId: "dummy", ifName: "eth0" })).toBe("dummy\r\neth0");
	});
});
