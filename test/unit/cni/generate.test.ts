import { describe, expect, it } from "vitest";
import type { Validator } from "../../../lib/cni/config.ts";
import { jsonSchema, pluginSchemas, toValidator, validatorModule } from "../../../scripts/build/validators.ts";
import { fieldTable, publishedSchema, withTables } from "../../../scripts/generate.ts";

describe("what follows from a schema", () => {
	it("the validator has what can say no to a value, on every level", () => {
		expect(
			toValidator({
				type: "object",
				required: ["plain"],
				properties: {
					plain: { type: "string", description: "text", default: "x" },
					ranges: { type: "array", items: { type: "array", items: { properties: { subnet: {} } } } },
					map: { type: "object", additionalProperties: { type: "integer", minimum: 0 } },
					either: { anyOf: [{ type: "string" }, { const: 5 }] },
				},
			}),
		).toEqual({
			type: "object",
			required: ["plain"],
			members: {
				plain: { type: "string" },
				ranges: { type: "list", items: { type: "list", items: { members: { subnet: {} } } } },
				map: { type: "object", items: { type: "integer", minimum: 0 } },
				either: { anyOf: [{ type: "string" }, { oneOf: [5] }] },
			},
		});
	});

	it("a schema that refuses unknown keys is refused", () => {
		expect(() => toValidator({ additionalProperties: false })).toThrow("Go ignores unknown keys");
	});

	it("the table of fields names each with its path, type and text", () => {
		const table = fieldTable({
			required: ["name"],
			properties: {
				name: { type: "string", description: "A | B." },
				vlan: { type: "integer", minimum: 0, maximum: 4094, default: 0 },
				mode: { enum: ["on", "off"] },
				ranges: {
					type: "array",
					items: { type: "array", items: { type: "object", properties: { s: { type: "string" } } } },
				},
			},
		});
		expect(table.split("\n").slice(2)).toEqual([
			"| `name` | string, required | A \\| B. |",
			"| `vlan` | 0 to 4094 | Default: `0`. |",
			'| `mode` | "on" or "off" |  |',
			"| `ranges` | list of list of object |  |",
			"| `ranges[][].s` | string |  |",
		]);
	});

	it("a page gets its tables between the markers and nothing else changes", () => {
		const page = "# A\n<!-- fields:a -->\nold\n<!-- /fields -->\nend\n";
		const made = withTables(page, new Map([["a", "| new |"]]));
		expect(made).toBe("# A\n<!-- fields:a -->\n| new |\n<!-- /fields -->\nend\n");
		expect(withTables(made, new Map([["a", "| new |"]]))).toBe(made);
		expect(() => withTables(page, new Map())).toThrow("fields:a: there is no schema of that name");
	});

	it.each(pluginSchemas())("$name: published schema with a title, validator without imports", async (source) => {
		const published = JSON.parse(await publishedSchema(source));
		expect(published).toMatchObject({ $schema: "https://json-schema.org/draft/2020-12/schema", title: source.name });
		expect(published.required).toContain("name");
		const code = await validatorModule(source.name);
		expect(code).not.toMatch(/\bimport\b|description/);
		const made = (await import(`data:text/javascript,${encodeURIComponent(code)}`)) as { default: Validator };
		const { quick, ...tree } = made.default;
		expect(tree).toEqual(toValidator(await jsonSchema(source)));
		expect(quick).toBeTypeOf("function");
	});

	it("a validator without a schema is an error", async () => {
		await expect(validatorModule("nothing")).rejects.toThrow("there is no plugins/nothing/schema.ts");
	});
});
