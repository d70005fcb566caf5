/**
 * Which executable the tests run: the one whose start is a heap image, or (BERTH_START=bytecode) the one without.
 */
import { fileURLToPath } from "node:url";

export const start: "image" | "bytecode" = process.env.BERTH_START === "bytecode" ? "bytecode" : "image";

/** The folder with `berth` and its links. */
export const binaries = fileURLToPath(new URL(`../../dist/${start === "image" ? "bin" : "bytecode"}`, import.meta.url));
