import { describe, expect, it } from "vitest";
import { isAtLeast, parseVersion, requireSupported, SUPPORTED_VERSIONS } from "../../../lib/cni/version.ts";

describe("versions", () => {
	it.each([
		["", [0, 1, 0]],
		["1", [1, 0, 0]],
		["1.2", [1, 2, 0]],
		["0.3.1", [0, 3, 1]],
		["+1.-2.03", [1, -2, 3]],
	])("%j is read as in Go", (text, parts) => {
		expect(parseVersion(text)).toEqual(parts);
	});

	it.each([
		["1.0.0.0", 'invalid version "1.0.0.0": too many parts'],
		["v1.0", 'failed to convert major version part "v1": strconv.Atoi: parsing "v1": invalid syntax'],
		["1..2", 'failed to convert minor version part "": strconv.Atoi: parsing "": invalid syntax'],
		["1.0.0-rc1", 'failed to convert micro version part "0-rc1": strconv.Atoi: parsing "0-rc1": invalid syntax'],
		[
			"99999999999999999999",
			'failed to convert major version part "99999999999999999999": strconv.Atoi: parsing "99999999999999999999": value out of range',
		],
	])("%j is refused as in Go", (text, message) => {
		expect(() => parseVersion(text)).toThrow(message);
	});

	it("the supported ones ascend", () => {
		for (const [i, version] of SUPPORTED_VERSIONS.entries()) {
			for (const [j, other] of SUPPORTED_VERSIONS.entries()) expect(isAtLeast(version, other)).toBe(i >= j);
		}
	});

	it("count only to the letter", () => {
		for (const version of SUPPORTED_VERSIONS) requireSupported(version);
		for (const version of ["1.0", "1", "v1.0.0", "1.0.0 ", ""]) {
			expect(() => requireSupported(version)).toThrow("incompatible CNI versions");
		}
	});
});
