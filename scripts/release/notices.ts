/**
 * The licences of what is linked in, which ask that their texts and their authors' names go along.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Part } from "./linked.ts";

/** Of a text that a package has: LICENSE, LICENSE-MIT, COPYING, NOTICE.txt. */
const NAME = /^(licen[cs]e|copying|copyright|notice)/i;

/** What compilers bring along has no such file everywhere. Sources: musl's COPYRIGHT, the README of rust-lang/rust. */
const COPYRIGHTS: Readonly<Record<string, string>> = {
	musl: "Copyright © 2005-2020 Rich Felker, et al. Under the MIT licence, whose text is above, with quickjs-ng.",
	"rust-std":
		"Copyright (c) The Rust Project Contributors. Under the MIT licence or the Apache License 2.0, whose texts are above.",
	glibc:
		"Copyright (C) the Free Software Foundation and others. Under the GNU Lesser General Public License 2.1 or later.",
};

export function notices(parts: readonly Part[]): string {
	return parts.map((part) => `${headOf(part)}\n\n${textOf(part)}\n`).join(`\n${"=".repeat(80)}\n\n`);
}

const headOf = ({ name, version, licence }: Part): string => `${name} ${version} (${licence})`;

function textOf({ name, directory }: Part): string {
	if (directory === undefined) {
		const copyright = COPYRIGHTS[name];
		if (copyright === undefined) throw new Error(`nobody says whose ${name} is`);
		return copyright;
	}
	const files = readdirSync(directory).filter((file) => NAME.test(file));
	if (files.length === 0) return authorsOf(directory);
	return files
		.sort()
		.map((file) => readFileSync(join(directory, file), "utf8").trimEnd())
		.join("\n\n");
}

/** Of a crate that comes without its licence's text. */
function authorsOf(directory: string): string {
	const [, list = ""] = /^authors = \[([^\]]*)\]/m.exec(readFileSync(join(directory, "Cargo.toml"), "utf8")) ?? [];
	const authors = [...list.matchAll(/"([^"]+)"/g)].map(([, author]) => author);
	if (authors.length === 0) throw new Error(`${directory} has neither the text of a licence nor authors`);
	return `Copyright (c) ${authors.join(", ")}. The text of the licence is above, with another part.`;
}
