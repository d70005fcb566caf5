import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "../../..");
const COMMENT = /^\s*(\/\/|\/?\*|#(?![[!]))/;

test("no comment of the code is wider than 120 columns, with tabs of four", () => {
	const files = execFileSync("git", ["ls-files", "*.ts", "*.rs", "*.c", "*.h", "scripts", "test/lab"], {
		cwd: ROOT,
		encoding: "utf8",
	});
	const wide = files
		.trim()
		.split("\n")
		.flatMap((file) =>
			readFileSync(join(ROOT, file), "utf8")
				.split("\n")
				.map((line, at) => ({ line, where: `${file}:${at + 1}` })),
		)
		.filter(({ line }) => COMMENT.test(line) && line.replaceAll("\t", "    ").length > 120)
		.map(({ where }) => where);
	expect(wide).toEqual([]);
});
