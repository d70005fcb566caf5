/**
 * The process around a plugin: what `main.ts` of every plugin calls.
 */
import { version } from "../../package.json";
import { runPlugin } from "../cni/dispatch.ts";
import type { Plugin } from "../cni/types.ts";
import { writeStderr } from "./stderr.ts";
import * as sys from "./sys.ts";

/** More than any configuration with every attachment of a node in it (GC sends about 100 bytes for each). */
const MAX_STDIN = 16 * 1024 * 1024;

/**
 * Runs the verb that the environment names and ends the process. The plugin's code is the embedded module `verbs/<name>`. `about` and our
 * version are what it says of itself without a verb; "" is an error then.
 */
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
		{
			name,
			about: about && `${about} v${version}`,
			load: () => (sys.loadModule(`verbs/${name}`) as { plugin: Plugin }).plugin,
		},
	);
	sys.exit(status);
}

/** All of stdin. A closed one is an empty one, as in Go, whose start-up opens /dev/null in its place. */
function readStdin(): Uint8Array {
	try {
		return sys.readAll(0, MAX_STDIN);
	} catch (error) {
		if (sys.isSystemError(error, "EBADF")) return new Uint8Array(0);
		throw error;
	}
}

function isOwnNetns(path: string): boolean {
	let sandbox: sys.FileStatus | undefined;
	try {
		sandbox = sys.statat(sys.AT_FDCWD, path, true);
	} catch (error) {
		if (sys.isSystemError(error)) return false;
		throw error;
	}
	const own = sys.statat(sys.AT_FDCWD, "/proc/self/ns/net", true);
	return sandbox !== undefined && sandbox.dev === own?.dev && sandbox.ino === own.ino;
}
