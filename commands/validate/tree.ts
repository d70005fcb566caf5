/**
 * A document with the place of each of its parts, whatever it was written in.
 */
import { define } from "../../lib/cni/keys.ts";
import type { JsonObject, JsonValue } from "../../lib/cni/types.ts";

/** A value; `at` is where it begins in the file, in UTF-16 units. */
export type Tree =
	| { readonly kind: "scalar"; readonly at: number; readonly value: string | number | boolean | null }
	| { readonly kind: "list"; readonly at: number; readonly items: readonly Tree[] }
	| ObjectTree;

export interface ObjectTree {
	readonly kind: "object";
	readonly at: number;
	/** In order; a key may stand twice. */
	readonly members: readonly Member[];
}
export interface Member {
	readonly key: string;
	readonly keyAt: number;
	readonly value: Tree;
}

export type Path = readonly (string | number)[];

/** As JSON.parse makes it: of two members of one key the last counts. */
export function toJson(tree: Tree): JsonValue {
	if (tree.kind === "scalar") return tree.value;
	if (tree.kind === "list") return tree.items.map(toJson);
	const object: JsonObject = {};
	for (const { key, value } of tree.members) define(object, key, toJson(value));
	return object;
}

/** The member `key`; of several the last. In any case of letters, since that is how configurations are read. */
export function memberOf(tree: Tree | undefined, key: string): Member | undefined {
	if (tree?.kind !== "object") return undefined;
	const wanted = key.toLowerCase();
	return (
		tree.members.findLast((member) => member.key === key) ??
		tree.members.findLast((member) => member.key.toLowerCase() === wanted)
	);
}

/** The text of the member `key`, or undefined where that is no text. */
export function textOf(tree: Tree | undefined, key: string): string | undefined {
	const value = memberOf(tree, key)?.value;
	return value?.kind === "scalar" && typeof value.value === "string" ? value.value : undefined;
}

/** The items of the member `key`; none where it is no list. */
export function itemsOf(tree: Tree | undefined, key: string): readonly Tree[] {
	const value = memberOf(tree, key)?.value;
	return value?.kind === "list" ? value.items : [];
}

/** What stands at `path`; undefined where there is nothing. */
function find(tree: Tree, path: Path): Tree | undefined {
	let found: Tree | undefined = tree;
	for (const key of path) {
		if (typeof key === "number") found = found?.kind === "list" ? found.items[key] : undefined;
		else found = memberOf(found, key)?.value;
	}
	return found;
}

/** Where a person looks for what `path` means: its key or item, or the nearest thing above that is there. */
export function placeOf(tree: Tree, path: Path): number {
	for (let length = path.length; length > 0; length--) {
		const last = path[length - 1]!;
		const above = find(tree, path.slice(0, length - 1));
		const at = typeof last === "string" ? memberOf(above, last)?.keyAt : find(tree, path.slice(0, length))?.at;
		if (at !== undefined) return at;
	}
	return tree.at;
}
