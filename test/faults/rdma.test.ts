/**
 * rdma: killed and failed at every system call of its verbs. Afterwards the device is on the host under its name and
 * with its device node, whatever verb comes next and whether the sandbox is still there.
 */
import { previousResult } from "../lab/rdma.ts";
import { useVf } from "../lab/sriov-session.ts";
import { faultsOf, testAll, useConfigfs } from "./attachment.ts";

const { guest, pci, device, remake } = useVf();
useConfigfs(guest);

const faults = faultsOf("rdma", () => ({
	machine: guest(),
	// With everything that ADD can set.
	network: {
		cniVersion: "1.1.0",
		name: "sriov-network",
		type: "rdma",
		deviceID: pci(),
		rdmaDeviceName: "roce_{ifname}",
		rdmaQoS: { tos: 96 },
		prevResult: previousResult("pod1"),
	},
	reset: `rmdir /sys/kernel/config/rdma_cm/* 2>/dev/null || true
${remake()}
rdma link add mlx5_0 type rxe netdev $(ls ${device()}/net)
`,
	watch: [
		["symlink", "/sys/class/infiniband/mlx5_0"],
		["symlink", "/sys/class/infiniband_verbs/uverbs0"],
		["files", "/var/lib/cni"],
		["files", "/sys/kernel/config/rdma_cm"],
	],
	home: `${device()}/infiniband/*`,
}));

testAll(faults, {
	kill: { ADD: 15, DEL: 5, GC: 5, heal: 5 },
	fail: { ADD: { points: 40, failed: 20 }, others: 30 },
});
