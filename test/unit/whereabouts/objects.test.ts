/** What whereabouts writes is what its kinds have: a server drops, without a word, what a schema does not name. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv } from "ajv";
import { expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { poolObject, reservationObject, slicePoolObject } from "../../../ipam/whereabouts/objects.ts";

const manifest = readFileSync(join(import.meta.dirname, "../../../manifests/base/crds.yaml"), "utf8");

interface Schema {
	readonly properties?: Readonly<Record<string, Schema>>;
	readonly items?: Schema;
	readonly additionalProperties?: Schema | false;
}

/** The same with nothing but what it names; metadata is the server's. */
function closed(schema: Schema): Schema {
	const { properties, items, additionalProperties, ...rest } = schema;
	if (items) return { ...rest, items: closed(items) };
	if (additionalProperties) return { ...rest, additionalProperties: closed(additionalProperties) };
	if (!properties) return schema;
	const members = Object.entries(properties).map(([key, member]) => [key, closed(member)]);
	return { ...rest, properties: Object.fromEntries(members), additionalProperties: false };
}

const validators = new Map(
	parseAllDocuments(manifest).map((document) => {
		const { spec } = document.toJS();
		return [spec.names.kind, new Ajv({ strict: false }).compile(closed(spec.versions[0].schema.openAPIV3Schema))];
	}),
);

const owner = { id: "c1", podref: "default/pod", ifname: "net1" };

test.each([
	poolObject("10.0.0.0-24", "10.0.0.0/24", { "1": owner }),
	poolObject("empty", "10.0.0.0/24", {}),
	reservationObject("10.0.0.1", owner),
	slicePoolObject("rail", "10.0.0.0/16", "/26", [{ node: "", range: "10.0.0.0/26" }]),
])("an object of the kind $kind", (object) => {
	const validate = validators.get(object.kind)!;
	expect(validate(object), JSON.stringify(validate.errors)).toBe(true);
	expect(validate({ ...object, spec: { ...(object.spec as object), surplus: 1 } })).toBe(false);
	expect(validate({ ...object, spec: undefined, more: 1 })).toBe(false);
});
