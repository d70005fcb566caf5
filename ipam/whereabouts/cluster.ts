/**
 * What the whole cluster has: every pool, every reservation, every pod; for `whereabouts ls` and `whereabouts
 * reconcile`.
 */
import type { JsonObject } from "../../lib/cni/types.ts";
import { contains, formatCidr, parseCidr } from "../../lib/ip/cidr.ts";
import { KubeClient } from "../../lib/kube/client.ts";
import { KubeConfigError } from "../../lib/kube/errors.ts";
import { type Cluster, inClusterConfig, readKubeconfig } from "../../lib/kube/kubeconfig.ts";
import { object, text } from "../../lib/state/json.ts";
import { holdersNamed } from "./ipam-claim.ts";
import { addressOfReservation, metadataOf, poolName, poolsPath } from "./objects.ts";
import { allocationsOf } from "./pool-object.ts";
import { offsetOf } from "./ranges.ts";
import { COMMAND_MS, DEFAULT_NAMESPACE, type Session } from "./session.ts";

export type PoolContent = Readonly<ReturnType<typeof readPools>[number]>;

/** What commands are told of the cluster. */
export const CLUSTER_FLAGS = { kubeconfig: "", namespace: "" };
export const HELP_OF_CLUSTER = `  -kubeconfig PATH  how to reach the API server; in a pod the service account's files, if absent
  -namespace NAME   where the pools are; absent: the kubeconfig's, else kube-system
`;

/** Runs a command's `work` with the cluster and the namespace that its flags say. Throws what the client throws. */
export function withCluster<T>(flags: typeof CLUSTER_FLAGS, work: (session: Session) => T): T {
	const { kubeconfig } = flags;
	const cluster = clusterOf(kubeconfig);
	using client = new KubeClient(cluster, COMMAND_MS);
	return work({ client, namespace: flags.namespace || cluster.namespace || DEFAULT_NAMESPACE, kubeconfig });
}

/** The cluster of `kubeconfig`, or the one that we run in. Throws KubeConfigError, SystemError. */
function clusterOf(kubeconfig: string): Cluster {
	const cluster = kubeconfig === "" ? inClusterConfig() : readKubeconfig(kubeconfig);
	if (cluster !== undefined) return cluster;
	throw new KubeConfigError("not in a pod of a cluster: say where the API server is with -kubeconfig");
}

/** Every pool that can be understood; `report` is told of the others. `networkName` is that of its name; "": none. */
export function readPools({ client, namespace }: Session, report: (sentence: string) => void) {
	return [...client.list(poolsPath(namespace))].flatMap((each) => {
		const { name } = metadataOf(each);
		const range = text(object(each.spec)?.range);
		const network = parseCidr(range);
		const bare = network && poolName("", network);
		if (network === undefined || bare === undefined || !(name === bare || name.endsWith(`-${bare}`))) {
			report(`pool ${name} is passed over: its range is ${range}, which is not what it is named after`);
			return [];
		}
		const networkName = name.slice(0, Math.max(0, name.length - bare.length - 1));
		return [{ name, network, range: formatCidr(network), networkName, allocations: allocationsOf(each) }];
	});
}

/** "namespace/name" of every pod that has not finished, and the IPAMClaims that they name. */
export function readHolders({ client }: Session): Set<string> {
	const holders = new Set<string>();
	for (const pod of client.list("/api/v1/pods")) {
		if (!isLiving(pod)) continue;
		holders.add(podRefOf(pod));
		for (const holder of holdersNamed(pod)) holders.add(holder);
	}
	return holders;
}

/** What has finished holds nothing any more. */
export function isLiving({ status }: JsonObject): boolean {
	const phase = object(status)?.phase;
	return phase !== "Succeeded" && phase !== "Failed";
}

/** "namespace/name" */
export function podRefOf(pod: JsonObject): string {
	const { namespace, name } = metadataOf(pod);
	return `${namespace}/${name}`;
}

/** The address that a reservation is named after, and the pools that could have it. */
export function placesOf(reservation: string, pools: readonly PoolContent[]) {
	return pools.flatMap((pool) => {
		const ip = addressOfReservation(reservation, pool.networkName, pool.network.ip.family);
		return ip !== undefined && contains(pool.network, ip) ? [{ ip, pool, offset: offsetOf(pool, ip) }] : [];
	});
}
