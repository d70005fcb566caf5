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

export const sentence = (error: unknown): string => (error instanceof Error ? error.message : String(error));
