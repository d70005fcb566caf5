/** The networks of examples/ that begin with sriov, on real VFs: called by libcni (cnitool), with what Multus adds. */
import { beforeAll, beforeEach, expect, test } from "vitest";
import { dnsmasqCommand } from "../lab/dhcp.ts";
import { asMultusMakes, type ExampleNetwork, exampleNetworks } from "../lab/examples.ts";
import { GuestProgram } from "../lab/guest-program.ts";
import { peer } from "../lab/peers.ts";
import { binaries, hostState, links } from "../lab/pods.ts";
import { pod, rdmaState, sysfsDevices } from "../lab/rdma.ts";
import { createRdmaDevices, createVfs, type Vf } from "../lab/sriov.ts";
import { PF, useSriov } from "../lab/sriov-session.ts";

const { guest, sh, vfInfo } = useSriov();
const ADDRESS = "10.56.231.10/24";
const ipamOf = ({ plugins }: ExampleNetwork): string => plugins[0]!.ipam!.type;
// The API server of whereabouts: test/guest/sriov-whereabouts.test.ts.
const networks = exampleNetworks().filter(
	(network) => network.plugins[0]!.type === "sriov" && ipamOf(network) !== "whereabouts",
);

let vfs: Vf[];
let before: unknown;
const everything = async () => ({ host: await hostState(guest()), rdma: await rdmaState(guest()) });

beforeAll(async () => {
	vfs = await createVfs(guest(), PF, 3);
	await createRdmaDevices(guest(), [vfs[0]!]);
	// cnitool keeps results, which would show up as a difference; rdmaQoS needs configfs.
	await sh(`mkdir -p /etc/cni/net.d /var/lib/cni/results; modprobe rdma_cm
mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config`);
});
beforeEach(async () => {
	before = await everything();
});

async function cnitool(verb: string, name: string): Promise<string> {
	const env = {
		...{ CNI_PATH: binaries, NETCONFPATH: "/etc/cni/net.d", CNI_IFNAME: "net1" },
		CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=pod",
		CAP_ARGS: JSON.stringify({ ips: [ADDRESS] }),
	};
	return (await guest().run([await peer("cnitool"), verb, name, "/run/netns/pod1"], { env })).stdout;
}

/** ADD, what `look` sees of it, CHECK, DEL, and everything as it was. */
async function attach(network: ExampleNetwork, vf: Vf, look: (result: Result) => Promise<void>): Promise<void> {
	const list = asMultusMakes(network, vf.pci);
	await guest().writeFile("/etc/cni/net.d/10-example.conflist", JSON.stringify(list));
	await using _ = await pod(guest(), "pod1");
	const result: Result = JSON.parse(await cnitool("add", list.name));
	expect(result.cniVersion).toBe(network.cniVersion);
	await look(result);
	if (network.cniVersion !== "0.3.1") await cnitool("check", list.name);
	await cnitool("del", list.name);
	expect(await everything()).toEqual(before);
}

interface Result {
	readonly cniVersion: string;
	readonly interfaces: readonly { readonly name: string; readonly mac: string }[];
	readonly ips: readonly { readonly address: string }[];
}

/** What a pod of the example sees. */
function lookAt(network: ExampleNetwork) {
	return async ({ ips }: Result): Promise<void> => {
		const [link] = await guest().json(["ip", "-n", "pod1", "-j", "address", "show", "net1"]);
		const there = link.addr_info.map(
			({ local, prefixlen }: { local: string; prefixlen: number }) => `${local}/${prefixlen}`,
		);
		expect(ips.length).toBeGreaterThan(0);
		for (const { address } of ips) expect(there).toContain(address);
		const [sriov, next] = network.plugins;
		if (sriov?.vlan !== undefined) expect(await vfInfo()).toMatchObject({ vlan_list: [{ vlan: sriov.vlan }] });
		expect(await sysfsDevices(guest(), "pod1")).toEqual(next?.type === "rdma" ? ["mlx5_0"] : []);
	};
}

test.each(networks.filter((network) => network.example !== "4-dpdk" && ipamOf(network) !== "dhcp"))(
	"$example: $name",
	(network) => attach(network, vfs[0]!, lookAt(network)),
);

test.each(networks.filter((network) => ipamOf(network) === "dhcp"))(
	"$example: $name",
	{
		timeout: 600_000,
	},
	async (network) => {
		const { netdev } = vfs[2]!;
		await using _ = await pod(guest(), "lan");
		await sh(`ip link set ${netdev} netns lan name lan0
ip -n lan address add 10.7.0.1/24 dev lan0; ip -n lan link set lan0 up`);
		before = await everything();
		await using dnsmasq = new GuestProgram(guest(), ["ip", "netns", "exec", "lan", ...dnsmasqCommand("lan0")]);
		await dnsmasq.says(/sockets bound exclusively to interface lan0/);
		await using daemon = new GuestProgram(guest(), [`${binaries}/dhcp`, "daemon"]);
		await daemon.says(/listening on/);
		await attach(network, vfs[0]!, lookAt(network));
		await sh(`ip -n lan link set lan0 down; ip -n lan link set lan0 netns 1 name ${netdev}`);
	},
);

test("4-dpdk: dpdk", async () => {
	const [vf, network] = [vfs[1]!, networks.find(({ example }) => example === "4-dpdk")!];
	await sh(`modprobe vfio-pci; cd /sys/bus/pci/devices/${vf.pci}; echo vfio-pci > driver_override
echo ${vf.pci} > driver/unbind; echo ${vf.pci} > /sys/bus/pci/drivers_probe; readlink driver | grep -q vfio-pci`);
	before = await everything();
	await attach(network, vf, async ({ interfaces, ips }) => {
		expect(interfaces).toMatchObject([{ name: "net1", mac: "02:00:5e:20:00:01" }]);
		expect(ips).toMatchObject([{ address: "10.56.219.5/24" }]);
		expect(await vfInfo(1)).toMatchObject({ address: "02:00:5e:20:00:01", trust: true, vlan_list: [{ vlan: 200 }] });
		expect((await links(guest(), "pod1")).map(({ ifname }) => ifname)).toEqual(["lo"]);
	});
});
