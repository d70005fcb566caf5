/**
 * What a person should know and the answer has no place for. The runtime copies it to its log.
 */
import * as sys from "./sys.ts";

/** A log that cannot be written (closed, a full disk) must not change the answer: that is why nothing is thrown. */
export function writeStderr(text: string): void {
	sys.failureOf(() => sys.write(2, text));
}
