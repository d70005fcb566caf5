/**
 * Verbs that go on after an error (DEL, GC) and tell of all of them at the end.
 */
import { CniError, Code } from "./error.ts";

/** Runs a step; what it throws is kept in `failures`. */
export function attempt(failures: unknown[], step: () => void): void {
	try {
		step();
	} catch (error) {
		failures.push(error);
	}
}

/** Throws one failure as it is; several as one error with the first one's code. */
export function throwTogether(failures: readonly unknown[]): void {
	const [first] = failures;
	if (first === undefined) return;
	if (failures.length === 1) throw first;
	throw new CniError(first instanceof CniError ? first.code : Code.io, failures.map(sentence).join("; "));
}

export const sentence = (error: unknown): string =>
	engineLimit(error) ?? (error instanceof Error ? error.message : String(error));

/** Which limit of the engine `error` comes from (runtime/src/engine.rs has their sizes); undefined: from none. */
export function engineLimit(error: unknown): string | undefined {
	// It throws null where there is no memory for an error object either.
	if (
		error === null ||
		(error instanceof Error && error.name === "InternalError" && error.message.startsWith("out of memory"))
	) {
		return "out of memory: a call may use 256 MiB, and less where this process has a limit (ulimit -v)";
	}
	if (error instanceof RangeError && error.message.startsWith("Maximum call stack size")) {
		return "out of stack: nested too deeply for half of the stack of this process (ulimit -s), or for 1 MiB";
	}
	return undefined;
}
