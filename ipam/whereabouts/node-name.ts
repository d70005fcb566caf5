/**
 * What the cluster calls this node, found as the Go plugin finds it.
 */
import { readTextIfFile } from "../../lib/sys/files.ts";
import * as sys from "../../lib/sys/sys.ts";

const HOSTNAME = "/etc/hostname";

export type NodeName = ReturnType<typeof nodeName>;

/**
 * Environment variable NODENAME, else the first of `files` (the installer writes `nodename` beside the flat file),
 * else /etc/hostname, which is often not what the cluster says. In lower case, as kubelet has it. Undefined where
 * nothing tells.
 */
export function nodeName(files: readonly string[]) {
	const own = sys.variable("NODENAME")?.trim().toLowerCase();
	if (own) return { name: own, source: "NODENAME" };
	for (const source of [...files, HOSTNAME]) {
		const name = readTextIfFile(source)?.trim().toLowerCase();
		if (name) return { name, source };
	}
	return undefined;
}
