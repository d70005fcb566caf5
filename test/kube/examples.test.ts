/** examples/ on a real API server: it takes their objects, and whereabouts hands out what they ask for. */
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { asMultusMakes, exampleNetworks, exampleObjects, examples } from "../lab/examples.ts";
import { call, ours, scratchDirectory } from "../lab/ipam.ts";
import { buildKubernetes, Kube, type KubeObject } from "../lab/kube.ts";
import { writeKubeconfig } from "../lab/kubeconfig.ts";
import { parseObjects } from "../lab/renderings.ts";

/** As far as the specification of the Network Plumbing Working Group goes: spec.config is a string. */
const DEFINITION: KubeObject = {
	apiVersion: "apiextensions.k8s.io/v1",
	kind: "CustomResourceDefinition",
	metadata: { name: "network-attachment-definitions.k8s.cni.cncf.io" },
	spec: {
		group: "k8s.cni.cncf.io",
		scope: "Namespaced",
		names: {
			plural: "network-attachment-definitions",
			singular: "network-attachment-definition",
			kind: "NetworkAttachmentDefinition",
		},
		versions: [
			{
				name: "v1",
				served: true,
				storage: true,
				schema: {
					openAPIV3Schema: {
						type: "object",
						properties: { spec: { type: "object", properties: { config: { type: "string" } } } },
					},
				},
			},
		],
	},
};

let kube: Kube;
let kubeconfig: string;

beforeAll(async () => {
	kube = await Kube.start();
	await buildKubernetes("kubectl");
	kubeconfig = join(kube.directory, "admin.kubeconfig");
	writeKubeconfig(kubeconfig, { server: kube.url, authority: { path: kube.caPath }, user: { token: kube.adminToken } });
	await kubectl(["apply", "--server-side", "--filename=-"], [DEFINITION]);
	await kubectl(["wait", "--for=condition=Established", `crd/${DEFINITION.metadata.name}`]);
});
afterAll(() => kube?.stop());

/** With the admin's rights; `objects` on stdin. Returns the lines of its answer. */
async function kubectl(args: readonly string[], objects: readonly KubeObject[] = []): Promise<string[]> {
	const input = JSON.stringify({ apiVersion: "v1", kind: "List", items: objects });
	const env = { KUBECONFIG: kubeconfig, HOME: kube.directory };
	const { stdout, stderr } = await execa(await buildKubernetes("kubectl"), args, { input, env });
	expect(stderr).toBe("");
	return stdout.split("\n");
}

/** Every field is known to the server, and every value is one that it takes. */
async function expectTaken(objects: readonly KubeObject[]): Promise<void> {
	const lines = await kubectl(
		["apply", "--filename=-", "--server-side", "--dry-run=server", "--validate=strict"],
		objects,
	);
	expect(lines).toHaveLength(objects.length);
	for (const line of lines) expect(line).toMatch(/ serverside-applied \(server dry run\)$/);
}

test("the API server takes each network and each pod, with no word about a field", async () => {
	const objects = [...exampleObjects("network.yaml"), ...exampleObjects("pod.yaml")].map(({ object }) => object);
	// The kubelet's part, which an API server without controllers lacks.
	await kubectl(["create", "serviceaccount", "default"]);
	await expectTaken(objects);
});

test("8-install-by-label: both DaemonSets choose nodes by the label, and nothing else differs from the base", async () => {
	const render = async (directory: string) => parseObjects((await kubectl(["kustomize", directory])).join("\n"));
	const objects = await render(join(examples, "8-install-by-label"));
	await expectTaken(objects);
	const chosen = objects.filter(({ kind }) => kind === "DaemonSet").map(({ spec }) => spec.template.spec.nodeSelector);
	expect(chosen).toHaveLength(2);
	for (const selector of chosen) {
		expect(selector["berth/install"]).toBe("yes");
		delete selector["berth/install"];
	}
	expect(objects).toEqual(await render(join(examples, "../manifests/base")));
});

describe("whereabouts hands out an address of the network", () => {
	const cases = exampleNetworks().filter(({ plugins }) => plugins[0]?.ipam?.type === "whereabouts");
	test.each(cases)("$example: $name", async (network) => {
		const path = join(scratchDirectory(), "kubeconfig");
		writeKubeconfig(path, {
			server: kube.url,
			authority: { path: kube.caPath },
			namespace: await kube.namespace(),
			user: { token: kube.pluginToken },
		});
		const { cniVersion, name, plugins } = asMultusMakes(network, undefined);
		const [plugin] = plugins;
		const ipam = { ...plugin?.ipam, kubernetes: { kubeconfig: path }, dataDir: scratchDirectory() };
		const options = {
			config: { cniVersion, name, ...plugin, ipam },
			args: "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=pod",
		};
		const added = await call(ours("whereabouts"), "ADD", options);
		expect(added.json.ips?.[0].address, added.stdout).toMatch(/^10\.56\.2(20|22|32|33|34|35)\.\d+\/2[24]$/);
		expect((await call(ours("whereabouts"), "DEL", options)).stdout).toBe("");
	});
});
