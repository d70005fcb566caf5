/**
 * Keys that no plugin reads, that stand twice, or that are spelled in another case than the documented one.
 */
import type { Validator } from "../../lib/cni/config.ts";
import { fold } from "../../lib/cni/keys.ts";
import { nearest } from "../../lib/cni/nearest.ts";
import type { Report } from "./problem.ts";
import type { Member, Path, Tree } from "./tree.ts";

/** Reports keys of the object `tree`, at `path`, and below. `reader` is whose keys they are, for sentences. */
export function reportKeys(
	tree: Tree,
	rule: Validator | undefined,
	reader: string,
	report: Report,
	path: Path = [],
): void {
	if (tree.kind === "list") {
		for (const [index, item] of tree.items.entries()) reportKeys(item, rule?.items, reader, report, [...path, index]);
		return;
	}
	if (tree.kind !== "object") return;
	reportRepeated(tree.members, report, path);
	for (const { key, value } of tree.members) {
		const name = rule?.members && reportKey(key, rule.members, reader, report, path);
		reportKeys(value, name === undefined ? rule?.items : rule?.members?.[name], reader, report, [...path, key]);
	}
}

/** Objects that others may add to: their other members are none of ours. */
const OPEN = ["args", "cni", "runtimeConfig", "prevResult", "capabilities"];

/** The name that `key` is read as; undefined where it is not read. */
function reportKey(
	key: string,
	members: NonNullable<Validator["members"]>,
	reader: string,
	report: Report,
	path: Path,
): string | undefined {
	if (Object.hasOwn(members, key)) return key;
	const names = Object.keys(members);
	const folded = names.find((name) => fold(name) === fold(key));
	if (folded !== undefined) {
		report("warning", [...path, key], `key ${key} is read as ${folded}`, `write "${folded}"`);
		return folded;
	}
	if (names.length === 0 || OPEN.includes(String(path.at(-1)))) return undefined;
	const meant = nearest(key, names);
	const hint = meant === undefined ? "" : `did you mean "${meant}"?`;
	report("warning", [...path, key], `${reader} has no key "${key}": it is not read`, hint);
	return undefined;
}

function reportRepeated(members: readonly Member[], report: Report, path: Path): void {
	const seen = new Map<string, string>();
	for (const { key } of members) {
		const before = seen.get(fold(key));
		seen.set(fold(key), key);
		if (before === undefined) continue;
		const message = before === key ? `key ${key} stands twice in one object` : `keys ${before} and ${key} are one key`;
		report("error", [...path, key], message, "leave one of them");
	}
}
