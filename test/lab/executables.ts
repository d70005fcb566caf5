/**
 * Which executable the tests run (BERTH_START): the one whose start is a heap image, the one without, that of arm64
 * in QEMU's user mode, or one with an image in a directory (an absolute path), where it was installed.
 */
import { readdirSync } from "node:fs";
import { isAbsolute } from "node:path";
import { fileURLToPath } from "node:url";

/** The directories with `berth` and its links, from the project's root. scripts/test.ts makes that of arm64. */
const DIRECTORIES = { image: "dist/bin", bytecode: "dist/bytecode", arm64: "build/arm64" };

type Start = keyof typeof DIRECTORIES;

const wanted = process.env.BERTH_START ?? "image";
if (!isAbsolute(wanted) && !Object.hasOwn(DIRECTORIES, wanted)) {
	throw new Error(`BERTH_START=${wanted}: ${Object.keys(DIRECTORIES).join(", ")}, or a directory`);
}
export const start = isAbsolute(wanted) ? "image" : (wanted as Start);

const fromRoot = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

export const binaries = isAbsolute(wanted) ? wanted : fromRoot(DIRECTORIES[start]);

/** Names. A build that goes on beside the tests has a directory there that begins with a dot. */
export const plugins = readdirSync(binaries).filter((name) => name !== "berth" && !name.startsWith("."));

/** Where the build has put them: for arm64, `binaries` are scripts, which run these in `emulator`. */
export const builtBinaries = start === "arm64" ? fromRoot("dist/aarch64-unknown-linux-gnu/bin") : binaries;

/** Debian's, statically linked. */
export const emulator = start === "arm64" ? "/usr/bin/qemu-aarch64-static" : undefined;
