/**
 * Pods with a VF and its RDMA device, run by container runtimes in the guest: `ctr run --cni`, and a kubelet with
 * containerd, whose own configuration names the VF. The API server is on this machine.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { CNI_BIN, CNI_CONF, Containerd, CtrContainer, installGoPlugins } from "../lab/containerd.ts";
import { binaries } from "../lab/executables.ts";
import { Guest } from "../lab/guest.ts";
import { API_CARD, cardArguments } from "../lab/guest-cards.ts";
import { pauseProgram } from "../lab/image.ts";
import { buildKubernetes, Kube } from "../lab/kube.ts";
import { idlePod, Kubelet, podGone, podReady } from "../lab/kubelet.ts";
import { hostState } from "../lab/pods.ts";
import { rdmaDevices, rdmaState } from "../lab/rdma.ts";
import { createRdmaDevices, createVfs, type Vf } from "../lab/sriov.ts";

const PF = "eth0";
const DIRECTORY = "/run/node";

let kube: Kube;
let guest: Guest;
let containerd: Containerd;
let kubelet: Kubelet | undefined;
let vf: Vf;
let before: unknown;

const state = async () => ({
	...((await hostState(guest)) as object),
	rdma: await rdmaState(guest),
	devices: await rdmaDevices(guest),
});

beforeAll(async () => {
	// The guest sees what was there at its boot.
	await buildKubernetes("kubelet");
	kube = await Kube.start();
	guest = await Guest.boot({
		pfs: 1,
		qemuArguments: cardArguments,
		modules: ["virtio_net", "veth", "overlay"],
		memoryMb: 2600,
	});
	[vf] = (await createVfs(guest, PF, 1)) as [Vf];
	await createRdmaDevices(guest, [vf]);
	await guest.run([
		...["sh", "-ec"],
		`net=$(basename $(dirname $(grep -l ${API_CARD.mac} /sys/class/net/*/address)))
		ip address add ${API_CARD.address} dev $net; ip link set $net up; ip route add default via ${API_CARD.host}
		rm -rf ${CNI_BIN} ${CNI_CONF}; mkdir -p ${CNI_BIN} ${CNI_CONF} ${DIRECTORY}/containerd ${DIRECTORY}/kubelet ${DIRECTORY}/rootfs
		cp ${binaries}/sriov ${CNI_BIN}; for name in rdma host-local; do ln ${CNI_BIN}/sriov ${CNI_BIN}/$name; done`,
	]);
	await guest.writeFile(`${DIRECTORY}/rootfs/pause`, pauseProgram());
	await guest.run(["chmod", "755", `${DIRECTORY}/rootfs/pause`]);
	await installGoPlugins(guest, ["loopback", "ptp"]);
	containerd = await Containerd.start(guest, { directory: `${DIRECTORY}/containerd`, networks: 2 });
});
afterAll(async () => {
	await kubelet?.[Symbol.asyncDispose]();
	await containerd?.[Symbol.asyncDispose]();
	await guest?.shutdown();
	await kube?.stop();
});
beforeEach(async () => {
	before = await state();
});

const hostLocal = (subnet: string) => ({ type: "host-local", subnet });

const vfNetwork = () => ({
	cniVersion: "1.0.0",
	name: "vf",
	plugins: [
		{ type: "sriov", deviceID: vf.pci, vlan: 77, trust: "on", mtu: 1450, ipam: hostLocal("10.73.0.0/24") },
		{ type: "rdma" },
	],
});

const write = (name: string, conflist: object) => guest.writeFile(`${CNI_CONF}/${name}`, JSON.stringify(conflist));

/** What the network of a process has of the VF and its RDMA device, and what the PF says of it. */
async function seen(pid: number, ifname: string): Promise<unknown> {
	const enter = ["nsenter", `--target=${pid}`, "--net"];
	const [link] = await guest.json([...enter, "ip", "-j", "-d", "address", "show", ifname]);
	const devices = await guest.json([...enter, "rdma", "-j", "dev"]);
	const [pf] = await guest.json(["ip", "-j", "link", "show", PF]);
	return {
		pci: link.parentdev,
		mtu: link.mtu,
		isUp: link.flags.includes("UP"),
		addresses: link.addr_info.filter(({ scope }: { scope: string }) => scope === "global").length,
		rdma: devices.map((device: { ifname: string }) => device.ifname),
		vlan: pf.vfinfo_list[0].vlan_list?.[0]?.vlan,
		trust: pf.vfinfo_list[0].trust,
	};
}

const attached = () => ({
	...{ pci: vf.pci, mtu: 1450, isUp: true, addresses: 1, rdma: ["mlx5_0"], vlan: 77, trust: true },
});

test("ctr run --cni: a container has the VF and its RDMA device, and the node is as before when it has ended", async () => {
	await write("10-vf.conflist", vfNetwork());
	{
		await using container = await CtrContainer.run(guest, containerd, `${DIRECTORY}/rootfs`);
		expect(await seen(container.pid, "eth0")).toEqual(attached());
		expect(await rdmaDevices(guest)).toEqual([]);
		const { status, stderr } = await container.end();
		expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
	}
	expect(await state()).toEqual(before);
});

test("a pod has them as its second network, also after its sandbox was killed; without it, the node is as before", async () => {
	const pods = {
		cniVersion: "1.0.0",
		name: "pods",
		plugins: [{ type: "ptp", ipam: { ...hostLocal("10.72.0.0/24"), routes: [{ dst: "0.0.0.0/0" }] } }],
	};
	await write("10-pods.conflist", pods);
	await write("20-vf.conflist", vfNetwork());
	await guest.run(["rm", `${CNI_CONF}/10-vf.conflist`]);
	kubelet = await Kubelet.start(guest, {
		...{ kube, containerd, directory: `${DIRECTORY}/kubelet` },
		...{ server: `https://${API_CARD.host}:${kube.port}`, address: API_CARD.address.split("/")[0]! },
	});
	const { metadata } = await kube.create(idlePod(await kube.namespace(), "one"));
	expect((await podReady(kube, metadata)).status.podIP).toMatch(/^10\.72\.0\.\d+$/);
	const first = (await containerd.sandboxPid("one"))!;
	expect(await seen(first, "eth1")).toEqual(attached());
	expect(await rdmaDevices(guest)).toEqual([]);

	await guest.run(["kill", "-9", String(first)]);
	await podReady(kube, metadata, 1);
	const second = (await containerd.sandboxPid("one"))!;
	expect(second).not.toBe(first);
	expect(await seen(second, "eth1")).toEqual(attached());

	await podGone(kube, metadata);
	expect(await state()).toEqual(before);
});
