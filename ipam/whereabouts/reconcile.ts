/**
 * `whereabouts reconcile`: frees the addresses of pods that are gone, and lets pools and reservations agree. One run,
 * for a CronJob.
 *
 * Claims are read before pods: a claim is made for a pod that is there, so one whose pod is not there afterwards is
 * nobody's. What it removes it names by container or version, so that what somebody has taken meanwhile stays.
 */
import { sentence } from "../../lib/cni/failures.ts";
import { formatIp } from "../../lib/ip/address.ts";
import { KubeClient } from "../../lib/kube/client.ts";
import { type Command, print } from "../../lib/plugin/command.ts";
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

export const reconcile: Command = {
	about: "frees what pods hold that are gone, and lets pools and reservations agree",
	synopsis: "[--dry-run] [--metrics FILE] [-kubeconfig PATH] [-namespace NAME]",
	help: `One run, for a CronJob. Prints a line for each change. Exit status 1 where a change failed, or two pods have one address.

  --dry-run         prints the changes and makes none
  --metrics FILE    writes the use of pools and the count of changes there, for node-exporter's textfile collector
  -kubeconfig PATH  how to reach the API server; in a pod the service account's files, if absent
  -namespace NAME   where the pools are; absent: the kubeconfig's, else kube-system
`,
	run: reconcileOnce,
};

function reconcileOnce(args: readonly string[]): number {
	const flags = parseFlags(args, { kubeconfig: "", namespace: "", metrics: "", "dry-run": false });
	const cluster = clusterOf(flags.kubeconfig);
	using client = new KubeClient(cluster, COMMAND_MS);
	const namespace = flags.namespace || cluster.namespace || DEFAULT_NAMESPACE;
	const outcome = reconcileAll({ client, namespace, kubeconfig: flags.kubeconfig }, flags["dry-run"], (line) =>
		print(`${line}\n`),
	);
	if (flags.metrics !== "") writeAtomic(flags.metrics, metricsOf(outcome), 0o644);
	const { freed, healed, failed } = outcome;
	const would = flags["dry-run"] ? "would be " : "";
	print(`${freed} ${would}freed, ${healed} ${would}healed, ${failed} failed\n`);
	return failed > 0 ? 1 : 0;
}

function reconcileAll(session: Session, isDryRun: boolean, print: (line: string) => void): Outcome {
	const warn = (line: string): void => writeStderr(`whereabouts reconcile: ${line}\n`);
	const pools = readPools(session, warn);
	const reservations = new Reservations(session.client, session.namespace, "");
	const all = [...reservations.all()];
	const pods = readPods(session);
	const outcome: Outcome = { freed: 0, healed: 0, failed: 0, pools };
	const fail = (line: string): void => {
		outcome.failed++;
		warn(line);
	};
	const change: Report = (line, key, work) => {
		try {
			// What somebody has taken or released meanwhile needs nothing.
			if (!isDryRun && !work()) return;
			outcome[key]++;
			print(line);
		} catch (error) {
			fail(`${line}: ${sentence(error)}`);
		}
	};
	// The pool first, as DEL does it.
	for (const pool of pools) {
		const gone = [...pool.allocations].filter(([, { podref }]) => !pods.has(podref));
		if (gone.length === 0) continue;
		const names = gone.map(([offset, entry]) => describe(pool, offset, entry));
		const changes = gone.map(([offset, entry]) => ({ op: "remove" as const, offset, reservation: "", ...entry }));
		change(`pool ${pool.name}: freed ${names.join(", ")}`, "freed", () => changeIn(session, pool, changes));
	}
	for (const reservation of all) {
		const { name, podref } = reservation;
		if (pods.has(podref)) healEntry(session, reservation, pools, change, fail);
		else {
			change(`reservation ${name}: freed, pod ${podref} is gone`, "freed", () => reservations.remove(reservation));
		}
	}
	const byName = new Map(all.map((reservation) => [reservation.name, reservation]));
	for (const pool of pools) healReservations(session, pool, byName, pods, change, fail);
	return outcome;
}

/** `work` says whether there was something to do. */
type Report = (line: string, key: "freed" | "healed", work: () => boolean) => void;

/** Brings the pool's entry of a reservation, where it is clear which pool that is. */
function healEntry(
	session: Session,
	{ name, id, podref, ifname }: Reservation,
	pools: readonly PoolContent[],
	change: Report,
	fail: (line: string) => void,
): void {
	// One of Go's, which makes the entry first; or of a version that says nothing.
	if (id === "" || ifname === "") return;
	const places = placesOf(name, pools);
	const offsetIn = ({ ip, pool }: (typeof places)[number]): string => String(ip.value - pool.network.ip.value);
	if (places.some((place) => place.pool.allocations.has(offsetIn(place)))) return;
	const [place, ...others] = places;
	if (place === undefined) return;
	if (others.length > 0) {
		fail(`reservation ${name} of pod ${podref} is in the ranges of ${places.length} pools, and no pool has an entry`);
		return;
	}
	change(`pool ${place.pool.name}: entry of ${formatIp(place.ip)} for pod ${podref} made`, "healed", () =>
		changeIn(session, place.pool, [{ op: "add", offset: offsetIn(place), reservation: name, id, podref, ifname }]),
	);
}

/**
 * Makes the reservations that entries of living pods lack, where the pool's other entries have theirs: a pool of
 * networks whose ranges may overlap has none. An address that two living pods hold is reported.
 */
function healReservations(
	session: Session,
	pool: PoolContent,
	byName: ReadonlyMap<string, Reservation>,
	pods: ReadonlySet<string>,
	change: Report,
	fail: (line: string) => void,
): void {
	const reservations = new Reservations(session.client, session.namespace, pool.networkName);
	const living = [...pool.allocations].filter(([, { podref }]) => pods.has(podref));
	const found = living.map(([offset, entry]) => {
		const ip = { family: pool.network.ip.family, value: pool.network.ip.value + BigInt(offset) };
		return { ip, entry, reservation: byName.get(reservations.nameOf(ip)) };
	});
	const isExclusive = found.some(({ entry, reservation }) => reservation?.podref === entry.podref);
	for (const { ip, entry, reservation } of found) {
		const address = formatIp(ip);
		if (reservation === undefined) {
			if (!isExclusive) continue;
			change(`reservation of ${address} for pod ${entry.podref} made`, "healed", () => reservations.claim(ip, entry));
		} else if (reservation.podref !== entry.podref && pods.has(reservation.podref)) {
			fail(
				`${address} is held by two pods: ${entry.podref} in pool ${pool.name}, ${reservation.podref} by reservation`,
			);
		}
	}
}

function changeIn({ client, namespace }: Session, pool: PoolContent, changes: readonly Change[]): boolean {
	const where = { namespace, name: pool.name, range: rangeOf(pool) };
	return changePool(client, where, changes).refused.length < changes.length;
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
