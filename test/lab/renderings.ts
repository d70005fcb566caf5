/**
 * The manifests as people get them: install-daemonset.yaml, the kustomize base with its overlays and components, and
 * the Helm chart, by the real kubectl and the real helm.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { parseAllDocuments } from "yaml";
import { buildGoTools } from "./go-tools.ts";
import { buildKubernetes, type KubeObject } from "./kube.ts";

export const manifests = fileURLToPath(new URL("../../manifests/", import.meta.url));
export const chart = join(manifests, "chart");
const helmTools = fileURLToPath(new URL("../tools/helm/", import.meta.url));

/** What kustomize makes, and what Helm is told for the same. */
export interface Rendering {
	readonly name: string;
	/** Below manifests. */
	readonly overlay: string;
	readonly components?: readonly string[];
	readonly helm: readonly string[];
}

/** Helm's kinds (CRDs) are files of their own, which it installs unless it is told not to (--skip-crds). */
const KINDS = "--include-crds";
const valuesOf = (overlay: string): string => `--values=${join(chart, `values-${overlay}.yaml`)}`;

export const RENDERINGS: readonly Rendering[] = [
	{ name: "base", overlay: "base", helm: [KINDS] },
	{ name: "selinux", overlay: "overlays/selinux", helm: [KINDS, valuesOf("selinux")] },
	{ name: "k3s", overlay: "overlays/k3s", helm: [KINDS, valuesOf("k3s")] },
	{ name: "openshift", overlay: "overlays/openshift", helm: [valuesOf("openshift")] },
	{ name: "without dhcp", overlay: "base", components: ["without-dhcp"], helm: [KINDS, "--set=dhcp.enabled=false"] },
	{
		name: "without whereabouts",
		overlay: "base",
		components: ["without-whereabouts"],
		helm: ["--set=whereabouts.enabled=false"],
	},
	{ name: "uninstall", overlay: "overlays/uninstall", helm: [KINDS, "--set=uninstall=true"] },
	{
		name: "with persistent addresses and node blocks on k3s",
		overlay: "overlays/k3s",
		components: ["persistent-ips", "node-blocks"],
		helm: [KINDS, valuesOf("k3s"), "--set=whereabouts.persistentIPs=true,whereabouts.nodeBlocks.enabled=true"],
	},
];

export const parseObjects = (text: string): KubeObject[] =>
	parseAllDocuments(text)
		.map((document) => document.toJS())
		.filter((object) => object !== null);

/** `kubectl kustomize`. */
export async function kustomize({ overlay, components = [] }: Omit<Rendering, "name" | "helm">): Promise<KubeObject[]> {
	const kubectl = await buildKubernetes("kubectl");
	const directory = mkdtempSync(join(tmpdir(), "berth-kustomize-"));
	try {
		const path = (name: string): string => relative(directory, join(manifests, name));
		const kustomization = {
			resources: [path(overlay)],
			components: components.map((name) => path(`components/${name}`)),
		};
		writeFileSync(join(directory, "kustomization.yaml"), JSON.stringify(kustomization));
		const { stdout } = await execa(kubectl, ["kustomize", directory]);
		return parseObjects(stdout);
	} finally {
		rmSync(directory, { recursive: true });
	}
}

/** Path of helm. */
export async function buildHelm(): Promise<string> {
	const tools = { directory: helmTools, name: "helm", linkerFlags: [] };
	return join(await buildGoTools(tools, ["helm.sh/helm/v3/cmd/helm"]), "helm");
}

/** `helm template`. */
export async function helmTemplate(flags: readonly string[], namespace = "kube-system"): Promise<KubeObject[]> {
	const helm = await buildHelm();
	const { stdout } = await execa(helm, ["template", "berth", chart, `--namespace=${namespace}`, ...flags]);
	return parseObjects(stdout);
}
