import { expect, test } from "vitest";
import { parseTruncated } from "../../../lib/state/json.ts";

test.each([
	['{"a":"x"', { a: "x" }],
	['{"a":"x","b', { a: "x" }],
	['{"a":"x","b"', { a: "x" }],
	['{"a":"x","b":1', { a: "x" }],
	['{"a":["x","y"', { a: ["x", "y"] }],
	['{"a":["x","y","z', { a: ["x", "y"] }],
	['{"a":{"b":"\\"}"', { a: { b: '"}' } }],
	['{"a":{"b":"c"},"d":"e"', { a: { b: "c" }, d: "e" }],
])("%s was truncated behind what it still says", (json, said) => {
	expect(parseTruncated(json)).toEqual(said);
});
