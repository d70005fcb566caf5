/**
 * Pods of a real API server, run by a real kubelet and containerd on a node on this host: with our IPAM below Go's ptp
 * and macvlan, and that of install-daemonset.yaml, which puts the plugins there, and a newer version over them.
 */
import { createHash } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Buildah } from "../lab/buildah.ts";
import { CNI_BIN, CNI_CONF, Containerd, installGoPlugins } from "../lab/containerd.ts";
import { binaries } from "../lab/executables.ts";
import { GuestProgram } from "../lab/guest-program.ts";
import { GROUP, Kube, type KubeObject, readManifest, SERVICE_ADDRESS } from "../lab/kube.ts";
import { idlePod, Kubelet, NODE, podGone, podReady } from "../lab/kubelet.ts";
import { NodeOnHost } from "../lab/node-on-host.ts";
import { stateFiles } from "../lab/pods.ts";

const ADDRESS = "10.99.0.1";
/** The executable, and one that is as an older release would be: its ELF note says so. */
const executable = readFileSync(`${binaries}/berth`);
const older = withVersion(executable, "0.0.9");

let kube: Kube;
let node: NodeOnHost;
let containerd: Containerd;
let kubelet: Kubelet;

const sh = async (script: string) => (await node.run(["sh", "-ec", script])).stdout;

beforeAll(async () => {
	kube = await Kube.start({ serviceAccountTokens: true });
	node = await NodeOnHost.start();
	await sh(`ip link add data0 type veth peer name data1; ip link set data0 up; ip link set data1 up
		ip address add ${ADDRESS}/24 dev data0; ip route add default via 10.99.0.254
		ip address add ${SERVICE_ADDRESS}/32 dev lo
		mkdir ${node.directory}/kubelet ${node.directory}/containerd`);
	await node.forward(SERVICE_ADDRESS, 443, kube.port);
	await installGoPlugins(node, ["loopback", "ptp", "macvlan", "static"]);
	await node.writeFile(`${CNI_BIN}/host-local`, older);
	await sh(`chmod 755 ${CNI_BIN}/host-local`);
	await writeNetwork("10-pods.conflist", {
		type: "ptp",
		ipam: { type: "host-local", subnet: "10.72.0.0/24", routes: [{ dst: "0.0.0.0/0" }] },
	});
	containerd = await Containerd.start(node, { directory: `${node.directory}/containerd`, networks: 2 });
	kubelet = await Kubelet.start(node, {
		...{ kube, containerd, directory: `${node.directory}/kubelet` },
		...{ server: `https://${SERVICE_ADDRESS}`, address: ADDRESS },
	});
});
afterAll(async () => {
	await kubelet?.[Symbol.asyncDispose]();
	await containerd?.[Symbol.asyncDispose]();
	await node?.stop();
	await kube?.stop();
});

function withVersion(bytes: Buffer, version: string): Buffer {
	const note = bytes.indexOf("Berth\0\0\0");
	const copy = Buffer.from(bytes);
	expect(copy.write(version, note + 8)).toBe(5);
	return copy;
}

/** By one rename, so that containerd reads it once, whole. */
async function writeNetwork(file: string, plugin: object): Promise<void> {
	const conflist = { cniVersion: "1.0.0", name: file.split(".")[0], plugins: [plugin] };
	await node.writeFile(`${node.directory}/conflist`, JSON.stringify(conflist));
	await node.run(["mv", `${node.directory}/conflist`, `${CNI_CONF}/${file}`]);
}

/** With the account that a controller would make. */
async function newNamespace(): Promise<string> {
	const namespace = await kube.namespace();
	await kube.create({ apiVersion: "v1", kind: "ServiceAccount", metadata: { namespace, name: "default" } });
	return namespace;
}

/** What the kubelet complains about. */
async function warnings(namespace: string): Promise<string[]> {
	const { json } = await kube.request("GET", `/api/v1/namespaces/${namespace}/events`);
	const events: { type: string; reason: string; message: string }[] = json.items;
	return events.filter(({ type }) => type !== "Normal").map(({ reason, message }) => `${reason}: ${message}`);
}

test("a pod has an address of host-local below ptp, and nothing of it is left when it has ended", async () => {
	const namespace = await newNamespace();
	const { metadata } = await kube.create(idlePod(namespace, "one"));
	const { status } = await podReady(kube, metadata);
	expect(status.podIP).toMatch(/^10\.72\.0\.\d+$/);
	expect(await stateFiles(node)).toContain(`/var/lib/cni/networks/10-pods/${status.podIP}`);
	await podGone(kube, metadata);
	expect(await stateFiles(node)).toEqual([]);
	expect(await warnings(namespace)).toEqual([]);
});

/** Of the Dockerfile. */
async function importImage(name: string, berth: Uint8Array): Promise<void> {
	using buildah = new Buildah();
	const path = join(node.directory, "image.tar");
	buildah.build("berth", berth, name, path);
	await containerd.importImage(readFileSync(path));
	rmSync(path);
}

