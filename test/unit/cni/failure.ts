import { CniError } from "../../../lib/cni/error.ts";

/** The error of the protocol that `run` throws. */
export function failure(run: () => unknown): CniError {
	try {
		run();
	} catch (error) {
		if (error instanceof CniError) return error;
		throw error;
	}
	throw new Error("it succeeded");
}
