/**
 * The process that writes to a pool what ADDs and DELs have left waiting, when this node has rested long enough. It
 * ends when nothing waits any more. One for each pool; where it is killed, the next call starts another.
 */
import { KubeClient } from "../../lib/kube/client.ts";
import { readKubeconfig } from "../../lib/kube/kubeconfig.ts";
import type { Command } from "../../lib/plugin/command.ts";
import { parseFlags } from "../../lib/plugin/flags.ts";
import { writeStderr } from "../../lib/sys/stderr.ts";
import * as sys from "../../lib/sys/sys.ts";
import { Pool } from "./pool.ts";

/** How long it tries when the API server does not answer: then it is up to the next call. */
const LIMIT_MS = 60_000;

/** Sees to it that what waits for the pool is written. */
export function startWriter(pool: Pool): void {
	const { where, kubeconfig, dataDir } = pool;
	const lock = pool.writerLock();
	if (lock === undefined) return;
	lock.release();
	const flags = { kubeconfig, datadir: dataDir, namespace: where.namespace, pool: where.name, range: where.range };
	const args = Object.entries(flags).map(([name, value]) => `-${name}=${value}`);
	const error = sys.failureOf(() => sys.detach(["whereabouts", "write", ...args]));
	if (error === undefined) return;
	// What waits is safe: the next call for this pool writes it.
	writeStderr(`whereabouts: no process writes to pool ${where.name} in the background: ${error.message}\n`);
}

/** `whereabouts write`: that process. */
export const write: Command = {
	about: "writes to a pool what waits for it (started by ADD and DEL)",
	synopsis: "-kubeconfig PATH -datadir PATH -namespace NAME -pool NAME -range CIDR",
	help: "ADD and DEL start it in the background; nobody else needs to.\n",
	run: writeWaiting,
};

function writeWaiting(args: readonly string[]): number {
	const flags = parseFlags(args, { kubeconfig: "", datadir: "", namespace: "", pool: "", range: "" });
	using client = new KubeClient(readKubeconfig(flags.kubeconfig), LIMIT_MS);
	const { kubeconfig, namespace, pool: name, range } = flags;
	const pool = new Pool({ client, namespace, kubeconfig }, { name, range }, flags.datadir);
	// Who puts something there looks for the lock afterwards; so after the lock is released, one more look is needed.
	while (pool.hasWaiting() && client.leftMs > 0) {
		using lock = pool.writerLock();
		if (lock === undefined) break;
		// Not all nodes at the same time.
		sys.sleepMs(pool.restMs() * (0.7 + (0.3 * sys.random(1)[0]!) / 255));
		pool.flush();
	}
	return 0;
}
