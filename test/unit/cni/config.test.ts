import validator from "validator:cni-result";
import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { loadConfig, usableConfig, type Validator } from "../../../lib/cni/config.ts";
import { CniError } from "../../../lib/cni/error.ts";
import { foldKeys } from "../../../lib/cni/keys.ts";
import type { JsonObject, JsonValue } from "../../../lib/cni/types.ts";
import {
	type JsonSchema,
	jsonSchema,
	pluginSchemas,
	toValidator,
	validatorModule,
} from "../../../scripts/build/validators.ts";

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

	const onOff: Validator = { type: "string", oneOf: ["on", "off"] };
	const small: Validator = { type: "integer", minimum: 1, maximum: 4 };
	const either: Validator = { anyOf: [{ type: "string" }, { type: "boolean" }] };
	const deep: Validator = { anyOf: [{ type: "string" }, { type: "object", members: { x: small } }] };

	it.each([
		[onOff, "ON", 7, 'a/b must be one of "on", "off", not "ON"'],
		[onOff, 1, 6, "a/b must be a string, not 1"],
		[{ oneOf: [1] }, 2, 7, "a/b must be 1, not 2"],
		[small, 0, 7, "a/b must be at least 1, not 0"],
		[small, 5, 7, "a/b must be at most 4, not 5"],
		[small, 2.5, 6, "a/b must be a whole number, not 2.5"],
		[either, 3, 6, "a/b must be a string or true or false, not 3"],
		[deep, { x: 9 }, 7, "a/b.x must be at most 4, not 9"],
		[{ type: "object", items: small }, { c: 0 }, 7, "a/b.c must be at least 1, not 0"],
	] as [Validator, JsonValue, number, string][])("%j refuses %j", (rule, value, code, message) => {
		expect(failure({ "a/b": value }, { members: { "a/b": rule } })).toEqual([code, message]);
	});

	it.each([
		[onOff, "on"],
		[small, 4],
		[either, false],
		[deep, { x: 4, y: 9 }],
		[{}, [null, {}]],
	] as [Validator, JsonValue][])("%j accepts %j", (rule, value) => {
		expect(loadConfig({ k: value }, { members: { k: rule } })).toEqual({ k: value });
	});
});

