/**
 * A real kubelet (test/tools/kube/go.mod) on a machine, with containerd and the API server of kube.ts: it runs the pods
 * whose `spec.nodeName` is NODE.
 */
import { Authority } from "./certificates.ts";
import type { Containerd } from "./containerd.ts";
import { GuestProgram } from "./guest-program.ts";
import { PAUSE_IMAGE } from "./image.ts";
import { buildKubernetes, type Kube, type KubeObject } from "./kube.ts";
import { kubeconfigText } from "./kubeconfig.ts";
import type { Machine } from "./machine.ts";
import { until } from "./until.ts";

export const NODE = "node-a";

/** In the guest, a kubelet takes 20 s to start where nothing else is at work. */
const DEADLINE_MS = 300_000;

interface Settings {
	readonly kube: Kube;
	/** The API server, as the machine reaches it. */
	readonly server: string;
	readonly containerd: Containerd;
	/** Empty, and no overlay. */
	readonly directory: string;
	/** The machine's own, and not its loopback's. */
	readonly address: string;
}

/** `await using kubelet = await Kubelet.start(machine, {...})` */
export class Kubelet {
	readonly #program: GuestProgram;

	/** Resolves when its node is ready. */
	static async start(machine: Machine, settings: Settings): Promise<Kubelet> {
		const { kube, server, containerd, directory, address } = settings;
		const executable = await buildKubernetes("kubelet");
		const write = async (name: string, text: string): Promise<string> => {
			await machine.writeFile(`${directory}/${name}`, text);
			return `${directory}/${name}`;
		};
		const kubeconfig = { server, authority: { pem: kube.ca }, user: { token: kube.adminToken } };
		using authority = new Authority();
		// Of its own, it would make an RSA key: slow in the guest.
		const { certificate, key } = authority.make({ commonName: NODE, usage: "serverAuth" });
		const config = {
			...{ apiVersion: "kubelet.config.k8s.io/v1beta1", kind: "KubeletConfiguration" },
			containerRuntimeEndpoint: `unix://${containerd.socket}`,
			cgroupDriver: "cgroupfs",
			// Of this machine; the guest has version 2.
			failCgroupV1: false,
			failSwapOn: false,
			enforceNodeAllocatable: [],
			localStorageCapacityIsolation: false,
			makeIPTablesUtilChains: false,
			...{ address: "127.0.0.1", readOnlyPort: 0, healthzPort: 0 },
			tlsCertFile: await write("kubelet.crt", certificate),
			tlsPrivateKeyFile: await write("kubelet.key", key),
			authentication: { webhook: { enabled: false } },
			authorization: { mode: "AlwaysAllow" },
			podLogsDir: `${directory}/logs`,
			nodeStatusUpdateFrequency: "2s",
			// Default: no more than one new status of a pod in ten seconds, unless its phase is another.
			nodeStatusReportFrequency: "2s",
		};
		const program = new GuestProgram(machine, [
			executable,
			`--config=${await write("kubelet.json", JSON.stringify(config))}`,
			`--kubeconfig=${await write("kubeconfig", kubeconfigText(kubeconfig))}`,
			`--root-dir=${directory}/kubelet`,
			`--cert-dir=${directory}/pki`,
			`--hostname-override=${NODE}`,
			// Without it, 20 s are lost over the name's lookup.
			`--node-ip=${address}`,
		]);
		const isReady = async (): Promise<boolean> => {
			const { json } = await kube.request("GET", `/api/v1/nodes/${NODE}`);
			const conditions: { type: string; status: string }[] = json?.status?.conditions ?? [];
			return conditions.some(({ type, status }) => type === "Ready" && status === "True");
		};
		try {
			await until("the node's readiness", isReady, () => tail(program.output), DEADLINE_MS);
		} catch (error) {
			await program[Symbol.asyncDispose]();
			throw error;
		}
		return new Kubelet(program);
	}

	private constructor(program: GuestProgram) {
		this.#program = program;
	}

	/** The last that it has said. */
	get log(): string {
		return tail(this.#program.output);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.#program[Symbol.asyncDispose]();
	}
}

const tail = (text: string): string => text.split("\n").slice(-30).join("\n");

/** A pod of that node with one container that does nothing. */
export const idlePod = (namespace: string, name: string): KubeObject => ({
	...{ apiVersion: "v1", kind: "Pod", metadata: { namespace, name } },
	spec: {
		nodeName: NODE,
		tolerations: [{ operator: "Exists" }],
		automountServiceAccountToken: false,
		// Of the node; there is no DNS in the cluster.
		dnsPolicy: "Default",
		enableServiceLinks: false,
		terminationGracePeriodSeconds: 1,
		containers: [{ name: "idle", image: PAUSE_IMAGE, imagePullPolicy: "Never" }],
	},
});

const podPath = ({ namespace, name }: { namespace: string; name: string }): string =>
	`/api/v1/namespaces/${namespace}/pods/${name}`;

/** Waits until all of a pod's containers are ready, having been started again `restarts` times, and gives the pod. */
export function podReady(kube: Kube, metadata: { namespace: string; name: string }, restarts = 0): Promise<KubeObject> {
	let seen: unknown;
	return until(
		`the pod ${metadata.name}`,
		async () => {
			const { json } = await kube.request("GET", podPath(metadata));
			seen = json?.status;
			const containers: { ready: boolean; restartCount: number }[] = json?.status?.containerStatuses ?? [];
			const isReady = containers.every(({ ready, restartCount }) => ready && restartCount === restarts);
			return containers.length > 0 && isReady && json;
		},
		() => JSON.stringify(seen),
		DEADLINE_MS,
	);
}

/** Deletes a pod, and waits until the kubelet has taken it down. */
export async function podGone(kube: Kube, metadata: { namespace: string; name: string }): Promise<void> {
	const isGone = async () => (await kube.request("GET", podPath(metadata))).status === 404;
	await kube.request("DELETE", podPath(metadata));
	await until(`the end of the pod ${metadata.name}`, isGone, () => "", DEADLINE_MS);
}
