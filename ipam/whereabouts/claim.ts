/**
 * How an attachment comes to its addresses.
 *
 * The claim is the reservation: the API server makes an object of a name once, so an address has one owner without
 * any lock. The pool's entry follows before ADD returns; where somebody has that without a reservation, the address
 * is theirs, and another one is tried. Where ranges may overlap (`enable_overlapping_ranges: false`) there are no
 * reservations, and the entry is the claim.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { formatIp, type Ip, parseIp } from "../../lib/ip/address.ts";
import { formatCidr } from "../../lib/ip/cidr.ts";
import { KubeError } from "../../lib/kube/errors.ts";
import type { Whereabouts } from "./config.ts";
import { readCooldown } from "./cooldown.ts";
import { areGoNodesActive } from "./go-nodes.ts";
import { type Allocation, addressOfReservation } from "./objects.ts";
import { hashedOrder, lowestOrder } from "./order.ts";
import { type Pool, poolOf } from "./pool.ts";
import type { Allocations } from "./pool-object.ts";
import { addressOfOffset, exhaustion, mayHandOut, offsetOf, type PoolRange } from "./ranges.ts";
import type { AttachmentRecord, Claim, Records } from "./record.ts";
import { mayTake, Reservations } from "./reservations.ts";
import type { Session } from "./session.ts";
import { startWriter } from "./writer.ts";

/** After so many addresses that others have, a look at all of them is cheaper. */
const TRIES_BEFORE_LOOK = 4;

export class Claimer {
	readonly #session: Session;
	readonly #config: Whereabouts;
	readonly #records: Records;
	readonly #reservations: Reservations;
	readonly #owner: Allocation;
	#record: AttachmentRecord;
	/** Claims of an ADD before this one. */
	readonly #earlier: readonly Claim[];

	constructor(session: Session, config: Whereabouts, records: Records, record: AttachmentRecord) {
		this.#session = session;
		this.#config = config;
		this.#records = records;
		this.#record = record;
		this.#earlier = record.claims;
		this.#reservations = new Reservations(session.client, session.namespace, config.networkName);
		this.#owner = { id: record.containerId, podref: record.podRef, ifname: record.ifName };
	}

