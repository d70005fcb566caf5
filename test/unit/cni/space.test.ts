import { expect, test } from "vitest";
import { hasSpace, trimSpace, words } from "../../../lib/cni/space.ts";

/** Go 1.24, unicode.IsSpace: of all code points these. */
const GO = [
	...[0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x20, 0x85, 0xa0, 0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000],
	...Array.from({ length: 11 }, (_, index) => 0x2000 + index),
].map((code) => String.fromCodePoint(code));

test("white space is Go's, for every character", () => {
	const all = Array.from({ length: 0x10000 }, (_, code) => String.fromCharCode(code));
	expect(all.filter(hasSpace).sort()).toEqual(GO.toSorted());
	expect(all.filter((char) => trimSpace(`${char}x${char}`) === "x").sort()).toEqual(GO.toSorted());
	expect(words(`${GO.join("")}a${GO.join("")}\ufeffb${GO.join("")}`)).toEqual(["a", "\ufeffb"]);
	expect(words("")).toEqual([]);
});
