/**
 * `whereabouts reconcile`: frees the addresses of pods that are gone, and lets pools and reservations agree. One run,
 * for a CronJob.
 *
 * Claims are read before pods: a claim is made for a pod that is there, so one whose pod is not there afterwards is
 * nobody's. What it removes it names by container or version, so that what somebody has taken meanwhile stays.
 */
import { attempt, sentence } from "../../lib/cni/failures.ts";
import { formatIp } from "../../lib/ip/address.ts";
import { KubeClient } from "../../lib/kube/client.ts";
import { parseFlags } from "../../lib/plugin/flags.ts";
import { writeAtomic } from "../../lib/sys/files.ts";
import { writeStderr } from "../../lib/sys/stderr.ts";
import { clusterOf, type PoolContent, placesOf, rangeOf, readPods, readPools } from "./cluster.ts";
import type { Allocation } from "./objects.ts";
import { type Change, changePool } from "./pool.ts";
import { type Reservation, Reservations } from "./reservations.ts";
import { COMMAND_MS, DEFAULT_NAMESPACE, type Session } from "./session.ts";

interface Outcome {
	/** Entries and reservations of pods that are gone. */
	freed: number;
	/** Entries that were missing. */
	healed: number;
	/** What could not be done. */
	failed: number;
	pools: readonly PoolContent[];
}

/**
 * What is printed for these arguments: a line for each change, and the count. Throws FlagError, and what the client
 * throws.
 */
export function reconcile(args: readonly string[]): { text: string; status: number } {
	const flags = parseFlags(args, { kubeconfig: "", namespace: "", metrics: "", dryrun: false });
	const cluster = clusterOf(flags.kubeconfig);
	using client = new KubeClient(cluster, COMMAND_MS);
	const namespace = flags.namespace || cluster.namespace || DEFAULT_NAMESPACE;
	const lines: string[] = [];
	const outcome = reconcileAll({ client, namespace, kubeconfig: flags.kubeconfig }, flags.dryrun, (line) =>
		lines.push(`${line}\n`),
	);
	if (flags.metrics !== "") writeAtomic(flags.metrics, metricsOf(outcome), 0o644);
	const { freed, healed, failed } = outcome;
	const would = flags.dryrun ? "would be " : "";
	lines.push(`${freed} ${would}freed, ${healed} ${would}healed, ${failed} failed\n`);
	return { text: lines.join(""), status: failed > 0 ? 1 : 0 };
}

function reconcileAll(session: Session, isDryRun: boolean, print: (line: string) => void): Outcome {
	const warn = (line: string): void => writeStderr(`whereabouts reconcile: ${line}\n`);
	const pools = readPools(session, warn);
	const reservations = new Reservations(session.client, session.namespace, "");
	const all = [...reservations.all()];
	const pods = readPods(session);
	const outcome: Outcome = { freed: 0, healed: 0, failed: 0, pools };
	const change: Report = (line, key, work) => {
		const failures: unknown[] = [];
		if (!isDryRun) attempt(failures, work);
		if (failures.length === 0) {
			outcome[key]++;
			print(line);
			return;
		}
		outcome.failed++;
		warn(`${line}: ${sentence(failures[0])}`);
	};
	// The pool first, as DEL does it.
	for (const pool of pools) {
		const gone = [...pool.allocations].filter(([, { podref }]) => !pods.has(podref));
		if (gone.length === 0) continue;
		const names = gone.map(([offset, entry]) => describe(pool, offset, entry));
		change(`pool ${pool.name}: freed ${names.join(", ")}`, "freed", () =>
			changeIn(
				session,
				pool,
				gone.map(([offset, entry]) => ({ op: "remove", offset, reservation: "", ...entry })),
			),
		);
	}
	for (const reservation of all) {
		const { name, podref } = reservation;
		if (!pods.has(podref)) {
			change(`reservation ${name}: freed, pod ${podref} is gone`, "freed", () => reservations.remove(reservation));
			continue;
		}
		heal(session, reservation, pools, change, warn);
	}
	return outcome;
}

type Report = (line: string, key: "freed" | "healed", work: () => void) => void;

/** Brings the pool's entry of a reservation, where it is clear which pool that is. */
function heal(
	session: Session,
	{ name, id, podref, ifname }: Reservation,
	pools: readonly PoolContent[],
	change: Report,
	warn: (line: string) => void,
): void {
	// One of Go's, which makes the entry first; or of a version that says nothing.
	if (id === "" || ifname === "") return;
	const places = placesOf(name, pools);
	const offsetIn = ({ ip, pool }: (typeof places)[number]): string => String(ip.value - pool.network.ip.value);
	if (places.some((place) => place.pool.allocations.has(offsetIn(place)))) return;
	const [place, ...others] = places;
	if (place === undefined || others.length > 0) {
		if (places.length > 0)
			warn(`reservation ${name} of pod ${podref} is in ${places.length} pools' ranges and in none`);
		return;
	}
	change(`pool ${place.pool.name}: entry of ${formatIp(place.ip)} for pod ${podref} made`, "healed", () =>
		changeIn(session, place.pool, [{ op: "add", offset: offsetIn(place), reservation: name, id, podref, ifname }]),
	);
}

function changeIn({ client, namespace }: Session, pool: PoolContent, changes: readonly Change[]): void {
	changePool(client, { namespace, name: pool.name, range: rangeOf(pool) }, changes);
}

function describe({ network }: PoolContent, offset: string, { podref }: Allocation): string {
	return `${formatIp({ family: network.ip.family, value: network.ip.value + BigInt(offset) })} (${podref})`;
}

/** For node-exporter's textfile collector. */
function metricsOf({ freed, healed, failed, pools }: Outcome): string {
	const gauges = pools.map(({ name, allocations }) => `whereabouts_pool_used{pool="${name}"} ${allocations.size}\n`);
	return [
		"# HELP whereabouts_pool_used Addresses that a pool held when it was read.\n# TYPE whereabouts_pool_used gauge\n",
		...gauges,
		"# HELP whereabouts_reconciled Changes of the last run.\n# TYPE whereabouts_reconciled gauge\n",
		...Object.entries({ freed, healed, failed }).map(
			([key, value]) => `whereabouts_reconciled{change="${key}"} ${value}\n`,
		),
	].join("");
}
