/**
 * Network namespaces that processes are in, whatever became of their paths.
 */
import { Sandbox } from "../plugin/sandbox.ts";
import { readLinkIfPresent } from "../sys/files.ts";
import * as sys from "../sys/sys.ts";

/** Whether a process is in the namespace with this `Sandbox.identity`. */
export function hasProcess(identity: string): boolean {
	for (const path of namespaces().values()) {
		using sandbox = sys.unlessFailed(() => Sandbox.openIfAlive(path));
		if (sandbox?.identity === identity) return true;
	}
	return false;
}

/** The same by the number of the namespace's inode, which another may have later. */
export const hasProcessAt = (inode: number): boolean => namespaces().has(`net:[${inode}]`);

/** "net:[INODE]" of each namespace, and a path to it. */
function namespaces(): Map<string, string> {
	const found = new Map<string, string>();
	for (const pid of sys.readDirectory("/proc")) {
		if (!/^[0-9]+$/.test(pid)) continue;
		const path = `/proc/${pid}/ns/net`;
		// A process may end at any moment, and some are not for everybody to look at.
		const name = sys.unlessFailed(() => readLinkIfPresent(path));
		if (name !== undefined) found.set(name, path);
	}
	return found;
}
