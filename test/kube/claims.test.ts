/** IPAMClaims: addresses that stay from pod to pod while an object lives. */
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { call, ours, scratchDirectory } from "../lab/ipam.ts";
import { GROUP, Kube } from "../lab/kube.ts";
import { writeKubeconfig } from "../lab/kubeconfig.ts";

let kube: Kube;
let namespace: string;
const CLAIMS = "/apis/k8s.cni.cncf.io/v1alpha1";

/**
 * The kind as the multi-network API has it, as far as it matters here: `ips` and `ownerPod` of a status, both or none.
 */
const kind = {
	apiVersion: "apiextensions.k8s.io/v1",
	kind: "CustomResourceDefinition",
	metadata: {
		name: "ipamclaims.k8s.cni.cncf.io",
		annotations: { "api-approved.kubernetes.io": "unapproved, a test" },
	},
	spec: {
		group: "k8s.cni.cncf.io",
		scope: "Namespaced",
		names: { kind: "IPAMClaim", listKind: "IPAMClaimList", plural: "ipamclaims", singular: "ipamclaim" },
		versions: [
			{
				name: "v1alpha1",
				served: true,
				storage: true,
				subresources: { status: {} },
				schema: {
					openAPIV3Schema: {
						type: "object",
						properties: {
							spec: {
								type: "object",
								required: ["interface", "network"],
								properties: {
									interface: { type: "string" },
									network: { type: "string" },
									ipRequests: { type: "array", maxItems: 2, items: { type: "string" } },
								},
							},
							status: {
								type: "object",
								required: ["ips", "ownerPod"],
								properties: {
									ips: { type: "array", maxItems: 2, items: { type: "string" } },
									ownerPod: { type: "string" },
									conditions: {
										type: "array",
										items: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
									},
								},
							},
						},
					},
				},
			},
		],
	},
};

beforeAll(async () => {
	kube = await Kube.start();
	await kube.create(kind);
	namespace = await kube.namespace();
	await kube.bindPersistentIps(namespace);
	await kube.untilAllowed(`${CLAIMS}/ipamclaims`, await kube.token(namespace, "berth-reconcile"));
});
afterAll(() => kube.stop());

let directory: string;
const RANGES = { range: "10.5.0.0/24", ipRanges: [{ range: "2001:db8:5::/64" }] };

function plugin(verb: string, pod: string, more: { ipam?: object; args?: string; config?: object } = {}) {
	const kubeconfig = join(directory, "kubeconfig");
	writeKubeconfig(kubeconfig, {
		server: kube.url,
		authority: { path: kube.caPath },
		namespace,
		user: { token: kube.pluginToken },
	});
	const ipam = {
		type: "whereabouts",
		kubernetes: { kubeconfig },
		dataDir: join(directory, "state"),
		...RANGES,
		...more.ipam,
	};
	const config = { cniVersion: "1.1.0", name: "lan", type: "sriov", allowPersistentIPs: true, ipam, ...more.config };
	const args = `IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=${pod}${more.args ?? ""}`;
	return call(ours("whereabouts"), verb, { config, id: `id-${pod}`, ifName: "net2", args });
}

async function add(pod: string): Promise<string[]> {
	const { status, json, stdout } = await plugin("ADD", pod);
	expect(status, stdout).toBe(0);
	return json.ips.map(({ address }: { address: string }) => address);
}

async function del(pod: string): Promise<void> {
	const { status, stdout } = await plugin("DEL", pod);
	expect(status, stdout).toBe(0);
}

/** A pod whose second interface means a claim. */
async function makePod(name: string, claim?: string): Promise<void> {
	const second = { name: "lan", namespace: "default", ...(claim && { "ipam-claim-reference": claim }) };
	const networks = JSON.stringify([{ name: "other", interface: "eth7" }, second]);
	const spec = { nodeName: "node", containers: [{ name: "c", image: "none" }] };
	const metadata = { name, namespace: "default", annotations: { "k8s.v1.cni.cncf.io/networks": networks } };
	await kube.create({ apiVersion: "v1", kind: "Pod", metadata, spec });
}

const removePod = (name: string) =>
	kube.request("DELETE", `/api/v1/namespaces/default/pods/${name}?gracePeriodSeconds=0`);

async function makeClaim(name: string, more: object = {}): Promise<void> {
	const spec = { interface: "pod1", network: "lan", ...more };
	await kube.create({
		apiVersion: "k8s.cni.cncf.io/v1alpha1",
		kind: "IPAMClaim",
		metadata: { name, namespace: "default" },
		spec,
	});
}

const statusOf = async (name: string) =>
	(await kube.request("GET", `${CLAIMS}/namespaces/default/ipamclaims/${name}`)).json.status;

const removeClaim = (name: string) => kube.request("DELETE", `${CLAIMS}/namespaces/default/ipamclaims/${name}`);

/** "name holder container", sorted. */
async function reservations(): Promise<string[]> {
	const { json } = await kube.request("GET", `${GROUP}/namespaces/${namespace}/overlappingrangeipreservations`);
	type Item = { metadata: { name: string }; spec: { podref: string; containerid: string } };
	return json.items.map(({ metadata, spec }: Item) => `${metadata.name} ${spec.podref} ${spec.containerid}`).sort();
}

