/** The published JSON Schemas, as an editor reads them: ajv is one. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, test } from "vitest";

const SCHEMAS = join(import.meta.dirname, "../../../schemas");

interface Schema {
	readonly description?: string;
	readonly properties?: Readonly<Record<string, Schema>>;
	readonly items?: Schema;
	readonly additionalProperties?: Schema | boolean;
	readonly $defs?: Readonly<Record<string, Schema>>;
}

const read = (name: string): Schema => JSON.parse(readFileSync(join(SCHEMAS, name), "utf8")) as Schema;

/** The fields of `schema` that say nothing of themselves. */
function undescribed(schema: Schema, path: string): string[] {
	const fields = Object.entries(schema.properties ?? {}).flatMap(([key, field]) => {
		const place = `${path}.${key}`;
		return [...(field.description ? [] : [place]), ...undescribed(field, place)];
	});
	return [...fields, ...(schema.items ? undescribed(schema.items, `${path}[]`) : [])];
}

/** All but what a command prints. */
const configurations = readdirSync(SCHEMAS).filter((name) => name !== "node.schema.json");

test.each(configurations)("every field of %s has a description", (name) => {
	const schema = read(name);
	const definitions = Object.entries(schema.$defs ?? {}).flatMap(([key, each]) => undescribed(each, key));
	expect([...undescribed(schema, ""), ...definitions]).toEqual([]);
});

describe("the schema of a network", () => {
	const accepts = new Ajv2020({ strict: false, validateFormats: false }).compile(read("network.schema.json"));
	const network = { cniVersion: "1.0.0", name: "storage" };
	const hostLocal = { type: "host-local", subnet: "10.1.0.0/24" };

	test.each([
		["a conf", { ...network, type: "sriov", vlan: 5, ipam: hostLocal }],
		["a conflist", { ...network, plugins: [{ type: "sriov", ipam: {} }, { type: "rdma" }, { type: "tuning" }] }],
		["a plugin of others with our ipam", { ...network, type: "bridge", vlan: "any", ipam: hostLocal }],
		["a plugin of others with ipam of others", { ...network, type: "bridge", ipam: { type: "x", subnet: 5 } }],
	])("accepts %s", (_, config) => {
		expect(accepts(config)).toBe(true);
	});

	test.each([
		["a network without a name", { cniVersion: "1.0.0", type: "sriov" }],
		["a plugin without a type", { ...network, plugins: [{}] }],
		["a conflist without plugins", { ...network, plugins: [] }],
		["a value of the wrong type", { ...network, type: "sriov", vlan: "5" }],
		["the same in a conflist", { ...network, plugins: [{ type: "sriov", vlan: "5" }] }],
		["the same in ipam of ours", { ...network, type: "bridge", ipam: { ...hostLocal, subnet: 5 } }],
		[
			"the same in a later plugin",
			{ ...network, plugins: [{ type: "bridge" }, { type: "rdma", rdmaQoS: { tos: 256 } }] },
		],
	])("refuses %s", (_, config) => {
		expect(accepts(config)).toBe(false);
	});
});
