/**
 * `whereabouts ls`: every pool with its use, or (`-holders`) every address with its holder; as a table or as JSON.
 */
import { addressBits, formatIp } from "../../lib/ip/address.ts";
import { KubeClient } from "../../lib/kube/client.ts";
import { parseFlags } from "../../lib/plugin/flags.ts";
import { formatTable } from "../../lib/plugin/table.ts";
import { writeStderr } from "../../lib/sys/stderr.ts";
import { clusterOf, type PoolContent, rangeOf, readPools } from "./cluster.ts";
import { COMMAND_MS, DEFAULT_NAMESPACE } from "./session.ts";

/** What is printed for these arguments. Throws FlagError, and what the client throws. */
export function list(args: readonly string[]): string {
	const flags = parseFlags(args, { kubeconfig: "", namespace: "", holders: false, json: false });
	const cluster = clusterOf(flags.kubeconfig);
	using client = new KubeClient(cluster, COMMAND_MS);
	const namespace = flags.namespace || cluster.namespace || DEFAULT_NAMESPACE;
	const pools = readPools({ client, namespace, kubeconfig: flags.kubeconfig }, (sentence) =>
		writeStderr(`whereabouts ls: ${sentence}\n`),
	);
	if (flags.json) return `${JSON.stringify(pools.map(listed), null, 4)}\n`;
	if (!flags.holders) {
		const rows = pools.map((pool) => [pool.name, rangeOf(pool), String(pool.allocations.size), String(sizeOf(pool))]);
		return formatTable(["POOL", "RANGE", "USED", "SIZE"], rows);
	}
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
	const { ip } = pool.network;
	const entries = [...pool.allocations].sort(([a], [b]) => (BigInt(a) < BigInt(b) ? -1 : 1));
	const holders = entries.map(([offset, { id, podref, ifname }]) => ({
		address: formatIp({ family: ip.family, value: ip.value + BigInt(offset) }),
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
