/**
 * rdma: killed and failed at every system call of its verbs. Afterwards the device is on the host under its name and
 * with its device node, whatever verb comes next and whether the sandbox is still there.
 */
import { beforeAll, expect, test } from "vitest";
import { useGuest } from "../lab/guest-session.ts";
import { previousResult } from "../lab/rdma.ts";
import { createVfs, type Vf } from "../lab/sriov.ts";
import { aftermaths, faultsOf } from "./attachment.ts";

const guest = useGuest();
const PF = "eth0";
let vf: Vf;

beforeAll(async () => {
	[vf] = (await createVfs(guest(), PF, 1)) as [Vf];
	await guest().run(["sh", "-c", "mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config"]);
});

const device = (): string => `/sys/bus/pci/devices/${vf.pci}`;

const faults = faultsOf("rdma", () => ({
	machine: guest(),
	// With everything that ADD can set.
	network: {
		cniVersion: "1.1.0",
		name: "sriov-network",
		type: "rdma",
		deviceID: vf.pci,
		rdmaDeviceName: "roce_{ifname}",
		rdmaQoS: { tos: 96 },
		prevResult: previousResult("pod1"),
	},
	reset: `rmdir /sys/kernel/config/rdma_cm/* 2>/dev/null || true
cd /sys/class/net/${PF}/device
echo 0 > sriov_numvfs
echo 1 > sriov_numvfs
until [ -e ${device()}/net/* ]; do :; done
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

test.each(aftermaths)("ADD killed, then %s", async (aftermath) => {
	expect(await faults.kill("ADD", aftermath)).toBeGreaterThan(15);
});

test.each(aftermaths)("DEL killed, then %s", async (aftermath) => {
	expect(await faults.kill("DEL", aftermath)).toBeGreaterThan(5);
});

test("GC killed, then GC", async () => {
	expect(await faults.kill("GC", "GC")).toBeGreaterThan(5);
});

test("berth heal killed, then berth heal", async () => {
	expect(await faults.killHeal()).toBeGreaterThan(5);
});

test("a call of ADD fails: success, or an error that leaves nothing", async () => {
	const { points, failed } = await faults.fail("ADD");
	expect(points).toBeGreaterThan(40);
	expect(failed).toBeGreaterThan(20);
});

test.each(["DEL", "GC"] as const)(
	"a call of %s fails: all is as before, or there is an error after which it succeeds",
	async (verb) => {
		expect((await faults.fail(verb)).points).toBeGreaterThan(30);
	},
);
