/**
 * Which executable the tests run (BERTH_START): the one whose start is a heap image, the one without, or that of arm64
 * in QEMU's user mode.
 */
import { fileURLToPath } from "node:url";

/** The folders with `berth` and its links, from the project's root. scripts/test.ts makes that of arm64. */
const FOLDERS = { image: "dist/bin", bytecode: "dist/bytecode", arm64: "build/arm64" };

type Start = keyof typeof FOLDERS;

const wanted = process.env.BERTH_START ?? "image";
if (!Object.hasOwn(FOLDERS, wanted)) throw new Error(`BERTH_START=${wanted}: ${Object.keys(FOLDERS).join(", ")}`);
export const start = wanted as Start;

export const binaries = fileURLToPath(new URL(`../../${FOLDERS[start]}`, import.meta.url));
