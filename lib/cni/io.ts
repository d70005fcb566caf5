/**
 * What the protocol needs of the process.
 */
import { sentence } from "./failures.ts";
import type { JsonObject } from "./types.ts";

/**
 * The process, as far as the protocol needs it. Failing functions throw what the host throws (an Error with `errno`).
 */
export interface PluginIo {
	/** An environment variable, if there is one of this name. */
	variable(name: string): string | undefined;
	/** The file name that the process was called by. */
	calledAs(): string;
	/** All of stdin. */
	readStdin(): Uint8Array;
	decodeUtf8(bytes: Uint8Array): string;
	/** Whether keys in an object of a JSON text may be the same but for the case of letters. */
	mayRepeatKeys(json: Uint8Array): boolean;
	/** JSON.stringify, in lines indented by 4, for answers. */
	formatAnswer(answer: JsonObject): string;
	writeStdout(text: string): void;
	writeStderr(text: string): void;
	/** Whether `path` is this process's own network namespace; false where it cannot be opened. */
	isOwnNetns(path: string): boolean;
	/** From here on locks are waited for as long as this configuration says. */
	useLockTimeout(config: JsonObject): void;
	/** Ends the process with status 0, if that is quicker here than to return: nothing has to be freed. */
	succeed(): void;
}

/** The answer, or a part of it, has not reached stdout: nothing more may be written there. */
export class AnswerLostError extends Error {}

/** Writes the one document of a call. Throws AnswerLostError. */
export function writeAnswer(io: PluginIo, text: string): void {
	try {
		io.writeStdout(text);
	} catch (error) {
		throw new AnswerLostError(`the answer cannot be written to stdout: ${sentence(error)}`);
	}
}