async function reconcile(): Promise<string> {
	const kubeconfig = join(directory, "reconciler");
	const token = await kube.token(namespace, "berth-reconcile");
	writeKubeconfig(kubeconfig, { server: kube.url, authority: { path: kube.caPath }, namespace, user: { token } });
	const { stdout, exitCode } = await execa(ours("whereabouts"), ["reconcile", "-kubeconfig", kubeconfig], {
		reject: false,
	});
	expect(exitCode).toBe(0);
	return stdout.split("\n").at(-1)!;
}

test("a claim's addresses go from pod to pod, also while both are there, and stay as long as it lives", async () => {
	directory = scratchDirectory();
	await makeClaim("vm.lan");
	await makePod("launcher-1", "vm.lan");
	const first = await add("launcher-1");
	expect(first).toHaveLength(2);
	expect(await statusOf("vm.lan")).toEqual({ ips: first, ownerPod: "launcher-1" });
	const names = first.map((address) => address.split("/")[0]!.replaceAll(":", "-"));
	const held = (pod: string) => names.map((name) => `${name} default/ipamclaim:vm.lan id-${pod}`).sort();
	expect(await reservations()).toEqual(held("launcher-1"));
	const prevResult = (await plugin("ADD", "launcher-1")).json;
	expect((await plugin("CHECK", "launcher-1", { config: { prevResult } })).status).toBe(0);

	// Live migration: the next pod is there before the first one ends.
	await makePod("launcher-2", "vm.lan");
	expect(await add("launcher-2")).toEqual(first);
	expect((await plugin("CHECK", "launcher-1", { config: { prevResult } })).json.code).toBe(102);
	await del("launcher-1");
	await removePod("launcher-1");
	expect(await reservations()).toEqual(held("launcher-2"));
	expect(await statusOf("vm.lan")).toEqual({ ips: first, ownerPod: "launcher-2" });

	// The machine is off: nobody gets them meanwhile, and no reconciler takes them.
	await del("launcher-2");
	await removePod("launcher-2");
	expect(await reconcile()).toBe("0 freed, 0 healed, 0 failed");
	expect(await reservations()).toEqual(held("launcher-2"));
	await makePod("other");
	const other = await plugin("ADD", "other", { args: `;IP=${first[0]!.split("/")[0]}` });
	expect([other.json.code, other.json.msg]).toEqual([
		101,
		expect.stringContaining("held by pod default/ipamclaim:vm.lan"),
	]);

	await makePod("launcher-3", "vm.lan");
	expect(await add("launcher-3")).toEqual(first);
	// Somebody deletes the claim: what is in use stays in use.
	await removeClaim("vm.lan");
	expect(await reconcile()).toBe("0 freed, 0 healed, 0 failed");
	await del("launcher-3");
	expect(await reservations()).toEqual([]);
	await removePod("launcher-3");
	await removePod("other");
});

test("a claim that goes while nobody uses it: reconcile frees its addresses", async () => {
	directory = scratchDirectory();
	await makeClaim("off.lan");
	await makePod("launcher-4", "off.lan");
	await add("launcher-4");
	await del("launcher-4");
	await removePod("launcher-4");
	expect(await reservations()).toHaveLength(2);
	await removeClaim("off.lan");
	await reconcile();
	expect(await reservations()).toEqual([]);
});

test("a claim asks for addresses, and is given them or a reason", async () => {
	directory = scratchDirectory();
	await makeClaim("asks.lan", { ipRequests: ["10.5.0.77/24"] });
	await makePod("launcher-5", "asks.lan");
	const addresses = await add("launcher-5");
	expect(addresses[0]).toBe("10.5.0.77/24");
	expect((await statusOf("asks.lan")).ips).toEqual(addresses);

	const refused = async (pod: string, claim: string, more = {}) => {
		await makePod(pod, claim);
		const { json } = await plugin("ADD", pod, more);
		await del(pod);
		return [json.code, json.msg];
	};
	await makeClaim("outside.lan", { ipRequests: ["10.6.0.1/24"] });
	expect(await refused("p1", "outside.lan")).toEqual([
		7,
		"IPAMClaim default/outside.lan has 10.6.0.1, which no range hands out",
	]);
	expect(await refused("p2", "none.lan")).toEqual([
		11,
		"there is no IPAMClaim default/none.lan, which pod default/p2 names",
	]);
	await makeClaim("foreign", { network: "wan" });
	expect(await refused("p3", "foreign")).toEqual([7, "IPAMClaim default/foreign is of network wan, not of lan"]);
	await makeClaim("both.lan");
	expect(await refused("p4", "both.lan", { args: ";IP=10.5.0.9" })).toEqual([
		7,
		"IPAMClaim default/both.lan is named by a pod that asks for addresses, too: either, not both",
	]);
	await makeClaim("taken.lan", { ipRequests: ["10.5.0.77/24"] });
	expect(await refused("p5", "taken.lan")).toEqual([
		101,
		"requested address 10.5.0.77 is held by pod default/ipamclaim:asks.lan",
	]);
	const blocks = await plugin("ADD", "launcher-5", { ipam: { ipRanges: [], node_slice_size: "/28" } });
	expect([blocks.json.code, blocks.json.msg]).toEqual([
		7,
		expect.stringContaining("allowPersistentIPs cannot be had with ipam.node_slice_size"),
	]);
	const overlapping = await plugin("ADD", "launcher-5", { ipam: { enable_overlapping_ranges: false } });
	expect([overlapping.json.code, overlapping.json.msg]).toEqual([
		7,
		expect.stringContaining("enable_overlapping_ranges false"),
	]);
	// What was refused holds nothing.
	expect((await reservations()).every((line) => line.includes("ipamclaim:asks.lan"))).toBe(true);
});
