/**
 * `whereabouts reconcile`: frees the addresses of pods that are gone, and lets pools and reservations agree. One run,
 * for a CronJob; or one after the other, for a DaemonSet.
 *
 * Claims are read before pods: a claim is made for a pod that is there, so one whose pod is not there afterwards is
 * nobody's. What it removes it names by container or version, so that what somebody has taken meanwhile stays.
 */
import { sentence } from "../../lib/cni/failures.ts";
import { formatIp } from "../../lib/ip/address.ts";
import type { Command } from "../../lib/plugin/command.ts";
import { parseFlags } from "../../lib/plugin/flags.ts";
import { gauge, type Sample } from "../../lib/plugin/gauge.ts";
import { writeAtomic } from "../../lib/sys/files.ts";
import { writeStderr } from "../../lib/sys/stderr.ts";
import * as sys from "../../lib/sys/sys.ts";
import * as cluster from "./cluster.ts";
import { DEFAULT_DATA_DIR } from "./config.ts";
import { readCooldown } from "./cooldown.ts";
import { claimHolders, isClaimHolder } from "./ipam-claim.ts";
import { type Change, changePool } from "./pool-object.ts";
import { addressOfOffset } from "./ranges.ts";
import { type PoolUse, reconcileNode } from "./reconcile-node.ts";
import { type Reservation, Reservations } from "./reservations.ts";
import type { Session } from "./session.ts";
import { Tally } from "./tally.ts";

export const reconcile: Command = {
	about: "frees what pods hold that are gone, and lets pools and reservations agree",
	synopsis: "[--node] [--every 5m] [--dry-run] [--metrics FILE] [-kubeconfig PATH] [-namespace NAME]",
	help: `Prints a line for each change. Exit status 1 where a change failed, or two pods have one address.

  --node            of this node alone: brings the pools of its blocks (node_slice_size) up to date, frees what its pods
                    hold that are gone, and notices a block that was taken away; run it on the node
  -datadir PATH     dataDir of the networks, for --node (${DEFAULT_DATA_DIR})
  --every 5m        goes on until SIGTERM, with so long a pause between two runs; without it there is one
  --dry-run         prints the changes and makes none
  --metrics FILE    writes the use of pools and the count of changes there, for node-exporter's textfile collector
${cluster.HELP_OF_CLUSTER}`,
	run: runReconcile,
};

const FLAGS = {
	...cluster.CLUSTER_FLAGS,
	metrics: "",
	datadir: DEFAULT_DATA_DIR,
	node: false,
	every: 0,
	"dry-run": false,
};

function runReconcile(args: readonly string[]): number {
	const flags = parseFlags(args, FLAGS);
	return flags.every === 0 ? reconcileOnce(flags) : reconcileAgain(flags);
}

/** Until SIGTERM or SIGINT. A run that fails is said, and the next one comes in its time. */
function reconcileAgain(flags: typeof FLAGS): number {
	const fd = sys.signalFd([sys.SIGINT, sys.SIGTERM]);
	do {
		try {
			reconcileOnce(flags);
		} catch (error) {
			writeStderr(`whereabouts reconcile: ${sentence(error)}\n`);
		}
	} while (sys.poll([{ fd, events: sys.POLLIN }], flags.every)[0] === 0);
	return 0;
}

function reconcileOnce(flags: typeof FLAGS): number {
	const tally = new Tally(flags["dry-run"]);
	const used = cluster.withCluster(flags, (session) =>
		flags.node ? reconcileNode(session, flags.datadir, tally) : reconcileAll(session, tally),
	);
	if (flags.metrics !== "") writeAtomic(flags.metrics, metricsOf(tally, used), 0o644);
	tally.printCounts();
	return tally.failed > 0 ? 1 : 0;
}

