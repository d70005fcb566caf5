/**
 * The process around a plugin: what `main.ts` of every plugin calls.
 */
import { runPlugin } from "../cni/dispatch.ts";
import type { Plugin } from "../cni/types.ts";
import * as sys from "./sys.ts";

/** More than any configuration with every attachment of a node in it (GC sends about 100 bytes for each). */
const MAX_STDIN = 16 * 1024 * 1024;

/** <poll.h> */
const POLLNVAL = 0x20;

/** Runs the verb that the environment names and ends the process. The plugin's code is the embedded module `verbs/<name>`. */
export function pluginMain({ name, about }: { name: string; about: string }): never {
	const status = runPlugin(
		{
			variables: sys.environment(),
			readStdin,
			decodeUtf8: sys.decodeUtf8,
			writeStdout: (text) => sys.write(1, text),
			writeStderr,
			isOwnNetns,
		},
		{ name, about, load: () => (sys.loadModule(`verbs/${name}`) as { plugin: Plugin }).plugin },
	);
	sys.exit(status);
}

/**
 * A standard descriptor that came closed is opened on /dev/null first, as Go's and Rust's start-up code do: otherwise the first
 * file or socket that we open would take its number, and get our log or our answer written into it.
 */
function readStdin(): Uint8Array {
	const closed = sys
		.poll(
			[0, 1, 2].map((fd) => ({ fd, events: 0 })),
			0,
		)
		.map((events) => (events & POLLNVAL) !== 0);
	for (const fd of [0, 1, 2]) if (closed[fd]) sys.openat(sys.AT_FDCWD, "/dev/null", sys.O_RDWR, 0);
	return sys.readAll(0, MAX_STDIN);
}

/** A log that nobody reads (closed, a full disk) must not change the answer. */
function writeStderr(text: string): void {
	try {
		sys.write(2, text);
	} catch (error) {
		if (!sys.isSystemError(error)) throw error;
	}
}

function isOwnNetns(path: string): boolean {
	let sandbox: sys.FileStatus;
	try {
		sandbox = sys.statat(sys.AT_FDCWD, path, true);
	} catch (error) {
		if (sys.isSystemError(error)) return false;
		throw error;
	}
	const own = sys.statat(sys.AT_FDCWD, "/proc/self/ns/net", true);
	return sandbox.dev === own.dev && sandbox.ino === own.ino;
}
