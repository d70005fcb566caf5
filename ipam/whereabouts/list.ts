/**
 * `whereabouts ls`: every pool with its use, or (`--holders`) every address with its holder; as a table or as JSON.
 */
import { addressBits, formatIp } from "../../lib/ip/address.ts";
import { type Command, print } from "../../lib/plugin/command.ts";
import { parseFlags } from "../../lib/plugin/flags.ts";
import { formatTable } from "../../lib/plugin/table.ts";
import { writeStderr } from "../../lib/sys/stderr.ts";
import { type PoolContent, rangeOf, readPools, withCluster } from "./cluster.ts";
import { addressOfOffset } from "./ranges.ts";

export const list: Command = {
	about: "pools and their use, or the holder of every address",
	synopsis: "[--holders] [--json] [-kubeconfig PATH] [-namespace NAME]",
	help: `Prints every pool of the namespace with its use, with --holders every address with its pod, with --json all of it.

  -kubeconfig PATH  how to reach the API server; in a pod the service account's files, if absent
  -namespace NAME   where the pools are; absent: the kubeconfig's, else kube-system
`,
	run: printPools,
};

function printPools(args: readonly string[]): number {
	const flags = parseFlags(args, { kubeconfig: "", namespace: "", holders: false, json: false });
	const pools = withCluster(flags, (session) =>
		readPools(session, (sentence) => writeStderr(`whereabouts ls: ${sentence}\n`)),
	);
	if (flags.json) print(`${JSON.stringify(pools.map(listed), null, 4)}\n`);
	else print(flags.holders ? tableOfHolders(pools) : tableOfPools(pools));
	return 0;
}

function tableOfPools(pools: readonly PoolContent[]): string {
	const rows = pools.map((pool) => [pool.name, rangeOf(pool), String(pool.allocations.size), String(sizeOf(pool))]);
	return formatTable(["POOL", "RANGE", "USED", "SIZE"], rows);
}

function tableOfHolders(pools: readonly PoolContent[]): string {
	const rows = pools.flatMap((pool) =>
		listed(pool).holders.map(({ address, pod, interface: ifName, container }) => [
			pool.name,
			address,
			pod,
			ifName,
			container.slice(0, 13),
		]),
	);
	return formatTable(["POOL", "ADDRESS", "POD", "INTERFACE", "CONTAINER"], rows);
}

function listed(pool: PoolContent) {
	const entries = [...pool.allocations].sort(([a], [b]) => (BigInt(a) < BigInt(b) ? -1 : 1));
	const holders = entries.map(([offset, { id, podref, ifname }]) => ({
		address: formatIp(addressOfOffset(pool, offset)),
		pod: podref,
		interface: ifname,
		container: id,
	}));
	return { pool: pool.name, range: rangeOf(pool), used: holders.length, size: String(sizeOf(pool)), holders };
}

/** Addresses of the network that may be handed out; what networks exclude is not known here. */
function sizeOf({ network }: PoolContent): bigint {
	const all = 1n << BigInt(addressBits(network.ip.family) - network.prefix);
	return all > 2n ? all - 2n : all;
}
