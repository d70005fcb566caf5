/**
 * sriov with whereabouts: pods in the guest get their addresses from an API server on this machine, of a pool of the
 * whole cluster and of the node's own block.
 */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { API_CARD } from "../lab/guest-cards.ts";
import { GROUP, Kube } from "../lab/kube.ts";
import { writeKubeconfig } from "../lab/kubeconfig.ts";
import { callPlugin, createPod, stateFiles, succeeded } from "../lab/pods.ts";
import { createVfs, until, type Vf } from "../lab/sriov.ts";
import { PF, useSriov } from "../lab/sriov-session.ts";

const { guest, sh } = useSriov();
const PODS = ["pod0", "pod1"];
let kube: Kube;
let namespace: string;
let kubeconfig: string;
let vfs: Vf[];

beforeAll(async () => {
	kube = await Kube.start();
	namespace = await kube.namespace();
	// The guest has this machine's files.
	kubeconfig = join(kube.directory, "guest.kubeconfig");
	writeKubeconfig(kubeconfig, {
		server: `https://${API_CARD.host}:${kube.port}`,
		authority: { pem: kube.ca },
		namespace,
		user: { token: kube.pluginToken },
	});
	vfs = await createVfs(guest(), PF, 2);
	await sh(`net=$(basename $(dirname $(grep -l ${API_CARD.mac} /sys/class/net/*/address)))
ip address add ${API_CARD.address} dev $net
ip link set $net up`);
	// A first run compiles the API server.
}, 900_000);
afterAll(async () => {
	await sh(`ip address flush to ${API_CARD.address}`);
	await kube.stop();
});

const call = (verb: string, index: number, ipam: object, more: object = {}) => {
	const pod = PODS[index]!;
	const configuration = {
		cniVersion: "1.1.0",
		name: "cluster",
		type: "sriov",
		deviceID: vfs[index]!.pci,
		ipam: { type: "whereabouts", kubernetes: { kubeconfig }, ...ipam },
		...more,
	};
	return callPlugin(guest(), "sriov", verb, configuration, {
		containerId: `sandbox-of-${pod}`,
		netns: `/run/netns/${pod}`,
		args: `IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=${pod}`,
	});
};

const list = async (plural: string) =>
	(await kube.request("GET", `${GROUP}/namespaces/${namespace}/${plural}`)).json.items;

/** The pods' addresses, which reach each other. */
async function addBoth(ipam: object): Promise<string[]> {
	const addresses: string[] = [];
	for (const [index, pod] of PODS.entries()) {
		await createPod(guest(), pod);
		const { json } = succeeded(await call("ADD", index, ipam));
		addresses.push(json.ips[0].address);
		succeeded(await call("CHECK", index, ipam, { prevResult: json }));
		const [link] = await guest().json(["ip", "-n", pod, "-j", "-4", "address", "show", "net1"]);
		expect(link.addr_info).toMatchObject([{ local: json.ips[0].address.split("/")[0] }]);
	}
	const other = addresses[1]!.split("/")[0]!;
	const ping = ["ip", "netns", "exec", PODS[0]!, "ping", "-c", "1", "-W", "5", other];
	await until("an echo", async () => (await guest().run(ping, { ok: false })).status === 0);
	return addresses;
}

async function delBoth(ipam: object): Promise<void> {
	for (const [index, pod] of PODS.entries()) {
		succeeded(await call("DEL", index, ipam));
		await guest().run(["ip", "netns", "del", pod]);
	}
}

test("two pods get addresses of one pool, and give them back", { timeout: 600_000 }, async () => {
	const ipam = { range: "10.8.0.0/24" };
	const addresses = (await addBoth(ipam)).map((address) => address.split("/")[0]!);
	expect(new Set(addresses).size).toBe(2);
	const reserved = await list("overlappingrangeipreservations");
	const named = reserved.map(({ metadata, spec }: { metadata: { name: string }; spec: { podref: string } }) => [
		metadata.name,
		spec.podref,
	]);
	expect(named.sort()).toEqual(addresses.map((address, index) => [address, `default/${PODS[index]}`]).sort());
	await delBoth(ipam);
	expect(await list("overlappingrangeipreservations")).toEqual([]);
	expect((await stateFiles(guest())).filter((path) => path.includes("/attachments/"))).toEqual([]);
});

test("with blocks and vf-index each VF has its own address, whatever pod has it", { timeout: 600_000 }, async () => {
	const name = (await sh("cat /etc/hostname")).stdout.trim();
	await kube.create({
		apiVersion: "whereabouts.cni.cncf.io/v1alpha1",
		kind: "NodeSlicePool",
		metadata: { name: "cluster", namespace },
		spec: { range: "10.9.0.0/24", sliceSize: "/28" },
		status: { allocations: [{ nodeName: name, sliceRange: "10.9.0.16/28" }] },
	});
	const ipam = { range: "10.9.0.0/24", node_slice_size: "/28", address: "vf-index" };
	const expected = vfs.map(({ index }) => `10.9.0.${17 + index}/24`);
	expect(await addBoth(ipam)).toEqual(expected);
	await delBoth(ipam);
	const requests = await kube.audit();
	PODS.reverse();
	expect(await addBoth(ipam)).toEqual(expected);
	// With another main plugin the VF's pod may still live: then the address is its own.
	const thief = await callPlugin(
		guest(),
		"whereabouts",
		"ADD",
		{
			...{ cniVersion: "1.1.0", name: "cluster", type: "macvlan", deviceID: vfs[0]!.pci },
			ipam: { type: "whereabouts", kubernetes: { kubeconfig }, ...ipam },
		},
		{
			...{ containerId: "thief", netns: `/run/netns/${PODS[0]}`, ifName: "net9" },
			args: "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=thief",
		},
	);
	expect([thief.json.code, thief.json.msg]).toEqual([
		101,
		`requested address ${expected[0]!.split("/")[0]} is held by container sandbox-of-${PODS[0]}`,
	]);
	// A sandbox that ends without DEL has the address no longer when its VF has another pod.
	await guest().run(["ip", "netns", "del", PODS[0]!]);
	PODS[0] = "pod2";
	await createPod(guest(), "pod2");
	expect(succeeded(await call("ADD", 0, ipam)).json.ips[0].address).toBe(expected[0]);
	await delBoth(ipam);
	expect(await requests()).toEqual([]);
	expect(await list("overlappingrangeipreservations")).toEqual([]);
});
