/** Pods of a real API server, run by a real kubelet and containerd on a node on this host. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { CNI_BIN, CNI_CONF, Containerd, installGoPlugins } from "../lab/containerd.ts";
import { binaries } from "../lab/executables.ts";
import { Kube, SERVICE_ADDRESS } from "../lab/kube.ts";
import { idlePod, Kubelet, podGone, podReady } from "../lab/kubelet.ts";
import { NodeOnHost } from "../lab/node-on-host.ts";
import { stateFiles } from "../lab/pods.ts";

const ADDRESS = "10.99.0.1";

let kube: Kube;
let node: NodeOnHost;
let containerd: Containerd;
let kubelet: Kubelet;

beforeAll(async () => {
	kube = await Kube.start({ serviceAccountTokens: true });
	node = await NodeOnHost.start();
	await node.run([
		...["sh", "-ec"],
		`ip link add data0 type veth peer name data1; ip link set data0 up; ip link set data1 up
		ip address add ${ADDRESS}/24 dev data0; ip route add default via 10.99.0.254
		ip address add ${SERVICE_ADDRESS}/32 dev lo
		mkdir ${node.directory}/kubelet ${node.directory}/containerd
		cp ${binaries}/host-local ${CNI_BIN}`,
	]);
	await node.forward(SERVICE_ADDRESS, 443, kube.port);
	await installGoPlugins(node, ["loopback", "ptp"]);
	const conflist = {
		cniVersion: "1.0.0",
		name: "pods",
		plugins: [{ type: "ptp", ipam: { type: "host-local", subnet: "10.72.0.0/24", routes: [{ dst: "0.0.0.0/0" }] } }],
	};
	await node.writeFile(`${CNI_CONF}/10-pods.conflist`, JSON.stringify(conflist));
	containerd = await Containerd.start(node, { directory: `${node.directory}/containerd` });
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

async function namespace(): Promise<string> {
	const name = await kube.namespace();
	await kube.create({ apiVersion: "v1", kind: "ServiceAccount", metadata: { namespace: name, name: "default" } });
	return name;
}

test("a pod has an address of host-local below ptp, and nothing of it is left when it has ended", async () => {
	const { metadata } = await kube.create(idlePod(await namespace(), "one"));
	const { status } = await podReady(kube, metadata);
	expect(status.podIP).toMatch(/^10\.72\.0\.\d+$/);
	expect(await stateFiles(node)).toContain(`/var/lib/cni/networks/pods/${status.podIP}`);
	await podGone(kube, metadata);
	expect(await stateFiles(node)).toEqual([]);
});
