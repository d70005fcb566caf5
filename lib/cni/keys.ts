/**
 * Go's case-insensitive keys: `{"IPAM":{"Subnet":...}}` works with every Go plugin, so it works here, in this one
 * place.
 */
import { isObject } from "./json.ts";
import type { JsonObject, JsonValue } from "./types.ts";

/** The keys of a schema, as far as there are any below. */
interface KeyTree {
	/**
	 * The members of an object, spelled as the schema spells them. Without a prototype, where its keys may be anything.
	 */
	readonly members?: { readonly [key: string]: KeyTree };
	/** The members that the schema does not name (a map), or the items of a list. */
	readonly items?: KeyTree;
}

/** As Go's encoding/json folds: letters without case, the Kelvin sign as k, the long s as s. */
export function fold(key: string): string {
	return key.toUpperCase().toLowerCase();
}

/** How `members` spell `key`, which none of them is to the letter; undefined where it is none of them at all. */
function spelling(key: string, members: object = {}): string | undefined {
	let folded: string | undefined;
	for (const name in members) {
		if (name.length !== key.length) continue;
		folded ??= fold(key);
		if (fold(name) === folded) return name;
	}
	return undefined;
}

/**
 * `value` with the schema's spelling of every key that it knows, and without known members that are null: null is "not
 * set" in Go. Where two spellings of one key meet, the later one wins, as in Go. What needs no change is not copied.
 */
export function foldKeys(value: JsonValue, tree: KeyTree): JsonValue {
	if (Array.isArray(value)) return tree.items === undefined ? value : foldItems(value, tree.items);
	if (!isObject(value)) return value;
	const { members, items } = tree;
	for (const key in value) {
		const before = value[key]!;
		const below = members?.[key];
		if (below === undefined ? spelling(key, members) === undefined : before !== null) {
			const inner = below ?? items;
			if (inner === undefined || typeof before !== "object" || foldKeys(before, inner) === before) continue;
		}
		// Seldom: then all of it once more, into a copy.
		return copyFolded(value, tree);
	}
	return value;
}

function copyFolded(value: JsonObject, { members, items }: KeyTree): JsonObject {
	const folded: JsonObject = {};
	for (const key in value) {
		const before = value[key]!;
		const name = members?.[key] === undefined ? spelling(key, members) : key;
		if (name !== undefined && before === null) continue;
		const below = name === undefined ? items : members![name];
		define(folded, name ?? key, below === undefined ? before : foldKeys(before, below));
	}
	return folded;
}

function foldItems(list: JsonValue[], tree: KeyTree): JsonValue[] {
	for (const item of list) {
		if (foldKeys(item, tree) !== item) return list.map((each) => foldKeys(each, tree));
	}
	return list;
}

/**
 * The member `name`, however it is spelled, of an object in which no key stands twice; undefined where it is not set.
 * `name` is none that every object has.
 */
export function memberOf(object: JsonObject, name: string): JsonValue | undefined {
	const key = object[name] === undefined ? spelling(name, object) : name;
	return key === undefined ? undefined : (object[key] ?? undefined);
}

/** A plain assignment to "__proto__" would set the prototype; JSON.parse makes it a member, and so do we. */
export function define(object: JsonObject, key: string, value: JsonValue): void {
	if (key !== "__proto__") object[key] = value;
	else Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
}