/** Returns how many addresses each pool held when it was read. */
function reconcileAll(session: Session, tally: Tally): PoolUse {
	const pools = cluster.readPools(session, (line) => tally.warn(line));
	const reservations = new Reservations(session.client, session.namespace, "");
	const all = [...reservations.all()];
	const holders = cluster.readHolders(session);
	const held = [...all, ...pools.flatMap(({ allocations }) => [...allocations.values()])];
	if (held.some(({ podref }) => isClaimHolder(podref)))
		for (const holder of claimHolders(session.client)) holders.add(holder);
	// The pool first, as DEL does it.
	for (const pool of pools) {
		const gone = [...pool.allocations].filter(([, { podref }]) => !holders.has(podref));
		if (gone.length === 0) continue;
		const names = gone.map(([offset, { podref }]) => `${formatIp(addressOfOffset(pool, offset))} (${podref})`);
		const changes = gone.map(([offset, entry]) => ({ op: "remove" as const, offset, ...entry }));
		tally.change(`pool ${pool.name}: freed ${names.join(", ")}`, "freed", () => changeIn(session, pool, changes));
	}
	for (const reservation of all) {
		const { name, podref } = reservation;
		const cooling = readCooldown(podref);
		if (cooling === undefined && holders.has(podref)) healEntry(session, reservation, pools, tally);
		else if (cooling === undefined || cooling.leftMs === 0) {
			const why = cooling === undefined ? `pod ${podref} is gone` : "its reuseDelaySeconds are over";
			tally.change(`reservation ${name}: freed, ${why}`, "freed", () => reservations.remove(reservation));
		}
	}
	const byName = new Map(all.map((reservation) => [reservation.name, reservation]));
	for (const pool of pools) healReservations(session, pool, byName, holders, tally);
	return new Map(pools.map(({ name, allocations }) => [name, allocations.size]));
}

/** Brings the pool's entry of a reservation, where it is clear which pool that is. */
function healEntry(
	session: Session,
	{ name, id, podref, ifname }: Reservation,
	pools: readonly cluster.PoolContent[],
	tally: Tally,
): void {
	// One of Go's, which makes the entry first; or of a version that says nothing.
	if (id === "" || ifname === "") return;
	const places = cluster.placesOf(name, pools);
	if (places.some(({ pool, offset }) => pool.allocations.has(offset))) return;
	const [place, ...others] = places;
	if (place === undefined) return;
	if (others.length > 0) {
		tally.fail(
			`reservation ${name} of pod ${podref} is in the ranges of ${places.length} pools, and no pool has an entry`,
		);
		return;
	}
	tally.change(`pool ${place.pool.name}: entry of ${formatIp(place.ip)} for pod ${podref} made`, "healed", () =>
		changeIn(session, place.pool, [{ op: "add", offset: place.offset, id, podref, ifname }]),
	);
}

/**
 * Makes the reservations that entries of living pods lack, where the pool's other entries have theirs: a pool of
 * networks whose ranges may overlap has none. An address that two living pods hold is reported.
 */
function healReservations(
	session: Session,
	pool: cluster.PoolContent,
	byName: ReadonlyMap<string, Reservation>,
	holders: ReadonlySet<string>,
	tally: Tally,
): void {
	const reservations = new Reservations(session.client, session.namespace, pool.networkName);
	const living = [...pool.allocations].filter(([, { podref }]) => holders.has(podref));
	const found = living.map(([offset, entry]) => {
		const ip = addressOfOffset(pool, offset);
		return { ip, entry, reservation: byName.get(reservations.nameOf(ip)) };
	});
	const isExclusive = found.some(({ entry, reservation }) => reservation?.podref === entry.podref);
	for (const { ip, entry, reservation } of found) {
		const address = formatIp(ip);
		if (reservation === undefined) {
			if (!isExclusive) continue;
			tally.change(`reservation of ${address} for pod ${entry.podref} made`, "healed", () =>
				reservations.make(ip, entry),
			);
		} else if (reservation.podref !== entry.podref && holders.has(reservation.podref)) {
			tally.fail(
				`${address} is held by two pods: ${entry.podref} in pool ${pool.name}, ${reservation.podref} by reservation`,
			);
		}
	}
}

function changeIn({ client, namespace }: Session, pool: cluster.PoolContent, changes: readonly Change[]): boolean {
	return changePool(client, { namespace, ...pool }, changes).refused.length < changes.length;
}

function metricsOf({ freed, healed, failed }: Tally, used: PoolUse): string {
	const pools = [...used].map(([pool, count]): Sample => [{ pool }, count]);
	const changes = Object.entries({ freed, healed, failed }).map(([change, count]): Sample => [{ change }, count]);
	return [
		gauge("whereabouts_pool_used", "Addresses that a pool held when it was read.", pools),
		gauge("whereabouts_reconciled", "Changes of the last run.", changes),
	].join("");
}
