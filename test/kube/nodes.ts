/**
 * Nodes that start and end pods at the same time, each with a state directory of its own: what an IPAM executable
 * makes of a crowd, with faults if wanted.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { GROUP, type Kube } from "../lab/kube.ts";
import { writeFlatFile, writeKubeconfig } from "../lab/kubeconfig.ts";
import type { randomNumbers } from "../lab/random.ts";
import { until } from "../lab/until.ts";

export interface Settings {
	readonly kube: Kube;
	readonly namespace: string;
	/** Path of the IPAM executable. */
	readonly executable: string;
	/** Of everything that the nodes keep. */
	readonly directory: string;
	readonly range: string;
	/** How many; default 16. */
	readonly count?: number;
	/** Of the API server; another one for a proxy. */
	readonly port?: number;
	/** Nodes have blocks of this size of the range: nobody reserves, and the API server may be away. */
	readonly sliceSize?: string;
	/** What a node's IPAM configuration has besides: its state directory, for one. */
	readonly ipam?: (node: { readonly name: string; readonly directory: string }) => Record<string, unknown>;
}

export interface Attachment {
	readonly pod: string;
	readonly node: number;
}

export interface Held extends Attachment {
	/** Without the prefix. */
	readonly address: string;
}

export interface Faults {
	/** Of a thousand calls, how many get a SIGKILL, at most this many milliseconds after their start. */
	readonly killed: {
		readonly perMille: number;
		readonly withinMs: number;
		readonly random: ReturnType<typeof randomNumbers>;
	};
}

/** A call that ended by itself, with success or not. */
interface Ended extends Attachment {
	readonly stdout: string;
	readonly succeeded: boolean;
	readonly ms: number;
}

export interface Run<T> {
	readonly succeeded: readonly T[];
	/** What they said, and how long they took. */
	readonly failed: readonly { readonly attachment: Attachment; readonly stdout: string; readonly ms: number }[];
	readonly killed: readonly Attachment[];
	/** ADDs that had succeeded while their reservation was not there. */
	readonly withoutReservation: readonly Held[];
	readonly seconds: number;
	/** Of the calls that succeeded. */
	readonly p50Ms: number;
	readonly p99Ms: number;
	/** NaN while the API server is frozen. */
	readonly requestsPerCall: number;
}

export function report(what: string, run: Run<unknown>): string {
	const { succeeded, failed, killed, seconds, p50Ms, p99Ms, requestsPerCall } = run;
	const counts = `${succeeded.length} succeeded, ${failed.length} failed, ${killed.length} killed`;
	const rate = `${seconds.toFixed(1)} s, ${(succeeded.length / seconds).toFixed(1)} a second`;
	const times = `p50 ${p50Ms.toFixed(0)} ms, p99 ${p99Ms.toFixed(0)} ms`;
	const requests = Number.isNaN(requestsPerCall)
		? "requests not counted"
		: `${requestsPerCall.toFixed(2)} requests per call`;
	return `${what}: ${counts}; ${rate}; ${times}; ${requests}`;
}

export class Nodes {
	readonly #settings: Settings;
	readonly #count: number;

	constructor(settings: Settings) {
		const { directory, kube, namespace, port = kube.port, count = 16 } = settings;
		this.#settings = settings;
		this.#count = count;
		const kubeconfig = join(directory, "kubeconfig");
		const user = { token: kube.pluginToken };
		writeKubeconfig(kubeconfig, {
			server: `https://127.0.0.1:${port}`,
			authority: { path: kube.caPath },
			namespace,
			user,
		});
		writeFlatFile(join(directory, "whereabouts.conf"), kubeconfig);
		for (let node = 0; node < count; node++) mkdirSync(join(directory, `node-${node}`));
	}

