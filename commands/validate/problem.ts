/**
 * What is wrong in a file, and where.
 */
import type { Path } from "./tree.ts";

/** An error is refused by ADD, or by the runtime before it. A warning is legal, and most often a slip. */
export type Severity = "error" | "warning";

export interface Problem {
	readonly severity: Severity;
	readonly file: string;
	/** From 1; 0 where the file could not be read at all. */
	readonly line: number;
	/** In characters, from 1. */
	readonly column: number;
	/** In the configuration, or in the object that has it; "" for the file. */
	readonly path: string;
	readonly message: string;
	/** What to do; "" where the message says all. */
	readonly hint: string;
}

/** Puts a problem on the list: at `path` of the configuration that is looked at. */
export type Report = (severity: Severity, path: Path, message: string, hint?: string) => void;
