/**
 * The networks and pods of examples/, and what Multus makes of a network before it calls plugins.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseAllDocuments } from "yaml";

export const examples = fileURLToPath(new URL("../../examples/", import.meta.url));

/** A member of a list of plugins. */
export type PluginConfiguration = Record<string, unknown> & {
	readonly type: string;
	readonly ipam?: Record<string, unknown> & { readonly type: string };
};

export interface ExampleNetwork {
	/** The directory: "1-sriov". */
	readonly example: string;
	readonly name: string;
	/** What the device plugin calls the VFs of this network; undefined where it needs none. */
	readonly resource: string | undefined;
	readonly cniVersion: string;
	readonly plugins: readonly PluginConfiguration[];
}

/** As an annotation of a pod asks for it. */
export interface Selection {
	readonly name: string;
	readonly ips?: readonly string[];
}

export interface ExamplePod {
	readonly example: string;
	readonly networks: readonly Selection[];
	/** How many it asks for, by resource. */
	readonly limits: Readonly<Record<string, string>>;
}

export const exampleDirectories = (): string[] =>
	readdirSync(examples, { withFileTypes: true })
		.filter((entry) => entry.isDirectory())
		.map((entry) => entry.name)
		.sort();

/** The objects in a file of each directory that has one of this name. */
// biome-ignore lint/suspicious/noExplicitAny: objects of Kubernetes.
export function exampleObjects(file: "network.yaml" | "pod.yaml"): { example: string; object: any }[] {
	return exampleDirectories()
		.filter((example) => existsSync(join(examples, example, file)))
		.flatMap((example) =>
			parseAllDocuments(readFileSync(join(examples, example, file), "utf8")).map((document) => ({
				example,
				object: document.toJS(),
			})),
		);
}

export const exampleNetworks = (): ExampleNetwork[] =>
	exampleObjects("network.yaml").map(({ example, object }) => {
		const { cniVersion, name, plugins, ...plugin } = JSON.parse(object.spec.config);
		return {
			example,
			name: object.metadata.name,
			resource: object.metadata.annotations?.["k8s.v1.cni.cncf.io/resourceName"],
			cniVersion,
			plugins: plugins ?? [plugin],
		};
	});

export const examplePods = (): ExamplePod[] =>
	exampleObjects("pod.yaml").map(({ example, object }) => {
		const wanted: string = object.metadata.annotations["k8s.v1.cni.cncf.io/networks"];
		const networks = wanted.startsWith("[") ? JSON.parse(wanted) : wanted.split(",").map((name) => ({ name }));
		return { example, networks, limits: object.spec.containers[0].resources.limits };
	});

/** The list that libcni gets: with the device in every member. */
export function asMultusMakes({ name, cniVersion, plugins }: ExampleNetwork, device: string | undefined) {
	const more = device === undefined ? {} : { deviceID: device, pciBusID: device };
	return { cniVersion, name, plugins: plugins.map((plugin) => ({ ...plugin, ...more })) };
}
