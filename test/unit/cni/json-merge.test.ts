import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseMerging } from "../../../lib/cni/json-merge.ts";

describe("a text in which no key stands twice", () => {
	it("is read as the engine reads it", () => {
		const texts = fc.oneof(
			fc.json(),
			fc.json().map((text) => JSON.stringify(JSON.parse(text), null, "\t")),
			fc.string({ unit: "binary" }).map((text) => JSON.stringify({ [text]: [text, { a: text }] })),
		);
		fc.assert(
			fc.property(texts, (text) => {
				const parsed: unknown = JSON.parse(text);
				fc.pre(!hasTwins(parsed));
				expect(parseMerging(text)).toEqual({ value: parsed, unclear: undefined });
			}),
			{ numRuns: 400 },
		);
	});

	function hasTwins(value: unknown): boolean {
		if (typeof value !== "object" || value === null) return false;
		const keys = Object.keys(value).map((key) => key.toUpperCase().toLowerCase());
		return new Set(keys).size < keys.length || Object.values(value).some(hasTwins);
	}
});

describe("a key that stands twice", () => {
	// As Go reads them into structs: `json.Unmarshal` of Go 1.26.
	it.each([
		['{"a":1,"a":2}', { a: 2 }],
		['{"name":"1","NAME":"2","name":"3"}', { name: "3" }],
		['{"name":"1","name":"2","NAME":"3"}', { NAME: "3" }],
		['{"ipam":{"dataDir":"/d"},"ipam":{"ranges":[1]}}', { ipam: { dataDir: "/d", ranges: [1] } }],
		['{"ipam":{"a":{"x":1}},"IPAM":{"A":{"y":2}},"b":0}', { IPAM: { A: { x: 1, y: 2 } }, b: 0 }],
		['{"a":"b","A":null,"c":true,"c":null}', { a: "b", c: true }],
		['{"a":{"b":1},"a":2}', { a: 2 }],
		['{"a":2,"a":{"b":1}}', { a: { b: 1 } }],
		['{"__proto__":{"a":1},"__PROTO__":{"b":2}}', JSON.parse('{"__PROTO__":{"a":1,"b":2}}')],
		['[{"a":1,"a":2},{"a":3}]', [{ a: 2 }, { a: 3 }]],
	])("%s", (text, value) => {
		expect(parseMerging(text)).toEqual({ value, unclear: undefined });
	});

	it.each([
		['{"ranges":[1],"Ranges":[2]}', "Ranges"],
		['{"a":1,"a":null}', "a"],
		['{"prevResult":{"dns":{}},"prevResult":{"dns":{}}}', "dns"],
		['{"prevResult":{"a":{"x":1},"a":{"y":1}}}', "a"],
	])("%s: what it means is not clear", (text, key) => {
		expect(parseMerging(text).unclear).toBe(key);
	});
});
