/**
 * YAML as trees with places, one for each document, and where in the file the characters of a text are that stands in
 * it.
 */
import {
	type Document,
	isAlias,
	isMap,
	isScalar,
	isSeq,
	type Node,
	parseAllDocuments,
	type Scalar,
	type YAMLError,
} from "yaml";
import { ReadError } from "./json.ts";
import type { Tree } from "./tree.ts";

/** What aliases may make of a document. No object of ours comes near it. */
const MAX_NODES = 100_000;

/** A document, or why it cannot be read. */
type YamlDocument = Tree | ReadError;

/** How the text at a place of the file is written: for `charactersOf`. */
export interface Written {
	readonly start: number;
	readonly end: number;
	readonly style: Scalar["type"];
}

/** The documents of `text` that are not empty, and how each text in them is written, by its tree. */
export function readYaml(text: string, written: Map<Tree, Written>): YamlDocument[] {
	const documents: Document.Parsed[] = [...parseAllDocuments(text, { uniqueKeys: false, logLevel: "silent" })];
	return documents.flatMap((document): YamlDocument[] => {
		const [error] = document.errors;
		if (error !== undefined) return [new ReadError(`not YAML: ${reasonOf(error)}`, error.pos[0])];
		if (document.contents === null) return [];
		const reader = { document, written, left: MAX_NODES };
		try {
			return [toTree(document.contents, reader)];
		} catch (failure) {
			if (failure instanceof ReadError) return [failure];
			throw failure;
		}
	});
}

/** Without the place, which is said apart, and the lines of the file. */
function reasonOf({ message }: YAMLError): string {
	if (message.startsWith("Maximum call stack size")) return "it is nested too deeply";
	return message.split("\n", 1)[0]!.replace(/ at line \d+, column \d+:?$/, "");
}

interface Reader {
	readonly document: Document;
	readonly written: Map<Tree, Written>;
	/** Nodes that may still come. */
	left: number;
}

function toTree(node: Node | null, reader: Reader): Tree {
	const at = node?.range?.[0] ?? 0;
	reader.left--;
	if (reader.left < 0) throw new ReadError(`more than ${MAX_NODES} values, aliases counted as often as they stand`, at);
	if (isAlias(node)) {
		const target = node.resolve(reader.document);
		if (target === undefined) throw new ReadError(`there is no anchor "${node.source}"`, at);
		return toTree(target, reader);
	}
	if (isMap(node)) {
		const members = node.items.map(({ key, value }) => ({
			key: isScalar(key) ? String(key.value) : "",
			keyAt: (key as Node | null)?.range?.[0] ?? at,
			value: toTree(value as Node | null, reader),
		}));
		return { kind: "object", at, members };
	}
	if (isSeq(node)) return { kind: "list", at, items: node.items.map((item) => toTree(item as Node | null, reader)) };
	if (!isScalar(node)) return { kind: "scalar", at, value: null };
	const tree: Tree = { kind: "scalar", at, value: scalarOf(node.value) };
	const [start, end] = node.range ?? [at, at];
	reader.written.set(tree, { start, end, style: node.type });
	return tree;
}

function scalarOf(value: unknown): string | number | boolean | null {
	const isPlain =
		typeof value === "string" || typeof value === "number" || typeof value === "boolean" || value === null;
	return isPlain ? value : String(value);
}

/** Of letters behind a backslash of a double-quoted text: how many hexadecimal digits follow. */
const HEX_DIGITS: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };

/**
 * Where in `file` each character of `value` is, which stands there as `written` says. White space, which YAML folds,
 * may be a little off; all else is exact.
 */
export function charactersOf(file: string, { start, end, style }: Written, value: string): (offset: number) => number {
	const places = new Uint32Array(value.length + 1);
	const isBlock = style === "BLOCK_LITERAL" || style === "BLOCK_FOLDED";
	const isQuoted = style === "QUOTE_DOUBLE" || style === "QUOTE_SINGLE";
	let at = isBlock ? file.indexOf("\n", start) + 1 : start + (isQuoted ? 1 : 0);
	for (let index = 0; index < value.length; index++) {
		const character = value[index]!;
		if (!isSpace(character)) at = skipSpace(file, at, end, style);
		places[index] = at;
		if (isSpace(character)) continue;
		if (style === "QUOTE_DOUBLE" && file[at] === "\\") at += 2 + (HEX_DIGITS[file[at + 1]!] ?? 0);
		else at += style === "QUOTE_SINGLE" && character === "'" ? 2 : 1;
	}
	places[value.length] = at;
	return (offset) => places[Math.min(offset, value.length)]!;
}

const isSpace = (character: string | undefined): boolean =>
	character === " " || character === "\n" || character === "\t" || character === "\r";

function skipSpace(file: string, start: number, end: number, style: Scalar["type"]): number {
	let at = start;
	while (at < end) {
		const isEscape = style === "QUOTE_DOUBLE" && file[at] === "\\" && "ntr \n\t".includes(file[at + 1]!);
		if (!isEscape && !isSpace(file[at])) break;
		at += isEscape ? 2 : 1;
	}
	return at;
}
