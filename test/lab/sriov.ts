/**
 * SR-IOV on a machine, as its administrator sees it: through `ip`, `rdma` and sysfs. An independent witness of what the
 * plugins do: none of their code is used here.
 */
import type { Machine } from "./machine.ts";
import { until } from "./until.ts";

export { until };

export interface Vf {
	/** The PF's netdev. */
	readonly pf: string;
	readonly index: number;
	/** "0000:01:10.0" */
	readonly pci: string;
	/** Netdev in the host's network namespace; undefined while it is in another, or has none. */
	readonly netdev: string | undefined;
	/** RDMA device that the host sees. */
	readonly rdma: string | undefined;
	/** Kernel driver: "igbvf", "vfio-pci"; undefined if none is bound. */
	readonly driver: string | undefined;
}

/** Every setting of a VF, as `ip link set PF vf N` takes them and as `ip -j link` shows them. */
export const EVERY_SETTING = {
	words:
		"mac 02:00:00:00:00:05 vlan 100 qos 3 proto 802.1ad spoofchk off trust on state enable min_tx_rate 50 max_tx_rate 200",
	shown: {
		address: "02:00:00:00:00:05",
		vlan_list: [{ vlan: 100, qos: 3, protocol: "802.1ad" }],
		spoofchk: false,
		trust: true,
		link_state: "enable",
		rate: { min_tx: 50, max_tx: 200 },
	},
};

/** The VFs of a PF, by index. By one shell without any program: they are slow to start in the guest. */
export async function listVfs(machine: Machine, pf: string): Promise<Vf[]> {
	const script = `cd "/sys/class/net/$1/device" || exit 1
name() { [ ! -e "$1" ] || printf %s "\${1##*/}"; }
for link in virtfn*; do
	[ -e "$link" ] || continue
	(
		cd -P "$link" && printf '%s %s ' "$link" "\${PWD##*/}"
		for entry in net/*; do name "$entry"; break; done
		printf /
		for entry in infiniband/*; do name "$entry"; break; done
		printf /
		! cd -P driver 2>/dev/null || name "$PWD"
		echo
	)
done`;
	const { stdout } = await machine.run(["sh", "-c", script, "sh", pf]);
	return stdout
		.split("\n")
		.filter(Boolean)
		.map((line) => {
			const [link = "", pci = "", rest = ""] = line.split(" ");
			const [netdev, rdma, driver] = rest.split("/");
			return {
				pf,
				index: Number(link.slice("virtfn".length)),
				pci,
				netdev: netdev || undefined,
				rdma: rdma || undefined,
				driver: driver || undefined,
			};
		})
		.sort((a, b) => a.index - b.index);
}

/**
 * `echo COUNT > sriov_numvfs`, and the PF up, without which its VFs have no carrier. Waits for the PF's carrier,
 * without which igb refuses rates (EINVAL), and for the VFs' netdevs.
 */
export async function createVfs(machine: Machine, pf: string, count: number): Promise<Vf[]> {
	await machine.run(["ip", "link", "set", pf, "up"]);
	await machine.writeFile(`/sys/class/net/${pf}/device/sriov_numvfs`, String(count));
	const vfs = await until(`${count} VFs of ${pf} with their netdevs`, async () => {
		const found = await listVfs(machine, pf);
		return found.length === count && found.every((vf) => vf.netdev !== undefined) ? found : undefined;
	});
	// igb starts anew when it makes VFs. Without a carrier it refuses rates.
	const carrier = `/sys/class/net/${pf}/carrier`;
	await until(`the carrier of ${pf}`, async () => (await machine.readFile(carrier)).trim() === "1");
	return vfs;
}

export async function removeVfs(machine: Machine, pf: string): Promise<void> {
	await machine.writeFile(`/sys/class/net/${pf}/device/sriov_numvfs`, "0");
}

/**
 * Gives each VF an RDMA device, PREFIX followed by the VF's index, as a hardware driver does. Guest only: see vfshim.
 */
export async function createRdmaDevices(machine: Machine, vfs: readonly Vf[], prefix = "mlx5_"): Promise<void> {
	const pairs = vfs.flatMap((vf) => [`${prefix}${vf.index}`, vf.netdev!]);
	const script = 'while [ $# -gt 0 ]; do rdma link add "$1" type rxe netdev "$2" || exit 1; shift 2; done';
	await machine.run(["sh", "-c", script, "sh", ...pairs]);
}

/** Puts the guest back to what it was after the boot: no namespaces, no VFs, no plugin's state, no refusals. */
export async function resetGuest(machine: Machine): Promise<void> {
	const script = `ip netns list | while read -r name _; do ip netns delete "$name"; done
for count in /sys/class/net/*/device/sriov_numvfs; do [ "$(cat "$count")" = 0 ] || echo 0 > "$count"; done
for pf in $(ls -d /sys/class/net/*/device/sriov_numvfs | cut -d/ -f5); do ip link set "$pf" down; ip address flush dev "$pf"; done
rm -rf /var/lib/cni/* /etc/cni/net.d
[ ! -e /sys/module/vfshim/parameters/refuse ] || echo > /sys/module/vfshim/parameters/refuse`;
	await machine.run(["sh", "-c", script]);
}
