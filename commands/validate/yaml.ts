/**
 * YAML as trees with places, one for each document, and where in the file the characters of a text are that stands in
 * it.
 */
import * as yaml from "js-yaml";
import { ReadError } from "./json.ts";
import type { Tree } from "./tree.ts";

/** What aliases may make of a document. No object of ours comes near it. */
const MAX_NODES = 100_000;

/** A document, or why it cannot be read. */
type YamlDocument = Tree | ReadError;

/** How the text at a place of the file is written: for `charactersOf`. Without quotes, and a block's first line. */
export interface Written {
	readonly start: number;
	readonly end: number;
	readonly style: yaml.ScalarStyle;
}

/** The documents of `text` that are not empty, and how each text in them is written, by its tree. */
export function readYaml(text: string, written: Map<Tree, Written>): YamlDocument[] {
	const whole = parse({ source: text, offset: 0 });
	const pieces = whole instanceof ReadError ? piecesOf(text).map(parse) : [whole];
	return pieces.flatMap((piece) => (piece instanceof ReadError ? [piece] : readPiece(piece, written)));
}

/** A part of the file, and where it begins. */
interface Piece {
	readonly source: string;
	readonly offset: number;
}

interface Parsed extends Piece {
	readonly events: readonly yaml.Event[];
}

function parse(piece: Piece): Parsed | ReadError {
	try {
		return { ...piece, events: yaml.parseEvents(piece.source, {}) };
	} catch (error) {
		return refusalOf(error, piece);
	}
}

function refusalOf(error: unknown, { offset }: Piece): ReadError {
	if (error instanceof ReadError) return error;
	if (!(error instanceof yaml.YAMLException)) throw error;
	const reason = error.reason.startsWith("nesting exceeded") ? "it is nested too deeply" : error.reason;
	return new ReadError(`not YAML: ${reason}`, offset + (error.mark?.position ?? 0));
}

/**
 * The text cut before each line "---", which begins a document wherever it stands, and behind each line "...", which
 * ends one: what is wrong with one document says nothing of the next. Directives and comments before a document belong
 * to it.
 */
