/**
 * Reservations: the object whose name is an address belongs to who made it.
 */
import { isObject } from "../../lib/cni/json.ts";
import type { JsonObject } from "../../lib/cni/types.ts";
import type { Ip } from "../../lib/ip/address.ts";
import type { KubeClient, Precondition } from "../../lib/kube/client.ts";
import { coolingHolder, readCooldown } from "./cooldown.ts";
import { type Allocation, reservationName, reservationObject, reservationsPath } from "./objects.ts";

export interface Reservation {
	readonly name: string;
	/** "" where the Go plugin made it. */
	readonly id: string;
	readonly podref: string;
	/** "" where an old Go plugin made it. */
	readonly ifname: string;
	readonly precondition: Precondition;
}

export class Reservations {
	readonly #client: KubeClient;
	readonly #path: string;
	readonly #networkName: string;

	constructor(client: KubeClient, namespace: string, networkName: string) {
		this.#client = client;
		this.#path = reservationsPath(namespace);
		this.#networkName = networkName;
	}

	nameOf(ip: Ip): string {
		return reservationName(this.#networkName, ip);
	}

	/**
	 * Whether `ip` is `owner`'s from now on, or was before. One that an earlier sandbox of the same pod had for the
	 * same interface goes over to the new one: a pod's sandbox is made anew only when the old one has ended.
	 */
	claim(ip: Ip, owner: Allocation): boolean {
		return this.claimName(this.nameOf(ip), owner);
	}

	/** The same of a reservation's name. */
	claimName(name: string, owner: Allocation): boolean {
		const object = reservationObject(name, owner);
		for (;;) {
			if (this.#client.create(this.#path, object)) return true;
			const there = this.find(name);
			// Released since; or somebody was quicker.
			if (there === undefined) continue;
			if (isOf(there, owner)) return true;
			if (!mayTake(there, owner)) return false;
			const metadata = { name, resourceVersion: there.precondition.resourceVersion };
			if (this.#client.replace(`${this.#path}/${name}`, { ...object, metadata })) return true;
		}
	}

	/** Reserves `ip` for `owner`; false where somebody has, be it a later sandbox of the same pod. */
	make(ip: Ip, owner: Allocation): boolean {
		return this.#client.create(this.#path, reservationObject(this.nameOf(ip), owner));
	}

	/**
	 * Removes the reservation `name` if it is still `owner`'s, or lets it say that the address is nobody's for
	 * `delayMs`. `isGo`: the pool says that Go made it for `owner`'s container.
	 */
	release(name: string, owner: Allocation, delayMs = 0, isGo = false): void {
		for (;;) {
			const there = this.find(name);
			if (
				there === undefined ||
				!(isOf(there, owner) || (isGo && there.id === "" && isOf({ ...there, id: owner.id }, owner)))
			)
				return;
			if (delayMs > 0 ? this.#cool(there, delayMs) : this.remove(there)) return;
		}
	}

	/** False where it is another one by now, or gone. */
	#cool({ name, podref, ifname, precondition }: Reservation, delayMs: number): boolean {
		const object = reservationObject(name, { id: "", podref: coolingHolder(podref, delayMs), ifname });
		const metadata = { name, resourceVersion: precondition.resourceVersion };
		return this.#client.replace(`${this.#path}/${name}`, { ...object, metadata });
	}

	/** False where it is another one by now, or gone. */
	remove({ name, precondition }: Reservation): boolean {
		return this.#client.remove(`${this.#path}/${name}`, precondition);
	}

	find(name: string): Reservation | undefined {
		const object = this.#client.get(`${this.#path}/${name}`);
		return object && reservationOf(object);
	}

	*all(): Generator<Reservation> {
		for (const object of this.#client.list(this.#path)) {
			const reservation = reservationOf(object);
			if (reservation !== undefined) yield reservation;
		}
	}
}

/**
 * Whether a reservation of another container may go over to `owner`: of an earlier sandbox of the same pod, also one
 * of Go's, which does not name the container; or one that waits, for its pod, or for nobody any more.
 */
export function mayTake({ podref, ifname }: Pick<Reservation, "podref" | "ifname">, owner: Allocation): boolean {
	const cooling = readCooldown(podref);
	if (cooling?.leftMs === 0) return true;
	return (cooling?.podRef ?? podref) === owner.podref && (ifname || owner.ifname) === owner.ifname;
}

/** Whether a reservation is an attachment's. Go's plugin writes no container, and before 0.7 no interface. */
export function isOf({ id, podref, ifname }: Allocation, owner: Allocation): boolean {
	return id === owner.id && podref === owner.podref && (ifname || owner.ifname) === owner.ifname;
}

function reservationOf({ metadata, spec }: JsonObject): Reservation | undefined {
	if (!isObject(metadata) || !isObject(spec)) return undefined;
	const text = (value: unknown): string => (typeof value === "string" ? value : "");
	return {
		name: text(metadata.name),
		id: text(spec.containerid),
		podref: text(spec.podref),
		ifname: text(spec.ifname),
		precondition: { uid: text(metadata.uid), resourceVersion: text(metadata.resourceVersion) },
	};
}
