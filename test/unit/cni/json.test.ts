import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { JsonError, parseJson } from "../../../lib/cni/json.ts";
import { explainSyntaxError } from "../../../lib/cni/json-syntax.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);

describe("a text that is not JSON", () => {
	// Go's sentences, as `json.Unmarshal` of Go 1.26 gives them.
	it.each([
		["", "unexpected end of JSON input"],
		["  ", "unexpected end of JSON input"],
		["{", "unexpected end of JSON input"],
		['{"a":"b', "unexpected end of JSON input"],
		["[1,", "unexpected end of JSON input"],
		["-", "unexpected end of JSON input"],
		["1.", "unexpected end of JSON input"],
		["tru", "unexpected end of JSON input"],
		["{} x", "invalid character 'x' after top-level value"],
		["{a", "invalid character 'a' looking for beginning of object key string"],
		['{"a" 1}', "invalid character '1' after object key"],
		['{"a":1 "b"', "invalid character '\"' after object key:value pair"],
		["[1 2]", "invalid character '2' after array element"],
		["[1,]", "invalid character ']' looking for beginning of value"],
		['{"a":1,}', "invalid character '}' looking for beginning of object key string"],
		["'a'", "invalid character '\\'' looking for beginning of value"],
		["\ufeff{}", "invalid character 'ï' looking for beginning of value"],
		['"\n"', "invalid character '\\n' in string literal"],
		['"\\x"', "invalid character 'x' in string escape code"],
		['"\\u12g4"', "invalid character 'g' in \\u hexadecimal character escape"],
		["-a", "invalid character 'a' in numeric literal"],
		["01", "invalid character '1' after top-level value"],
		["1.x", "invalid character 'x' after decimal point in numeric literal"],
		["1e+}", "invalid character '}' in exponent of numeric literal"],
		["nul1", "invalid character '1' in literal null (expecting 'l')"],
		["\u0000", "invalid character '\\x00' looking for beginning of value"],
	])("%j is explained in Go's words", (text, sentence) => {
		const explained = explainSyntaxError(encode(text))!;
		expect(explained.slice(0, sentence.length)).toBe(sentence);
		expect(explained.slice(sentence.length)).toMatch(/^$|^ \(byte \d+, near .*\)$/);
	});

	it("is explained with the offset and its surroundings", () => {
		expect(explainSyntaxError(encode('{"name": "network", "type": sriov, "vlan": 100}'))).toBe(
			'invalid character \'s\' looking for beginning of value (byte 28, near ... "network", "type": sriov, "vlan...)',
		);
	});
});

describe("the grammar that explains", () => {
	it("agrees with the engine's parser on every text", () => {
		const fragments = fc.constantFrom(
			...'{}[],:"\\ \n-+.0123eEtruefalsnu'.split(""),
			"true",
			"null",
			"1.5e-3",
			'"a"',
			'"\\u00e9"',
			"é",
		);
		const texts = fc.oneof(
			fc.array(fragments, { maxLength: 12 }).map((parts) => parts.join("")),
			fc.tuple(fc.json(), fragments, fc.nat()).map(([json, fragment, at]) => {
				const place = at % (json.length + 1);
				return json.slice(0, place) + fragment + json.slice(place);
			}),
		);
		fc.assert(
			fc.property(texts, (text) => {
				let valid = true;
				try {
					JSON.parse(text);
				} catch {
					valid = false;
				}
				expect(explainSyntaxError(encode(text)) === undefined).toBe(valid);
			}),
			{ numRuns: 3000 },
		);
	});

	it("is not asked about what the engine takes", () => {
		expect(parseJson(encode(' {"a":[1,2,null]} '), decode)).toEqual({ a: [1, 2, null] });
		expect(() => parseJson(encode("{"), decode)).toThrow(JsonError);
	});

	it("ends on deep nesting", () => {
		expect(explainSyntaxError(encode("[".repeat(200_000)))).toContain("exceeded max depth");
	});
});
