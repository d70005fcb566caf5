/**
 * `whereabouts ls`: every pool with its use, or (`--holders`) every address with its holder; as a table or as JSON.
 */
import { formatIp } from "../../lib/ip/address.ts";
import { sizeOfBlock } from "../../lib/ip/range.ts";
import { type Command, printAnswer } from "../../lib/plugin/command.ts";
import { parseFlags } from "../../lib/plugin/flags.ts";
import { formatTable } from "../../lib/plugin/table.ts";
import { writeStderr } from "../../lib/sys/stderr.ts";
import { CLUSTER_FLAGS, HELP_OF_CLUSTER, type PoolContent, readPools, withCluster } from "./cluster.ts";
import { addressOfOffset, usableOf } from "./ranges.ts";

export const list: Command = {
	about: "pools and their use, or the holder of every address",
	synopsis: "[--holders] [--json] [-kubeconfig PATH] [-namespace NAME]",
	help: `Prints every pool of the namespace with its use, with --holders every address with its pod, with --json all of it.

${HELP_OF_CLUSTER}`,
	run: printPools,
};

function printPools(args: readonly string[]): number {
	const flags = parseFlags(args, { ...CLUSTER_FLAGS, holders: false, json: false });
	const pools = withCluster(flags, (session) =>
		readPools(session, (sentence) => writeStderr(`whereabouts ls: ${sentence}\n`)),
	);
	const all = pools.map(listed);
	const holders = all.flatMap(({ pool, holders }) =>
		holders.map((holder) => ({ ...holder, pool, container: holder.container.slice(0, 13) })),
	);
	printAnswer(flags.json, all, () =>
		flags.holders
			? formatTable(["pool", "address", "pod", "interface", "container"], holders)
			: formatTable(["pool", "range", "used", "size"], all),
	);
	return 0;
}

function listed(pool: PoolContent) {
	const entries = [...pool.allocations].sort(([a], [b]) => (BigInt(a) < BigInt(b) ? -1 : 1));
	const holders = entries.map(([offset, { id, podref, ifname }]) => ({
		address: formatIp(addressOfOffset(pool, offset)),
		pod: podref,
		interface: ifname,
		container: id,
	}));
	// What networks exclude is not known here.
	const size = String(sizeOfBlock(usableOf(pool.network)));
	return { pool: pool.name, range: pool.range, used: holders.length, size, holders };
}
