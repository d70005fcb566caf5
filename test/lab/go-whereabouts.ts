/**
 * A model of what the Go whereabouts 0.9.4 asks of the API server: the pool's entry first, by a patch that fails when
 * the pool has changed, then the reservation. For one IPv4 range with overlapping protection; without its lease, so
 * that it may do so at the same time as others.
 */
import { GROUP, type Kube, type KubeObject } from "./kube.ts";

interface Allocation {
	readonly id: string;
	readonly podref: string;
	readonly ifname: string;
}

const number = (address: string): number => address.split(".").reduce((sum, byte) => sum * 256 + Number(byte), 0);
const dotted = (address: number): string =>
	[24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");

export class GoWhereabouts {
	readonly #kube: Kube;
	readonly #namespace: string;
	readonly #range: string;
	readonly #base: number;
	/** Of the last usable address. */
	readonly #last: number;

	/** `range`: a network such as "10.0.0.0/24". */
	constructor(kube: Kube, namespace: string, range: string) {
		const [network, length] = range.split("/");
		this.#kube = kube;
		this.#namespace = namespace;
		this.#range = range;
		this.#base = number(network!);
		this.#last = 2 ** (32 - Number(length)) - 2;
	}

	/** Gives the address. */
	async add(id: string, pod: string, ifname: string): Promise<string> {
		const allocation = { id, podref: `${this.#namespace}/${pod}`, ifname };
		const foreign = new Set<string>();
		for (;;) {
			const pool = await this.#pool();
			const entries = Object.entries<Allocation>(pool.spec.allocations);
			const own = entries.find(([, entry]) => entry.podref === allocation.podref && entry.ifname === ifname);
			const key = own?.[0] ?? this.#lowestFree(pool, foreign);
			const address = dotted(this.#base + Number(key));
			const { status, json } = await this.#ask("GET", `overlappingrangeipreservations/${address}`);
			if (own === undefined && status === 200 && json.spec.podref !== allocation.podref) {
				foreign.add(key);
				continue;
			}
			const test = own === undefined ? [{ op: "test", path: `/spec/allocations/${key}`, value: null }] : [];
			const change = { op: own === undefined ? "add" : "replace", path: `/spec/allocations/${key}`, value: allocation };
			if (!(await this.#patch(pool, [...test, change]))) continue;
			if (status === 404) await this.#reserve(address, allocation);
			return address;
		}
	}

	async del(id: string, ifname: string): Promise<void> {
		for (;;) {
			const pool = await this.#pool();
			const entries = Object.entries<Allocation>(pool.spec.allocations);
			const key = entries.find(([, entry]) => entry.id === id && entry.ifname === ifname)?.[0];
			if (key === undefined) return;
			if (!(await this.#patch(pool, [{ op: "remove", path: `/spec/allocations/${key}` }]))) continue;
			// By its name: it does not look whose it is.
			await this.#ask("DELETE", `overlappingrangeipreservations/${dotted(this.#base + Number(key))}`);
			return;
		}
	}

	#lowestFree(pool: KubeObject, foreign: ReadonlySet<string>): string {
		for (let offset = 1; offset <= this.#last; offset++) {
			const key = String(offset);
			if (!Object.hasOwn(pool.spec.allocations, key) && !foreign.has(key)) return key;
		}
		throw new Error(`Could not allocate IP in range: ${this.#range}`);
	}

	/** Made where there is none. */
	async #pool(): Promise<KubeObject> {
		const name = this.#range.replace("/", "-");
		for (;;) {
			const { status, json } = await this.#ask("GET", `ippools/${name}`);
			if (status === 200) return json;
			await this.#ask("POST", "ippools", {
				...{ apiVersion: "whereabouts.cni.cncf.io/v1alpha1", kind: "IPPool", metadata: { name } },
				spec: { range: this.#range, allocations: {} },
			});
		}
	}

	/** False: the pool has changed since. */
	async #patch({ metadata }: KubeObject, changes: readonly object[]): Promise<boolean> {
		const test = { op: "test", path: "/metadata/resourceVersion", value: metadata.resourceVersion };
		const { status, text } = await this.#ask("PATCH", `ippools/${metadata.name}`, [test, ...changes]);
		if (status !== 200 && status !== 422) throw new Error(`error updating IPPool: ${status}: ${text}`);
		return status === 200;
	}

	async #reserve(address: string, { podref, ifname }: Allocation): Promise<void> {
		const { status, text } = await this.#ask("POST", "overlappingrangeipreservations", {
			apiVersion: "whereabouts.cni.cncf.io/v1alpha1",
			kind: "OverlappingRangeIPReservation",
			metadata: { name: address },
			spec: { podref, ifname },
		});
		if (status !== 201) throw new Error(`reservation of ${address}: ${status}: ${text}`);
	}

	#ask(method: string, path: string, body?: unknown): ReturnType<Kube["request"]> {
		const settings = { token: this.#kube.pluginToken };
		return this.#kube.request(method, `${GROUP}/namespaces/${this.#namespace}/${path}`, body, settings);
	}
}