function piecesOf(text: string): Piece[] {
	const pieces: Piece[] = [];
	let [source, offset] = ["", 0];
	for (const piece of text.split(/(?<![^\n])(?=---(?:\s|$))|(?<=(?<![^\n])\.{3}(?:[ \t][^\n]*)?\r?\n)/)) {
		source += piece;
		if (/^(?:[ \t\r]*(?:[%#][^\n]*)?\n)*$/.test(piece)) continue;
		pieces.push({ source, offset });
		offset += source.length;
		source = "";
	}
	return pieces;
}

interface Reader extends Parsed {
	readonly written: Map<Tree, Written>;
	/** Which event comes next. */
	next: number;
	readonly document: yaml.DocumentEvent;
	/** What has an anchor, and of how many nodes it is. */
	readonly anchors: Map<string, { readonly tree: Tree; readonly size: number }>;
	/** Nodes that may still come. */
	left: number;
}

function readPiece(piece: Parsed, written: Map<Tree, Written>): YamlDocument[] {
	return [...piece.events.entries()].flatMap(([index, document]): YamlDocument[] => {
		if (document.type !== yaml.EVENT_ID.DOCUMENT || isNothing(piece.events[index + 1]!)) return [];
		try {
			const reader = { ...piece, written, next: index + 1, document, anchors: new Map(), left: MAX_NODES };
			return [toTree(reader, piece.offset)];
		} catch (error) {
			return [refusalOf(error, piece)];
		}
	});
}

const isNothing = (event: yaml.Event): boolean =>
	event.type === yaml.EVENT_ID.SCALAR && event.valueStart < 0 && event.tagStart < 0 && event.anchorStart < 0;

/** The next value. `near`: the place of one that nothing is written of. */
function toTree(reader: Reader, near: number): Tree {
	const event = reader.events[reader.next++]!;
	if (event.type === yaml.EVENT_ID.ALIAS) return aliased(event.anchorStart, event.anchorEnd, reader);
	const { left } = reader;
	spend(1, near, reader);
	const tree = treeOf(event, reader, near);
	if ("anchorStart" in event && event.anchorStart >= 0) {
		const name = reader.source.slice(event.anchorStart, event.anchorEnd);
		reader.anchors.set(name, { tree, size: left - reader.left });
	}
	return tree;
}

function spend(nodes: number, at: number, reader: Reader): void {
	reader.left -= nodes;
	if (reader.left >= 0) return;
	throw new ReadError(`more than ${MAX_NODES} values, aliases counted as often as they stand`, at);
}

function aliased(start: number, end: number, reader: Reader): Tree {
	const name = reader.source.slice(start, end);
	const at = reader.offset + start - 1;
	const known = reader.anchors.get(name);
	if (known === undefined) throw new ReadError(`there is no anchor "${name}"`, at);
	spend(known.size, at, reader);
	return known.tree;
}

function treeOf(event: yaml.Event, reader: Reader, near: number): Tree {
	if (event.type === yaml.EVENT_ID.SCALAR) return scalarOf(event, reader, near);
	const at = "start" in event ? reader.offset + event.start : near;
	if (event.type === yaml.EVENT_ID.SEQUENCE) {
		const items: Tree[] = [];
		while (!isEnd(reader)) items.push(toTree(reader, at));
		return { kind: "list", at, items };
	}
	const members = [];
	while (!isEnd(reader)) {
		const key = toTree(reader, at);
		const name = key.kind === "scalar" ? String(key.value) : "";
		members.push({ key: name, keyAt: key.at, value: toTree(reader, key.at) });
	}
	return { kind: "object", at, members };
}

/** Whether what has been begun ends here; goes past its end. */
function isEnd(reader: Reader): boolean {
	if (reader.events[reader.next]?.type !== yaml.EVENT_ID.POP) return false;
	reader.next++;
	return true;
}

function scalarOf(event: yaml.ScalarEvent, { source, offset, document, written }: Reader, near: number): Tree {
	const value = scalarValue(event, document, source);
	const isPlain =
		typeof value === "string" || typeof value === "number" || typeof value === "boolean" || value === null;
	const { valueStart: start, valueEnd: end, style } = event;
	const at = start < 0 ? near : offset + beginOf(source, start, style);
	const tree: Tree = { kind: "scalar", at, value: isPlain ? value : String(value) };
	written.set(tree, { start: offset + start, end: offset + end, style });
	return tree;
}

/** With a tag that nobody here knows (`!Ref`), its text. */
function scalarValue(event: yaml.ScalarEvent, document: yaml.DocumentEvent, source: string): unknown {
	const construct = (scalar: yaml.ScalarEvent) =>
		yaml.constructFromEvents([document, scalar, { type: yaml.EVENT_ID.POP }], { source })[0];
	try {
		return construct(event);
	} catch (error) {
		if (!(error instanceof yaml.YAMLException) || !error.reason.startsWith("unknown scalar tag")) throw error;
		return String(construct({ ...event, tagStart: -1, tagEnd: -1 }) ?? "");
	}
}

/** Where a person sees a text begin whose first character is at `start`: at its quote, or at the sign of a block. */
function beginOf(source: string, start: number, style: yaml.ScalarStyle): number {
	if (style === yaml.SCALAR_STYLE.PLAIN) return start;
	if (style === yaml.SCALAR_STYLE.SINGLE_QUOTED || style === yaml.SCALAR_STYLE.DOUBLE_QUOTED) return start - 1;
	const line = source.lastIndexOf("\n", start - 2) + 1;
	return line + source.slice(line, start).search(/[|>][-+\d]*\s*(?:\s#.*\s*)?$/);
}

/** Of letters behind a backslash of a double-quoted text: how many hexadecimal digits follow. */
const HEX_DIGITS: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };

/**
 * Where in `file` each character of `value` is, which stands there as `written` says. White space, which YAML folds,
 * may be a little off; all else is exact.
 */
export function charactersOf(file: string, { start, end, style }: Written, value: string): (offset: number) => number {
	const places = new Uint32Array(value.length + 1);
	let at = start;
	for (let index = 0; index < value.length; index++) {
		const character = value[index]!;
		if (!isSpace(character)) at = skipSpace(file, at, end, style);
		places[index] = at;
		if (isSpace(character)) continue;
		if (style === yaml.SCALAR_STYLE.DOUBLE_QUOTED && file[at] === "\\") at += 2 + (HEX_DIGITS[file[at + 1]!] ?? 0);
		else at += style === yaml.SCALAR_STYLE.SINGLE_QUOTED && character === "'" ? 2 : 1;
	}
	places[value.length] = at;
	return (offset) => places[Math.min(offset, value.length)]!;
}

const isSpace = (character: string | undefined): boolean =>
	character === " " || character === "\n" || character === "\t" || character === "\r";

function skipSpace(file: string, start: number, end: number, style: yaml.ScalarStyle): number {
	let at = start;
	while (at < end) {
		const isEscape =
			style === yaml.SCALAR_STYLE.DOUBLE_QUOTED && file[at] === "\\" && "ntr \n\t".includes(file[at + 1]!);
		if (!isEscape && !isSpace(file[at])) break;
		at += isEscape ? 2 : 1;
	}
	return at;
}
