/**
 * What the protocol needs of the process.
 */

/** The process, as far as the protocol needs it. Failing functions throw what the host throws (an Error with `errno`). */
export interface PluginIo {
	readonly variables: Readonly<Record<string, string>>;
	/** All of stdin. */
	readStdin(): Uint8Array;
	decodeUtf8(bytes: Uint8Array): string;
	writeStdout(text: string): void;
	writeStderr(text: string): void;
	/** Whether `path` is this process's own network namespace; false where it cannot be opened. */
	isOwnNetns(path: string): boolean;
}
