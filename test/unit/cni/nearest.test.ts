import { expect, test } from "vitest";
import { nearest } from "../../../lib/cni/nearest.ts";

const NAMES = ["vlan", "vlanQoS", "trust", "rangeStart", "dst"];

test.each([
	["vlna", "vlan"],
	["VLANQOS", "vlanQoS"],
	["range_start", "rangeStart"],
	["trusted", "trust"],
	["dts", undefined],
	["v", undefined],
	["gateway", undefined],
])("%s: %s", (word, meant) => {
	expect(nearest(word, NAMES)).toBe(meant);
});

test("of two that are near, the nearer one", () => {
	expect(nearest("range_end", ["rangeStart", "range_edn", "range_end_"])).toBe("range_end_");
});
