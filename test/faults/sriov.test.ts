/**
 * sriov with host-local: killed and failed at every system call of its verbs. Afterwards the host is as before,
 * whatever verb comes next and whether the sandbox is still there.
 */
import { EVERYTHING, PF, useVf } from "../lab/sriov-session.ts";
import { faultsOf, testAll } from "./attachment.ts";

const { guest, pci, device, remake } = useVf();

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
		deviceID: pci(),
		...EVERYTHING,
		ipam: { type: "host-local", subnet: "10.56.217.0/24", routes: [{ dst: "10.60.0.0/16" }] },
	},
	reset: `${remake()}
name=$(ls ${device()}/net)
until ip -j link show ${PF} | grep -q '"operstate":"UP"'; do :; done
${settings}
${aftermath === "DEL" ? up : ""}
`,
	watch: [["links"], ["files", "/var/lib/cni"], ["symlink", `${device()}/driver`]],
	home: `${device()}/net/*`,
}));

testAll(faults, {
	kill: { ADD: 30, DEL: 15, GC: 15, heal: 5 },
	fail: { ADD: { points: 60, failed: 30 }, others: 50 },
});