	/** An address of `range` that is the attachment's alone. Throws CniError 11 where there is none. */
	claim(range: PoolRange): Ip {
		const pool = poolOf(this.#session, this.#config.networkName, range.network, this.#config.dataDir);
		const requested = this.#config.requested.find((ip) => mayHandOut(range, ip));
		return this.#config.isExclusive
			? this.#claimReservation(range, pool, requested)
			: this.#claimEntry(range, pool, requested);
	}

	/** What may have been claimed. */
	get claims(): readonly Claim[] {
		return this.#record.claims;
	}

	#claimReservation(range: PoolRange, pool: Pool, requested: Ip | undefined): Ip {
		// What was held a moment ago is passed over at first; where nothing else is left, a look at all there is
		// decides.
		for (const hints of requested === undefined ? [true, false] : [false]) {
			const { taken, own } = hints
				? this.#hints(range, pool)
				: { taken: this.#takenNow(range, pool, requested), own: [] };
			let tries = 0;
			for (const ip of this.#candidates(range, pool, requested, own)) {
				const offset = offsetOf(range, ip);
				if (taken.has(offset)) continue;
				if (this.#claimOne(range, pool, ip)) return ip;
				taken.add(offset);
				if (hints && ++tries === TRIES_BEFORE_LOOK) break;
			}
		}
		if (requested === undefined) throw this.#exhausted(range, pool);
		throw refusal(requested, this.#reservations.find(this.#reservations.nameOf(requested))?.podref);
	}

	#claimOne(range: PoolRange, pool: Pool, ip: Ip): boolean {
		const claim = this.#note(range, pool, ip);
		if (this.#attempt(claim, () => this.#reservations.claim(ip, this.#owner))) {
			const mayLeave = (): boolean => !areGoNodesActive(this.#session);
			const outcome = pool.write({ op: "add", offset: claim.offset, ...this.#owner }, mayLeave);
			if (outcome === "later") startWriter(pool);
			if (outcome !== "refused") return true;
			// The pool says that somebody has it who made no reservation.
			this.#reservations.release(claim.reservation, this.#owner);
		}
		this.#forget(claim);
		return false;
	}

	/** The offsets that others have, by the pool or by a reservation. */
	#takenNow(range: PoolRange, pool: Pool, requested: Ip | undefined): Set<string> {
		const taken = this.#others(pool.read());
		// Whether the one that is wanted is reserved, its claim tells.
		if (requested !== undefined) return taken;
		for (const reservation of this.#reservations.all()) {
			if (mayTake(reservation, this.#owner)) continue;
			const ip = addressOfReservation(reservation.name, this.#config.networkName, range.network.ip.family);
			if (ip !== undefined && mayHandOut(range, ip)) taken.add(offsetOf(range, ip));
		}
		return taken;
	}

	/**
	 * The offsets that the pool holds for others, as this node read it a moment ago or reads it now: there may be
	 * entries without a reservation. The address that an attachment wants first is tried nevertheless where it may be
	 * its pod's. And the addresses that the pool has for an earlier sandbox of the same pod.
	 */
	#hints(range: PoolRange, pool: Pool): { taken: Set<string>; own: Ip[] } {
		const recent = this.#config.policy === "hashed" ? pool.recent() : undefined;
		if (recent === undefined) {
			const there = pool.read();
			return { taken: this.#others(there), own: this.#own(range, there) };
		}
		const taken = new Set(recent);
		for (const claim of this.#record.claims) if (claim.pool === pool.name) taken.delete(claim.offset);
		const first = hashedOrder(range, this.#seed(pool)).next().value;
		if (first !== undefined) taken.delete(offsetOf(range, first));
		return { taken, own: [] };
	}

	#seed(pool: Pool): string {
		return `${this.#owner.podref}/${this.#owner.ifname}/${pool.name}`;
	}

	#claimEntry(range: PoolRange, pool: Pool, requested: Ip | undefined): Ip {
		for (;;) {
			const there = pool.read();
			const taken = this.#others(there);
			const [own] = this.#own(range, there);
			const ip = firstFree(this.#candidates(range, pool, requested ?? own), range, taken);
			if (ip === undefined) {
				if (requested === undefined) throw this.#exhausted(range, pool);
				throw refusal(requested, there?.get(offsetOf(range, requested))?.podref);
			}
			const claim = this.#note(range, pool, ip);
			if (this.#attempt(claim, () => pool.claim({ op: "add", offset: claim.offset, ...this.#owner }))) return ip;
			this.#forget(claim);
		}
	}

	/**
	 * The addresses to try: the one that is wanted alone, else those that this attachment may have already, then the
	 * policy's.
	 */
	*#candidates(range: PoolRange, pool: Pool, wanted: Ip | undefined, preferred: readonly Ip[] = []): Generator<Ip> {
		if (wanted !== undefined) {
			yield wanted;
			return;
		}
		for (const claim of this.#record.claims) {
			const ip = parseIp(claim.ip);
			if (ip !== undefined && claim.pool === pool.name && mayHandOut(range, ip)) yield ip;
		}
		yield* preferred;
		if (this.#config.policy === "hashed") yield* hashedOrder(range, this.#seed(pool));
		else yield* lowestOrder(range);
	}

	/** The offsets whose entries are of others. */
	#others(there: Allocations = new Map()): Set<string> {
		return new Set([...there].filter(([, entry]) => !this.#isOwn(entry)).map(([offset]) => offset));
	}

	/** The addresses of `range` whose entries are of this pod and interface. */
	#own(range: PoolRange, there: Allocations = new Map()): Ip[] {
		const offsets = [...there].filter(([, entry]) => this.#isOwn(entry)).map(([offset]) => offset);
		return offsets.map((offset) => addressOfOffset(range, offset)).filter((ip) => mayHandOut(range, ip));
	}

	#isOwn({ podref, ifname }: Pick<Allocation, "podref" | "ifname">): boolean {
		return podref === this.#owner.podref && ifname === this.#owner.ifname;
	}

	/** Puts on record that `ip` may become the attachment's. */
	#note(range: PoolRange, pool: Pool, ip: Ip): Claim {
		const claim: Claim = {
			ip: formatIp(ip),
			pool: pool.name,
			range: formatCidr(range.network),
			offset: offsetOf(range, ip),
			reservation: this.#config.isExclusive ? this.#reservations.nameOf(ip) : "",
		};
		const others = this.#record.claims.filter((each) => each.ip !== claim.ip || each.pool !== claim.pool);
		if (others.length === this.#record.claims.length) {
			this.#record = { ...this.#record, claims: [...others, claim] };
			this.#records.write(this.#record);
		}
		return claim;
	}

	/**
	 * Runs `work`, which claims. What the server refuses has not been claimed; where it does not answer, nobody
	 * knows.
	 */
	#attempt(claim: Claim, work: () => boolean): boolean {
		try {
			return work();
		} catch (error) {
			if (error instanceof KubeError && !this.#earlier.some(({ ip }) => ip === claim.ip)) this.#forget(claim);
			throw error;
		}
	}

	/** Takes back what `#note` noted, in memory: the next note writes it. */
	#forget(claim: Claim): void {
		this.#record = {
			...this.#record,
			claims: this.#record.claims.filter((each) => each !== claim && each.ip !== claim.ip),
		};
	}

	#exhausted(range: PoolRange, pool: Pool): CniError {
		const wait = this.#config.reuseDelayMs > 0 ? ", or wait for reuseDelaySeconds" : "";
		return new CniError(
			Code.tryAgain,
			`error at storage engine: ${exhaustion(range)}`,
			`pool ${pool.name}: all of its ${range.size} addresses are held${wait}`,
		);
	}
}

function firstFree(candidates: Iterable<Ip>, range: PoolRange, taken: ReadonlySet<string>): Ip | undefined {
	for (const ip of candidates) if (!taken.has(offsetOf(range, ip))) return ip;
	return undefined;
}

function refusal(ip: Ip, podref: string | undefined): CniError {
	const cooling = podref === undefined ? undefined : readCooldown(podref);
	if (cooling !== undefined) {
		const reason = `requested address ${formatIp(ip)} was released a short time ago`;
		const seconds = Math.ceil(cooling.leftMs / 1000);
		return new CniError(Code.tryAgain, reason, `by pod ${cooling.podRef}; it is free in ${seconds} s`);
	}
	const holder = podref === undefined ? "another attachment" : `pod ${podref}`;
	return new CniError(Code.allocation, `requested address ${formatIp(ip)} is held by ${holder}`);
}
