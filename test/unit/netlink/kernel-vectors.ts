/**
 * The messages of vectors.c and its like, which a C compiler makes from the kernel's headers.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export function compileVectors(file = "vectors.c"): Map<string, Uint8Array> {
	const directory = mkdtempSync(join(tmpdir(), "berth-vectors-"));
	try {
		const program = join(directory, "vectors");
		const source = fileURLToPath(new URL(file, import.meta.url));
		execFileSync("cc", ["-Wall", "-Wextra", "-Werror", "-o", program, source]);
		const lines = execFileSync(program, { encoding: "utf8" }).trimEnd().split("\n");
		return new Map(
			lines.map((line) => {
				const [name, hex] = line.split(" ");
				return [name!, Uint8Array.from(Buffer.from(hex!, "hex"))];
			}),
		);
	} finally {
		rmSync(directory, { recursive: true });
	}
}
