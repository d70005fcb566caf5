import { beforeAll, describe, expect, test } from "vitest";
import { useGuest } from "../lab/guest-session.ts";
import { peer } from "../lab/peers.ts";
import { binaries, hostState, links } from "../lab/pods.ts";
import { pod, rdmaDevices, rdmaState, sysfsDevices } from "../lab/rdma.ts";
import { createRdmaDevices, createVfs, type Vf } from "../lab/sriov.ts";

const guest = useGuest();
let vfs: Vf[];

/** Everything that the chain may change on the host. */
const everything = async () => ({ host: await hostState(guest()), rdma: await rdmaState(guest()) });

const ipam = { type: "host-local", subnet: "10.56.217.0/24", routes: [{ dst: "0.0.0.0/0" }], gateway: "10.56.217.1" };
/** The chain of scenario 2 (RoCE, namespace-aware), and one plugin that does as much. */
const NETWORKS = {
	"the chain sriov + rdma": [{ type: "sriov", ipam }, { type: "rdma" }],
	"sriov with rdma": [{ type: "sriov", rdma: true, ipam }],
};

/** With deviceID as Multus puts it into every plugin. */
async function writeNetwork(
	network: readonly object[],
	cniVersion: string,
	name: string,
	deviceID: string,
): Promise<void> {
	const plugins = network.map((plugin) => ({
		...plugin,
		deviceID,
		pciBusID: deviceID,
	}));
	await guest().writeFile(`/etc/cni/net.d/10-${name}.conflist`, JSON.stringify({ cniVersion, name, plugins }));
}

async function cnitool(verb: string, name: string, pod: string): Promise<string> {
	const env = { CNI_PATH: binaries, NETCONFPATH: "/etc/cni/net.d", CNI_IFNAME: "net1" };
	return (await guest().run([await peer("cnitool"), verb, name, `/run/netns/${pod}`], { env })).stdout;
}

beforeAll(async () => {
	vfs = await createVfs(guest(), "eth0", 3);
	await createRdmaDevices(guest(), vfs);
	await guest().run(["mkdir", "-p", "/etc/cni/net.d"]);
	// cnitool keeps results and would show up as a difference.
	await guest().run(["mkdir", "-p", "/var/lib/cni/results"]);
});

describe.each(Object.entries(NETWORKS))("%s, called by cnitool", (_, network) => {
	test.each(["0.3.1", "0.4.0", "1.0.0", "1.1.0"])(
		"version %s: the pod has its device and no other; after DEL all is as before",
		async (version) => {
			await writeNetwork(network, version, "sriov-network", vfs[0]!.pci);
			const before = await everything();
			await using _ = await pod(guest(), "pod1");

			const result = JSON.parse(await cnitool("add", "sriov-network", "pod1"));
			expect(result.cniVersion).toBe(version);
			expect(result.interfaces).toMatchObject([{ name: "net1", sandbox: "/run/netns/pod1" }]);
			expect(result.ips).toMatchObject([{ address: expect.stringMatching(/^10\.56\.217\.\d+\/24$/), interface: 0 }]);
			expect(await sysfsDevices(guest(), "pod1")).toEqual(["mlx5_0"]);
			expect(await rdmaDevices(guest(), "pod1")).toEqual(["mlx5_0"]);
			expect(await sysfsDevices(guest())).toEqual(["mlx5_1", "mlx5_2"]);
			expect(await rdmaDevices(guest())).toEqual(["mlx5_1", "mlx5_2"]);
			expect((await links(guest(), "pod1")).map((link) => link.ifname)).toContain("net1");
			if (version !== "0.3.1") await cnitool("check", "sriov-network", "pod1");

			await cnitool("del", "sriov-network", "pod1");
			expect(await everything()).toEqual(before);
		},
	);

	test("two pods at once: each sees only its own", async () => {
		await writeNetwork(network, "0.3.1", "network-a", vfs[0]!.pci);
		await writeNetwork(network, "0.3.1", "network-b", vfs[1]!.pci);
		const before = await everything();
		await using _first = await pod(guest(), "pod1");
		await using _second = await pod(guest(), "pod2");
		await Promise.all([cnitool("add", "network-a", "pod1"), cnitool("add", "network-b", "pod2")]);
		expect(await sysfsDevices(guest(), "pod1")).toEqual(["mlx5_0"]);
		expect(await sysfsDevices(guest(), "pod2")).toEqual(["mlx5_1"]);
		expect(await sysfsDevices(guest())).toEqual(["mlx5_2"]);
		await Promise.all([cnitool("del", "network-a", "pod1"), cnitool("del", "network-b", "pod2")]);
		expect(await everything()).toEqual(before);
	});
});