/** What the DaemonSet's controller makes of the object for this node, with another image if one is named. */
async function daemonPod(name: string, image?: string): Promise<KubeObject> {
	const path = `/apis/apps/v1/namespaces/kube-system/daemonsets/${name}`;
	const { template } = (await kube.request("GET", path)).json.spec;
	const [container] = template.spec.containers;
	if (image !== undefined) container.image = image;
	// A kubelet that has just started lets each first probe wait for a random part of this.
	if (container.readinessProbe.periodSeconds > 2) container.readinessProbe.periodSeconds = 2;
	await importImage(container.image, image === undefined ? executable : older);
	const metadata = { ...template.metadata, namespace: "kube-system", generateName: `${name}-` };
	return { apiVersion: "v1", kind: "Pod", metadata, spec: { ...template.spec, nodeName: NODE } };
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** SHA-256 of each file in the directory of plugins. */
async function installed(): Promise<Record<string, string>> {
	const lines = (await sh(`cd ${CNI_BIN}; sha256sum *`)).trim().split("\n");
	return Object.fromEntries(lines.map((line) => line.split(/ +/).toReversed()));
}

const OURS = ["berth", "dhcp", "host-local", "rdma", "sriov", "whereabouts"];
const all = (bytes: Uint8Array) => Object.fromEntries(OURS.map((name) => [name, sha256(bytes)]));

let installer: KubeObject;

test("the pod of install-daemonset.yaml is ready when its plugins are there; Go's that it shall keep are as before", async () => {
	const { loopback, ptp, macvlan, static: goStatic } = await installed();
	// Of a controller, too.
	await kube.create({
		...{ apiVersion: "v1", kind: "ConfigMap", metadata: { namespace: "kube-system", name: "kube-root-ca.crt" } },
		data: { "ca.crt": kube.ca },
	});
	for (const object of readManifest("install-daemonset.yaml")) {
		if (["ConfigMap", "DaemonSet", "CronJob"].includes(object.kind)) await kube.create(object);
	}
	installer = await kube.create(await daemonPod("berth", "localhost/berth:0.0.9"));
	await podReady(kube, installer.metadata);
	expect(await installed()).toEqual({ ...all(older), loopback, ptp, macvlan, static: goStatic });
});

test("the daemon of install-daemonset.yaml gets a pod its address by DHCP, and gives it back", async () => {
	await kube.request("PATCH", `/api/v1/nodes/${NODE}`, [
		{ op: "add", path: "/metadata/labels/berth~1dhcp", value: "true" },
	]);
	const daemon = await kube.create(await daemonPod("berth-dhcp"));
	await podReady(kube, daemon.metadata);
	await sh("ip address add 10.74.0.1/24 dev data1");
	await using server = new GuestProgram(node, [
		...["dnsmasq", "--keep-in-foreground", "--log-facility=-", "--conf-file=/dev/null", "--port=0", "--log-dhcp"],
		...["--interface=data1", "--bind-interfaces", `--dhcp-leasefile=${node.directory}/leases`],
		"--dhcp-range=10.74.0.50,10.74.0.99,2m",
	]);
	await server.says(/DHCP, IP range/);
	await writeNetwork("20-second.conflist", { type: "macvlan", master: "data0", ipam: { type: "dhcp" } });
	const namespace = await newNamespace();
	const { metadata } = await kube.create(idlePod(namespace, "leased"));
	await podReady(kube, metadata);
	const pid = await containerd.sandboxPid("leased");
	const [eth1] = await node.json(["nsenter", `--target=${pid}`, "--net", "ip", "-j", "address", "show", "eth1"]);
	expect(eth1.addr_info).toContainEqual(expect.objectContaining({ local: expect.stringMatching(/^10\.74\.0\.[5-9]/) }));
	await podGone(kube, metadata);
	await server.says(/DHCPRELEASE/);
	await podGone(kube, daemon.metadata);
	expect(await warnings(namespace)).toEqual([]);
});

test("a newer version is installed while pods start and stop, with addresses of whereabouts: none of them fails", async () => {
	await writeNetwork("20-second.conflist", {
		...{ type: "macvlan", master: "data0" },
		ipam: { type: "whereabouts", range: "10.73.0.0/24" },
	});
	const namespace = await newNamespace();
	const reservations = async (): Promise<string[]> => {
		const { json } = await kube.request("GET", `${GROUP}/namespaces/kube-system/overlappingrangeipreservations`);
		return json.items.map(({ spec }: KubeObject) => spec.podref);
	};
	let isUpdated = false;
	const startAndStop = async (worker: number): Promise<void> => {
		for (let round = 0, isLast = false; !isLast; round++) {
			isLast = isUpdated;
			const { metadata } = await kube.create(idlePod(namespace, `pod-${worker}-${round}`));
			expect((await podReady(kube, metadata)).status.podIP).toMatch(/^10\.72\.0\.\d+$/);
			expect(await reservations()).toContain(`${namespace}/${metadata.name}`);
			await podGone(kube, metadata);
		}
	};
	const update = async (): Promise<void> => {
		try {
			await podGone(kube, installer.metadata);
			installer = await kube.create(await daemonPod("berth"));
			await podReady(kube, installer.metadata);
		} finally {
			isUpdated = true;
		}
	};
	await Promise.all([startAndStop(0), startAndStop(1), startAndStop(2), update()]);
	expect(await installed()).toMatchObject(all(executable));
	expect(await warnings(namespace)).toEqual([]);
	expect(await reservations()).toEqual([`kube-system/${installer.metadata.name}`]);
});
