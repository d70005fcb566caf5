import { globSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { expect, it } from "vitest";
import { cycles } from "../../../scripts/rooms.ts";

const SOURCES = "runtime/src";
const files = globSync(`${SOURCES}/**/*.rs`);

/** The file of the module `path`, or of the one that an item of that path is in. */
function fileOf(path: string): string {
	const tried = [path, dirname(path)].flatMap((module) => [`${module}.rs`, `${module}/mod.rs`]);
	return tried.find((file) => files.includes(file)) ?? `${SOURCES}/main.rs`;
}

/** The module that the file is, as a path without an ending. */
const moduleOf = (file: string): string => file.replace(/(\/mod)?\.rs$/, "");

/** What a file of the host names of the others: `mod a;`, `super::a`, `crate::{a, b::c}`. */
function uses(file: string): string[] {
	const root = { crate: SOURCES, super: dirname(moduleOf(file)) };
	const source = readFileSync(file, "utf8");
	const parts = [...source.matchAll(/^mod (\w+);/gm)].map((match) => fileOf(`${dirname(file)}/${match[1]}`));
	const others = [...source.matchAll(/\b(crate|super)::(?:\{([^;]*)\}|(\w+(?:::\w+)?))/g)].flatMap((match) => {
		const names = match[2]?.replaceAll(/\{[^}]*\}/g, "").split(",") ?? [match[3]!];
		return names.map((name) => fileOf(`${root[match[1] as keyof typeof root]}/${name.trim().replaceAll("::", "/")}`));
	});
	return [...parts, ...others];
}

it("no file of the host needs one that needs it", () => {
	const edges = files.flatMap((file) => uses(file).map((to) => [file, to] as const));
	expect(edges).toContainEqual([`${SOURCES}/image.rs`, `${SOURCES}/engine.rs`]);
	expect(edges).toContainEqual([`${SOURCES}/native/call.rs`, `${SOURCES}/native/errors.rs`]);
	expect(cycles(edges)).toEqual([]);
});
