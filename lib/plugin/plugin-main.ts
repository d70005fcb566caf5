/**
 * The process around a plugin.
 */
import { runPlugin } from "../cni/dispatch.ts";
import type { PluginIo } from "../cni/io.ts";
import type { Plugins } from "../cni/types.ts";
import { Netns } from "../linux/netns.ts";
import { writeStderr } from "../sys/stderr.ts";
import * as sys from "../sys/sys.ts";
import { answer, calledAs } from "./applets.ts";
import { useLockTimeout } from "./verb-lock.ts";

/** More than any configuration with every attachment of a node in it (GC sends about 100 bytes for each). */
const MAX_STDIN = 16 * 1024 * 1024;

const IO: PluginIo = {
	variable: sys.variable,
	calledAs,
	readStdin,
	decodeUtf8: sys.decodeUtf8,
	mayRepeatKeys: sys.mayRepeatKeys,
	formatAnswer: (answer) => sys.formatJson(answer, 4),
	writeStdout: (text) => sys.write(1, text),
	writeStderr,
	isOwnNetns,
	useLockTimeout,
	succeed: () => sys.exit(0),
};

/** Runs the verb of the plugin `name` of `plugins` that the environment names, and ends the process. */
export function pluginMain(name: string, plugins: Plugins): never {
	const plugin = plugins[name];
	if (plugin === undefined) throw new Error(`there is no plugin ${name}`);
	const told = plugin.answerFlags?.(sys.args());
	if (told !== undefined) answer(told);
	sys.exit(runPlugin(IO, name, plugin, plugins));
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

/** Our own is asked of the descriptor that main plugins open anyway, or by name where there can be none. */
function isOwnNetns(path: string): boolean {
	try {
		return sys.isSameFile(path, sys.unlessFailed(() => Netns.host().fd) ?? "/proc/self/ns/net");
	} catch (error) {
		if (sys.isSystemError(error)) return false;
		throw error;
	}
}
