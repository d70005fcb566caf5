/**
 * sriov with host-local: killed and failed at every system call of its verbs. Afterwards the host is as before,
 * whatever verb comes next and whether the sandbox is still there.
 */
import { beforeAll, expect, test } from "vitest";
import { useGuest } from "../lab/guest-session.ts";
import { createVfs, type Vf } from "../lab/sriov.ts";
import { aftermaths, faultsOf } from "./attachment.ts";

const guest = useGuest();
const PF = "eth0";
let vf: Vf;

beforeAll(async () => {
	[vf] = (await createVfs(guest(), PF, 1)) as [Vf];
});

const device = (): string => `/sys/bus/pci/devices/${vf.pci}`;

/** An administrator's own settings: these have to come back, not the defaults. */
const settings = `ip link set ${PF} vf 0 vlan 55 qos 1
ip link set ${PF} vf 0 trust on
ip link set ${PF} vf 0 max_tx_rate 100 min_tx_rate 10
ip link set ${PF} vf 0 state disable
ip link set ${PF} vf 0 mac 02:00:5e:20:00:01
ip link set $name mtu 1480
ip link property add dev $name altname enp1s16`;

/**
 * The VF is up on the host, as some distributions have it. It costs time: a carrier has to come back after each fault.
 */
const up = `ip link set $name up; until ip -j link show $name | grep -q '"operstate":"UP"'; do :; done`;

const faults = faultsOf("sriov", (aftermath) => ({
	machine: guest(),
	network: {
		cniVersion: "1.1.0",
		name: "sriov-network",
		type: "sriov",
		deviceID: vf.pci,
		vlan: 100,
		vlanQoS: 3,
		mac: "02:00:5e:10:00:01",
		spoofchk: "off",
		trust: "off",
		min_tx_rate: 50,
		max_tx_rate: 200,
		link_state: "enable",
		mtu: 1400,
		ipam: { type: "host-local", subnet: "10.56.217.0/24", routes: [{ dst: "10.60.0.0/16" }] },
	},
	reset: `cd /sys/class/net/${PF}/device
echo 0 > sriov_numvfs
echo 1 > sriov_numvfs
until [ -e ${device()}/net/* ]; do :; done
name=$(ls ${device()}/net)
until ip -j link show ${PF} | grep -q '"operstate":"UP"'; do :; done
${settings}
${aftermath === "DEL" ? up : ""}
`,
	watch: [["links"], ["files", "/var/lib/cni"], ["symlink", `${device()}/driver`]],
	home: `${device()}/net/*`,
}));

test.each(aftermaths)("ADD killed, then %s", async (aftermath) => {
	expect(await faults.kill("ADD", aftermath)).toBeGreaterThan(30);
});

test.each(aftermaths)("DEL killed, then %s", async (aftermath) => {
	expect(await faults.kill("DEL", aftermath)).toBeGreaterThan(15);
});

test("GC killed, then GC", async () => {
	expect(await faults.kill("GC", "GC")).toBeGreaterThan(15);
});

test("berth heal killed, then berth heal", async () => {
	expect(await faults.killHeal()).toBeGreaterThan(5);
});

test("a call of ADD fails: success, or an error that leaves nothing", async () => {
	const { points, failed } = await faults.fail("ADD");
	expect(points).toBeGreaterThan(60);
	expect(failed).toBeGreaterThan(30);
});

test.each(["DEL", "GC"] as const)(
	"a call of %s fails: all is as before, or there is an error after which it succeeds",
	async (verb) => {
		expect((await faults.fail(verb)).points).toBeGreaterThan(50);
	},
);
