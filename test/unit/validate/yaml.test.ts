/**
 * YAML as `berth validate` reads it, against another reader of YAML: the same values at the same places.
 */
import { globSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type Document, isAlias, isMap, isNode, isScalar, isSeq, parseAllDocuments, type Scalar } from "yaml";
import { ReadError } from "../../../commands/validate/json.ts";
import { type Tree, toJson } from "../../../commands/validate/tree.ts";
import { charactersOf, readYaml, type Written } from "../../../commands/validate/yaml.ts";

const read = (text: string) => readYaml(text, new Map());
const valuesOf = (text: string) =>
	read(text).map((found) => (found instanceof ReadError ? found.message : toJson(found)));

/** Each value's place and its key's, in order; of what is nothing, no place. */
function placesOf(tree: Tree, path = "."): string[] {
	const own = tree.kind === "scalar" && tree.value === null ? [] : [`${path} ${tree.at}`];
	if (tree.kind === "scalar") return own;
	if (tree.kind === "list") return [...own, ...tree.items.flatMap((item, index) => placesOf(item, `${path}/${index}`))];
	return [...own, ...tree.members.flatMap(({ key, keyAt, value }) => placesOf(value, `${path}/${key} ${keyAt}`))];
}

function expectedPlaces(document: Document.Parsed): string[] {
	const each = (found: unknown, path: string): string[] => {
		const node = isAlias(found) ? found.resolve(document) : found;
		if (!isNode(node) || (isScalar(node) && node.value === null)) return [];
		const own = `${path} ${node.range![0]}`;
		if (isSeq(node)) return [own, ...node.items.flatMap((item, index) => each(item, `${path}/${index}`))];
		if (!isMap<Scalar>(node)) return [own];
		return [own, ...node.items.flatMap(({ key, value }) => each(value, `${path}/${key.value} ${key.range![0]}`))];
	};
	return each(document.contents, ".");
}

const FILES = globSync("{manifests,examples}/**/*.yaml").filter((name) => !name.includes("/chart/templates/"));

describe("documents", () => {
	it.each<readonly [string, string]>([
		...FILES.map((name) => [name, readFileSync(name, "utf8")] as const),
		["plain", "a: 1\nb: -0x1f\nc: 0o17\nd: 1.5e3\ne: .inf\nf: true\ng: ~\nh:\ni: no\nj: 2020-01-01\nk: '1'\n"],
		["quoted", `a: "x\\ty \\u00e9 \\x41\\\n   z"\nb: 'it''s\n  folded'\n"c d": e\n`],
		["blocks", "a: |\n  one\n    two\n\nb: >-  # why | not > so\n\n  three\n  four\nc: |2+\n   five\n\nd: end\n"],
		["flow", 'a: [1, {b: c, "d": [e]}, [],\n  f]\ng: {h, i: }\n'],
		["lists", "- a\n- - b\n  - c: d\n    e: f\n-\n- g\n"],
		["anchors", "a: &x {b: 1}\nc: *x\nd: &y e\nf: [*y, *x]\n"],
		["tags", "a: !!str 1\nb: !!int '2'\nc: ! 3\n"],
		["tags that nobody here knows", "a: !Ref z\nb: !!set c\nc: !Ref ''\nd: !Ref 12\ne: !Ref 'f'\n"],
		["lines that end in CR LF", "a: 1\r\nb:\r\n  - c\r\n---\r\nd: 'e\r\n  f'\r\n"],
		["a byte order mark", "\uFEFFa: 1\n---\nb: 2\n"],
		["many documents", "# first\na: 1\n---\n---\n# nothing\n---\nb: |\n  --- no marker\n  c\n...\nd: 2\n--- e\n"],
		["directives", "%YAML 1.2\n---\na: 1\n...\n# then\n%TAG !x! tag:yaml.org,2002:\n---\nb: !x!str 1\n"],
		["nothing", ""],
		["comments", "# one\n\n# two\n"],
	])("%s", (_, text) => {
		const documents = [...parseAllDocuments(text)].filter((document) => document.toJS() !== null);
		expect(valuesOf(text)).toEqual(documents.map((document) => document.toJS()));
		const places = read(text).map((tree) => (tree instanceof ReadError ? tree.message : placesOf(tree)));
		expect(places).toEqual(documents.map(expectedPlaces));
	});

	it("are read each by itself: one that is wrong has its place, and the others are read", () => {
		const text = "a: 1\n---\nb: [\n---\nc: *d\n---\ne: 2\n";
		const [a, b, c, e] = read(text);
		expect([a, e].map((tree) => toJson(tree as Tree))).toEqual([{ a: 1 }, { e: 2 }]);
		expect(b).toMatchObject({ message: expect.stringMatching(/^not YAML: /), at: text.indexOf("---\nc") });
		expect(c).toMatchObject({ message: 'there is no anchor "d"', at: text.indexOf("*d") });
	});

	it.each([
		["a directive", "a: 1\n...\n%YAML 1.2\n---\nb: b: c\n"],
		["no marker", "a: 1\n... # end\nb: b: c\n"],
	])("that end with ... are read whatever follows: %s", (_, text) => {
		expect(valuesOf(text)).toEqual([{ a: 1 }, expect.stringMatching(/^not YAML: /)]);
	});

	it("have an alias only of what is before it, and not of what it is in", () => {
		expect(valuesOf("a: &x 1\nb: *x\nc: &x 2\nd: *x\n")).toEqual([{ a: 1, b: 1, c: 2, d: 2 }]);
		expect(valuesOf("a: &x [*x]\n")).toEqual(['there is no anchor "x"']);
	});

	it("keep a key that stands twice", () => {
		const [tree] = read("a: 1\na: 2\n");
		expect(tree).toMatchObject({
			members: [
				{ key: "a", keyAt: 0 },
				{ key: "a", keyAt: 5 },
			],
		});
	});
});

describe("characters of a text are found where they are written", () => {
	it.each([
		["plain", "key: a{b}c\n"],
		["in single quotes", "key: 'a''{b}c'\n"],
		["in double quotes", 'key: "a\\n\\u0041{b}c"\n'],
		["in a block", "key: |\n  a\n  {b}c\n"],
		["in a folded block", "key: >-\n  a\n  {b}c\n"],
		["in a later document", "x: 1\n---\nkey: |\n  a\n  {b}c\n"],
	])("%s", (_, file) => {
		const written = new Map<Tree, Written>();
		readYaml(file, written);
		const [[tree, how]] = [...written].filter(
			([{ kind, ...rest }]) => kind === "scalar" && String((rest as { value?: unknown }).value).includes("{"),
		) as [[Tree, Written]];
		const value = String(toJson(tree));
		const places = charactersOf(file, how, value);
		for (const character of "{b}c") expect(file[places(value.indexOf(character))]).toBe(character);
		expect(places(value.indexOf("{"))).toBe(file.indexOf("{"));
	});
});
