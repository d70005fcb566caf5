import validator from "validator:cni-result";
import { describe, expect, it } from "vitest";
import { loadConfig, type Validator } from "../../../lib/cni/config.ts";
import { CniError } from "../../../lib/cni/error.ts";
import { foldKeys } from "../../../lib/cni/keys.ts";
import type { JsonObject } from "../../../lib/cni/types.ts";

function failure(config: JsonObject, by: Validator = validator): [number, string] {
	try {
		loadConfig(config, by);
	} catch (error) {
		if (error instanceof CniError) return [error.code, error.message];
		throw error;
	}
	throw new Error("the configuration was accepted");
}

describe("keys", () => {
	const tree = {
		members: { subnet: {}, ipam: { members: { Range: {} } }, list: { items: { members: { kind: {} } } } },
	};

	it.each([
		[{ SUBNET: 1 }, { subnet: 1 }],
		[{ Ipam: { rANGE: 1, other: 2 } }, { ipam: { Range: 1, other: 2 } }],
		[{ LIST: [{ KIND: 1 }, { "\u212aIND": 2 }] }, { list: [{ kind: 1 }, { kind: 2 }] }],
		[{ "\u017fubnet": 1 }, { subnet: 1 }],
		[{ subnet: 1, SUBNET: 2 }, { subnet: 2 }],
		[{ SUBNET: 1, subnet: 2 }, { subnet: 2 }],
		[{ subnet: 1, Subnet: null }, { subnet: 1 }],
		[{ subnet: null, other: null }, { other: null }],
		[{ "\u00dfubnet": 1 }, { "\u00dfubnet": 1 }],
	])("%j are spelled as the schema spells them", (config, folded) => {
		expect(foldKeys(config, tree)).toEqual(folded);
	});

	it("a configuration in the schema's spelling is not copied", () => {
		const config = { subnet: 1, ipam: { Range: {} }, other: { SUBNET: 1 } };
		expect(foldKeys(config, tree)).toBe(config);
	});

	it("__proto__ stays a key like others", () => {
		const config = JSON.parse('{"SUBNET":1,"__proto__":{"subnet":2}}') as JsonObject;
		expect(Object.keys(foldKeys(config, tree) as JsonObject)).toEqual(["subnet", "__proto__"]);
	});
});

describe("a configuration against its schema", () => {
	it("is given back when it fits, unknown keys and all", () => {
		const config = { cniVersion: "1.0.0", ips: [{ address: "x", more: 1 }], unknown: null };
		expect(loadConfig(config, validator)).toEqual(config);
	});

	it.each([
		[{ cniVersion: 5 }, 6, "cniVersion must be a string, not 5"],
		[{ ips: {} }, 6, "ips must be a list, not {}"],
		[{ ips: [null] }, 6, "ips[0] must be an object, not null"],
		[{ ips: [{ address: "a" }, { address: 1.5 }] }, 6, "ips[1].address must be a string, not 1.5"],
		[{ ips: [{ address: "a", interface: 1.5 }] }, 6, "ips[0].interface must be a whole number, not 1.5"],
		[{ ips: [{ address: "a", interface: "1" }] }, 6, 'ips[0].interface must be a whole number, not "1"'],
		[{ ips: [{}] }, 7, "ips[0].address is missing"],
		[{ IPS: [{ Address: null }] }, 7, "ips[0].address is missing"],
		[{ dns: { search: ["a", {}] } }, 6, "dns.search[1] must be a string, not {}"],
		[{ cniVersion: ["x".repeat(90)] }, 6, `cniVersion must be a string, not ["${"x".repeat(75)}...`],
	] as [JsonObject, number, string][])("%j is refused", (config, code, message) => {
		expect(failure(config)).toEqual([code, message]);
	});

	const says = (...violations: [string, string, object][]): Validator => ({
		keys: {},
		validate: () =>
			violations.map(([instancePath, keyword, params]) => ({ instancePath, keyword, params: params as never })),
	});

	it.each([
		[[["", "required", { missingProperty: "name" }]], 7, "name is missing"],
		[[["/a~1b", "enum", { allowedValues: ["on", "off"] }]], 7, 'a/b must be one of "on", "off", not 3'],
		[[["/n", "minimum", { comparison: ">=", limit: 4 }]], 7, "n must be at least 4, not 3"],
		[[["/n", "maximum", { comparison: "<=", limit: 2 }]], 7, "n must be at most 2, not 3"],
		[[["/n", "minItems", { limit: 1 }]], 7, "n must have an entry, not 3"],
		[
			[
				["/n", "type", { type: "string" }],
				["/n", "type", { type: "boolean" }],
				["/n", "anyOf", {}],
			],
			6,
			"n must be a string or a boolean, not 3",
		],
		[
			[
				["/o", "type", { type: "string" }],
				["/o/x", "type", { type: "string" }],
				["/o", "anyOf", {}],
			],
			6,
			"o.x must be a string, not 4",
		],
	] as [[string, string, object][], number, string][])("%j is told", (violations, code, message) => {
		expect(failure({ "a/b": 3, n: 3, o: { x: 4 } }, says(...violations))).toEqual([code, message]);
	});
});
