/**
 * How an attachment's addresses are given back.
 */
import { attempt, throwTogether } from "../../lib/cni/failures.ts";
import { formatIp } from "../../lib/ip/address.ts";
import { releaseInStore } from "./block-addresses.ts";
import type { ReleaseSettings, Whereabouts } from "./config.ts";
import { keepsAddress } from "./ipam-claim.ts";
import { type Allocation, addressOfReservation } from "./objects.ts";
import { Pool, poolOf } from "./pool.ts";
import { addressOfOffset } from "./ranges.ts";
import type { Claim, FoundRecord, Records } from "./record.ts";
import { Reservations } from "./reservations.ts";
import { type Session, withApiServer } from "./session.ts";
import { startWriter } from "./writer.ts";

/** Gives back all that is on record of an attachment, with the API server of `kubeconfig` or else the record's. */
export function releaseAttachment(
	records: Records,
	found: FoundRecord,
	settings: ReleaseSettings,
	kubeconfig = "",
): void {
	releaseInStore(settings, records, found);
	const { claims, kubeconfig: recorded } = found.record;
	if (claims.length === 0) records.remove(found);
	else withApiServer(kubeconfig || recorded, (session) => releaseRecord(session, records, found, settings));
}

/** Releases what a record says, then removes it. Throws what could not be released; then the record stays. */
export function releaseRecord(session: Session, records: Records, found: FoundRecord, settings: ReleaseSettings): void {
	const { containerId, podRef, ifName, claims, namespace } = found.record;
	const owner = { id: containerId, podref: podRef, ifname: ifName };
	const failures: unknown[] = [];
	for (const claim of claims) {
		attempt(failures, () => {
			if (keepsAddress(session.client, podRef, claim.ip)) return;
			releaseClaim({ ...session, namespace: namespace || session.namespace }, claim, owner, settings);
		});
	}
	throwTogether(failures);
	records.remove(found);
}

/** Gives back a claim, and nothing that is another's by now. The pool goes first: Go nodes look there. */
function releaseClaim(
	session: Session,
	claim: Claim,
	owner: Allocation,
	{ dataDir, reuseDelayMs }: ReleaseSettings,
	isGo = false,
): void {
	const pool = new Pool(session, { name: claim.pool, range: claim.range }, dataDir);
	const { offset, reservation } = claim;
	if (pool.write({ op: "remove", offset, ...owner }, () => true) === "later") startWriter(pool);
	if (reservation === "") return;
	new Reservations(session.client, session.namespace, "").release(reservation, owner, reuseDelayMs, isGo);
}

/**
 * Releases what pools and reservations say of an attachment that this node has no record of: the Go plugin made it,
 * or the record is lost.
 */
export function releaseFound(
	session: Session,
	config: Whereabouts,
	attachment: { readonly containerId: string; readonly ifName: string },
	settings: ReleaseSettings,
): void {
	const { dataDir, reuseDelayMs } = settings;
	const { containerId, ifName } = attachment;
	const failures: unknown[] = [];
	const reservations = new Reservations(session.client, session.namespace, config.networkName);
	for (const range of config.ranges) {
		const pool = poolOf(session, config.networkName, range.network, dataDir);
		for (const [offset, entry] of pool.read() ?? []) {
			if (entry.id !== containerId || (entry.ifname !== "" && entry.ifname !== ifName)) continue;
			const ip = addressOfOffset(range, offset);
			const reservation = config.isExclusive ? reservations.nameOf(ip) : "";
			if (keepsAddress(session.client, entry.podref, formatIp(ip))) continue;
			const claim = { ip: formatIp(ip), pool: pool.name, range: pool.where.range, offset, reservation };
			attempt(failures, () => releaseClaim(session, claim, entry, settings, true));
		}
	}
	if (config.isExclusive) {
		for (const { name, id, podref, ifname } of reservations.all()) {
			if (id !== containerId || ifname !== ifName) continue;
			const ip = config.ranges.map(({ network }) => addressOfReservation(name, config.networkName, network.ip.family));
			if (ip.some((each) => each !== undefined && keepsAddress(session.client, podref, formatIp(each)))) continue;
			attempt(failures, () => reservations.release(name, { id, podref, ifname }, reuseDelayMs));
		}
	}
	throwTogether(failures);
}