describe("every validator of the build", () => {
	/** Values that are right, nearly right, or anything, for a schema. */
	function values(schema: JsonSchema): fc.Arbitrary<unknown> {
		const wild = fc.constantFrom<unknown>("on", "", 0, 1, -1, 4095, 1.5, 2 ** 40, true, {}, [], [[]], { name: 1 });
		return mostly(fitting(schema), wild);
	}

	/** So seldom the other that an object of thirty members is right often enough, and wrong by one or two. */
	function mostly<T>(usual: fc.Arbitrary<T>, other: fc.Arbitrary<T>): fc.Arbitrary<T> {
		return fc.oneof({ weight: 40, arbitrary: usual }, { weight: 1, arbitrary: other });
	}

	function fitting(schema: JsonSchema): fc.Arbitrary<unknown> {
		if (schema.anyOf) return fc.oneof(...schema.anyOf.map(values));
		if (schema.enum) return mostly<unknown>(fc.constantFrom(...schema.enum), fc.constant("other"));
		switch (schema.type) {
			case "object": {
				const members = Object.entries(schema.properties ?? {}).map(([key, field]) => [key, values(field)] as const);
				const others =
					typeof schema.additionalProperties === "object" ? values(schema.additionalProperties) : fc.jsonValue();
				const record = (requiredKeys: string[]) => fc.record(Object.fromEntries(members), { requiredKeys });
				return fc
					.tuple(
						mostly(record(schema.required ?? []), record([])),
						fc.dictionary(fc.constantFrom("x-1", "x-2"), others, { maxKeys: 1 }),
					)
					.map(([known, unknown]) => ({ ...unknown, ...known }));
			}
			case "array":
				return fc.array(values(schema.items ?? {}), { maxLength: 3 });
			case "integer":
				return mostly(
					fc.integer({ min: schema.minimum ?? -2, max: schema.maximum ?? 5000 }),
					fc.constantFrom((schema.minimum ?? 0) - 1, (schema.maximum ?? 0) + 1),
				);
			case "string":
				return fc.string({ maxLength: 3 });
			case "boolean":
				return fc.boolean();
			default:
				return fc.jsonValue();
		}
	}

	const sources = [...pluginSchemas(), { name: "cni-result", file: "lib/cni/result-schema.ts" }];

	it.each(sources)("$name says yes and no where ajv does", async (source) => {
		const schema = await jsonSchema(source);
		const ajv = new Ajv2020({ strict: false }).compile(schema);
		const ours = toValidator(schema);
		const answers = { yes: 0, no: 0 };
		fc.assert(
			fc.property(values(schema), (value) => {
				fc.pre(typeof value === "object" && value !== null && !Array.isArray(value));
				const plain = JSON.parse(JSON.stringify(value), (_, member) => (member === null ? 0 : member)) as JsonObject;
				const expected = ajv(plain);
				answers[expected ? "yes" : "no"]++;
				let accepted = true;
				try {
					loadConfig(plain, ours);
				} catch (error) {
					if (!(error instanceof CniError)) throw error;
					accepted = false;
				}
				expect(accepted).toBe(expected);
			}),
			{ numRuns: 500 },
		);
		expect(Math.min(answers.yes, answers.no), "both answers occur").toBeGreaterThan(0);
	});

	/** Some keys in another case, some members null, some keys that objects have anyway. */
	function respelled(value: unknown, change: () => number): unknown {
		if (Array.isArray(value)) return value.map((item) => respelled(item, change));
		if (typeof value !== "object" || value === null) return value;
		const members = Object.entries(value).map(([key, member]) => {
			const choice = change();
			const name = [key.toUpperCase(), key.replace("k", "\u212a"), "constructor", "__proto__"][choice] ?? key;
			return `${JSON.stringify(name)}:${JSON.stringify(choice === 4 ? null : respelled(member, change))}`;
		});
		return JSON.parse(`{${members.join(",")}}`);
	}

	it.each(sources)("$name: the quick yes is the yes of the slow way, which then changes nothing", async (source) => {
		const schema = await jsonSchema(source);
		const ours = toValidator(schema);
		const code = await validatorModule(source.name);
		const { quick } = ((await import(`data:text/javascript,${encodeURIComponent(code)}`)) as { default: Validator })
			.default;
		const counts = { quick: 0, slow: 0, no: 0 };
		fc.assert(
			fc.property(values(schema), fc.array(fc.nat(80), { minLength: 20, maxLength: 20 }), (value, choices) => {
				fc.pre(typeof value === "object" && value !== null && !Array.isArray(value));
				let next = 0;
				const text = JSON.stringify(respelled(JSON.parse(JSON.stringify(value)), () => choices[next++ % 20]!));
				const config = JSON.parse(text) as JsonObject;
				const isQuick = quick!(config);
				let folded: JsonObject | undefined;
				try {
					folded = loadConfig<JsonObject>(config, ours);
				} catch (error) {
					if (!(error instanceof CniError)) throw error;
				}
				counts[isQuick ? "quick" : folded === undefined ? "no" : "slow"]++;
				if (isQuick) expect(folded).toBe(config);
				expect(JSON.stringify(config)).toBe(text);
			}),
			{ numRuns: 1000 },
		);
		expect(Math.min(...Object.values(counts)), JSON.stringify(counts)).toBeGreaterThan(0);
	});
});

describe("a configuration that is partly wrong", () => {
	const schema: Validator = {
		type: "object",
		members: {
			name: { type: "string" },
			ipam: {
				type: "object",
				members: { type: { type: "string" }, ranges: { type: "list", items: { type: "list" } } },
			},
			mtu: { type: "integer", minimum: 0 },
		},
		required: ["name"],
	};

	it.each([
		[
			{ MTU: 9000, name: "net" },
			{ mtu: 9000, name: "net" },
		],
		[
			{ mtu: -1, name: "net", more: [null] },
			{ name: "net", more: [null] },
		],
		[{ ipam: "host-local", mtu: 1 }, { mtu: 1 }],
		[{ ipam: { Type: "host-local", ranges: [[], {}], other: 1 } }, { ipam: { type: "host-local", other: 1 } }],
		[{ ipam: { type: 4 }, name: 7 }, { ipam: {} }],
	] as [JsonObject, JsonObject][])("%j: what is usable of it stays", (config, usable) => {
		expect(usableConfig(config, schema)).toEqual(usable);
	});
});
