/**
 * sriov with `"rdma": true`: a sample of the faults of sriov and of rdma. Afterwards interface and RDMA device are on
 * the host, under their names and with the device node of before.
 */
import { expect, test } from "vitest";
import { PF, useVf } from "../lab/sriov-session.ts";
import { aftermaths, faultsOf, useConfigfs } from "./attachment.ts";

const { guest, pci, device, remake } = useVf();
useConfigfs(guest);

const faults = faultsOf("sriov", () => ({
	machine: guest(),
	network: {
		...{ cniVersion: "1.1.0", name: "sriov-network", type: "sriov", deviceID: pci(), vlan: 100, mtu: 1400 },
		...{ rdma: true, rdmaDeviceName: "roce_{ifname}", rdmaQoS: { tos: 96 } },
	},
	reset: `rmdir /sys/kernel/config/rdma_cm/* 2>/dev/null || true
${remake()}
until ip -j link show ${PF} | grep -q '"operstate":"UP"'; do :; done
ip link set ${PF} vf 0 vlan 55 qos 1
rdma link add mlx5_0 type rxe netdev $(ls ${device()}/net)
`,
	watch: [
		["links"],
		["symlink", "/sys/class/infiniband/mlx5_0"],
		["symlink", "/sys/class/infiniband_verbs/uverbs0"],
		["files", "/var/lib/cni"],
		["files", "/sys/kernel/config/rdma_cm"],
	],
	home: `${device()}/infiniband/*`,
}));

/** Each takes a minute: those that heal what a pod has left, and the rest with BERTH_RDMA_FAULTS=1. */
const isWhole = Boolean(process.env.BERTH_RDMA_FAULTS);
const some = isWhole ? aftermaths : aftermaths.slice(-1);

test.each(some)("ADD killed, then %s", async (aftermath) => {
	expect(await faults.kill("ADD", aftermath)).toBeGreaterThan(25);
});

test.each(isWhole ? aftermaths : aftermaths.slice(0, 1))("DEL killed, then %s", async (aftermath) => {
	expect(await faults.kill("DEL", aftermath)).toBeGreaterThan(10);
});

test.runIf(isWhole)("a call of ADD fails: success, or an error that leaves nothing", async () => {
	const { points, failed } = await faults.fail("ADD");
	expect(points).toBeGreaterThan(60);
	expect(failed).toBeGreaterThan(30);
});