	/** `pods` of them, spread over the nodes; each node starts one after the other. */
	attachments(pods: number): Attachment[] {
		return Array.from({ length: pods }, (_, index) => ({ pod: `pod-${index}`, node: index % this.#count }));
	}

	async add(attachments: readonly Attachment[], faults?: Faults): Promise<Run<Held>> {
		const withoutReservation: Held[] = [];
		const run = await this.#run("ADD", attachments, faults, async (ended) => {
			const held = { pod: ended.pod, node: ended.node, address: JSON.parse(ended.stdout).ips[0].address.split("/")[0] };
			if (this.#settings.sliceSize === undefined && !(await this.#isReserved(held))) withoutReservation.push(held);
			return held;
		});
		return { ...run, withoutReservation };
	}

	del(attachments: readonly Attachment[], faults?: Faults): Promise<Run<Attachment>> {
		return this.#run("DEL", attachments, faults, async ({ pod, node }) => ({ pod, node }));
	}

	async #run<T>(
		verb: string,
		attachments: readonly Attachment[],
		faults: Faults | undefined,
		then: (ended: Ended) => Promise<T>,
	): Promise<Run<T>> {
		const succeeded: T[] = [];
		const failed: { attachment: Attachment; stdout: string; ms: number }[] = [];
		const killed: Attachment[] = [];
		const times: number[] = [];
		const { kube } = this.#settings;
		const requests = kube.isFrozen ? undefined : await kube.audit();
		const start = performance.now();
		const work = async (node: number): Promise<void> => {
			for (const attachment of attachments.filter((one) => one.node === node)) {
				const ended = await this.#call(verb, attachment, faults);
				if (ended === undefined) killed.push(attachment);
				else if (!ended.succeeded) failed.push({ attachment, stdout: ended.stdout, ms: ended.ms });
				else {
					times.push(ended.ms);
					succeeded.push(await then(ended));
				}
			}
		};
		await Promise.all(Array.from({ length: this.#count }, (_, node) => work(node)));
		const seconds = (performance.now() - start) / 1000;
		times.sort((a, b) => a - b);
		const quantile = (part: number): number => times[Math.ceil(times.length * part) - 1] ?? Number.NaN;
		const requestsPerCall = ((await requests?.())?.length ?? Number.NaN) / attachments.length;
		const numbers = { seconds, p50Ms: quantile(0.5), p99Ms: quantile(0.99), requestsPerCall };
		return { succeeded, failed, killed, withoutReservation: [], ...numbers };
	}

	/** Undefined: it was killed. */
	async #call(verb: string, { pod, node }: Attachment, faults?: Faults): Promise<Ended | undefined> {
		const { executable, directory, range, namespace, ipam, sliceSize } = this.#settings;
		const [name, ownDirectory] = [`node-${node}`, join(directory, `node-${node}`)];
		const config = {
			cniVersion: "1.0.0",
			name: "load",
			type: "sriov",
			ipam: {
				type: "whereabouts",
				range,
				configuration_path: join(directory, "whereabouts.conf"),
				log_level: "error",
				...(sliceSize !== undefined && { node_slice_size: sliceSize }),
				...ipam?.({ name, directory: ownDirectory }),
			},
		};
		const env = {
			PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
			NODENAME: name,
			CNI_COMMAND: verb,
			CNI_CONTAINERID: `sandbox-of-${pod}`,
			CNI_NETNS: `/run/netns/${pod}`,
			CNI_IFNAME: "net1",
			CNI_PATH: "/opt/cni/bin",
			CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${pod};K8S_POD_INFRA_CONTAINER_ID=sandbox-of-${pod}`,
		};
		const start = performance.now();
		const child = spawn(executable, { env, stdio: ["pipe", "pipe", "ignore"] });
		// One that is killed early reads nothing.
		child.stdin.on("error", () => undefined).end(JSON.stringify(config));
		const { perMille, withinMs, random } = faults?.killed ?? { perMille: 0, withinMs: 1, random: () => 0 };
		const isToBeKilled = perMille > 0 && random(1000) < perMille;
		const timer = isToBeKilled ? setTimeout(() => child.kill("SIGKILL"), random(withinMs)) : undefined;
		const chunks: Buffer[] = [];
		child.stdout.on("data", (data) => chunks.push(data));
		const [status, signal] = await once(child, "close");
		clearTimeout(timer);
		if (signal === "SIGKILL") return undefined;
		const ms = performance.now() - start;
		return { pod, node, succeeded: status === 0, stdout: Buffer.concat(chunks).toString(), ms };
	}

	async #isReserved({ pod, address }: Held): Promise<boolean> {
		const { kube, namespace } = this.#settings;
		const path = `${GROUP}/namespaces/${namespace}/overlappingrangeipreservations/${address}`;
		// The first request after a restart of the server fails where its connection was kept; and then it does not
		// yet know the kind, which it says in plain text or with 503.
		const ask = async () => {
			const answer = await kube.request("GET", path).catch(() => undefined);
			return answer?.json === undefined || answer.status === 503 ? undefined : answer;
		};
		const { status, json } = await until("an answer to the admin", ask);
		return status === 200 && json.spec.podref === `${namespace}/${pod}`;
	}

	/** Makes the pod's object: it is there, for a reconciler. */
	async makePod(name: string, nodeName = "node"): Promise<void> {
		const { kube, namespace } = this.#settings;
		const spec = { nodeName, containers: [{ name: "c", image: "none" }] };
		await kube.create({ apiVersion: "v1", kind: "Pod", metadata: { name, namespace }, spec });
	}

	/** Resolves when nobody writes to pools any more: every process that does so in the background has ended. */
	async settled(): Promise<void> {
		const { directory } = this.#settings;
		await until("the end of all writers", async () => {
			const { stdout } = await execa("ps", ["-eo", "args"]);
			return !stdout.split("\n").some((line) => line.startsWith("whereabouts write") && line.includes(directory));
		});
	}

	/** `whereabouts reconcile`, as its own service account. */
	async reconcile(...flags: string[]) {
		const { kube, namespace, directory, executable } = this.#settings;
		const kubeconfig = join(directory, "reconciler.kubeconfig");
		const token = await kube.token(namespace, "berth-reconcile");
		writeKubeconfig(kubeconfig, { server: kube.url, authority: { path: kube.caPath }, namespace, user: { token } });
		return execa(executable, ["reconcile", "-kubeconfig", kubeconfig, ...flags], { reject: false });
	}

	/** What the pool's object holds: pod by address. IPv4 only. */
	async pool(name = this.#settings.range.replace("/", "-")): Promise<Map<string, string>> {
		const { kube, namespace } = this.#settings;
		const path = `${GROUP}/namespaces/${namespace}/ippools/${name}`;
		const { status, json, text } = await kube.request("GET", path);
		if (status !== 200) throw new Error(text);
		const base = json.spec.range
			.split("/")[0]!
			.split(".")
			.reduce((number: number, byte: string) => number * 256 + Number(byte), 0);
		const entries = Object.entries<{ podref: string }>(json.spec.allocations);
		return new Map(entries.map(([offset, { podref }]) => [dotted(base + Number(offset)), podref.split("/")[1]!]));
	}

	/** Pod by address, as the reservations have it. */
	async reservations(): Promise<Map<string, string>> {
		const { kube, namespace } = this.#settings;
		const { json } = await kube.request("GET", `${GROUP}/namespaces/${namespace}/overlappingrangeipreservations`);
		const items: { metadata: { name: string }; spec: { podref: string } }[] = json.items;
		return new Map(items.map(({ metadata, spec }) => [metadata.name, spec.podref.split("/")[1]!]));
	}
}

function dotted(address: number): string {
	return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");
}

/** Addresses that more than one attachment got. */
export function duplicates(held: readonly Held[]): string[] {
	const seen = new Set<string>();
	return held.map(({ address }) => address).filter((address) => seen.has(address) || !seen.add(address));
}
