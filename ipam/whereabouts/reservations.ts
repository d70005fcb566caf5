/**
 * Reservations: the object whose name is an address belongs to who made it.
 */
import { isObject } from "../../lib/cni/json.ts";
import type { JsonObject } from "../../lib/cni/types.ts";
import type { Ip } from "../../lib/ip/address.ts";
import type { KubeClient, Precondition } from "../../lib/kube/client.ts";
import { text } from "../../lib/state/json.ts";
import { coolingHolder, readCooldown } from "./cooldown.ts";
import { type Allocation, metadataOf, reservationName, reservationObject, reservationsPath } from "./objects.ts";

export type Reservation = Readonly<NonNullable<ReturnType<typeof reservationOf>>>;

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
		while (!this.make(ip, owner)) {
			const there = this.find(this.nameOf(ip));
			// Released since; or somebody was quicker.
			if (there === undefined) continue;
			if (isOf(there, owner)) return true;
			if (!mayTake(there, owner)) return false;
			if (this.#replace(there, owner)) return true;
		}
		return true;
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
			if (there === undefined || !isOf(isGo ? { ...there, id: there.id || owner.id } : there, owner)) return;
			const { podref, ifname } = there;
			const isDone =
				delayMs > 0
					? this.#replace(there, { id: "", podref: coolingHolder(podref, delayMs), ifname })
					: this.remove(there);
			if (isDone) return;
		}
	}

	/** False where it is another one by now, or gone. */
	#replace({ name, precondition: { resourceVersion } }: Reservation, holder: Allocation): boolean {
		const object = { ...reservationObject(name, holder), metadata: { name, resourceVersion } };
		return this.#client.replace(`${this.#path}/${name}`, object);
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

function reservationOf(object: JsonObject) {
	const { spec } = object;
	if (!isObject(spec)) return undefined;
	const { name, uid, resourceVersion } = metadataOf(object);
	return {
		name,
		/** "" where the Go plugin made it. */
		id: text(spec.containerid),
		podref: text(spec.podref),
		/** "" where an old Go plugin made it. */
		ifname: text(spec.ifname),
		precondition: { uid, resourceVersion } satisfies Precondition,
	};
}
