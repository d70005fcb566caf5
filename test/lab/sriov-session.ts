/** What a test file of sriov in the guest begins with, and the networks and records that they share. */
import { beforeAll } from "vitest";
import { useGuest } from "./guest-session.ts";
import { type Call, type Configuration, callPlugin, links, stateFiles } from "./pods.ts";
import { createVfs, type Vf } from "./sriov.ts";

export const PF = "eth0";
/** Where the plugin keeps its records. */
export const STATE = "/var/lib/cni/sriov";

/** A network on a VF: what every network has, and `more`. */
export const network = (vf: Vf, more: Record<string, unknown> = {}): Configuration => ({
	cniVersion: "1.1.0",
	name: "sriov-network",
	type: "sriov",
	deviceID: vf.pci,
	...more,
});

/** Something of everything, so that whatever fails comes after changes of other kinds. */
export const EVERYTHING = {
	vlan: 100,
	vlanQoS: 3,
	mac: "02:00:5e:10:00:01",
	spoofchk: "off",
	trust: "off",
	min_tx_rate: 50,
	max_tx_rate: 200,
	link_state: "enable",
	mtu: 1400,
};

/**
 * What the Go plugin (sriov-cni v2.10.0) writes, every key, in its order: of a VF that an administrator has left with
 * VLAN 55, a MAC and an MTU, in a network with VLAN 100 and trust. `original` is what it found before, `network` what
 * else it was told.
 */
export const goRecord = (vf: Vf, original: Record<string, unknown>, network: Record<string, unknown>) => ({
	cniVersion: "1.0.0",
	name: "net",
	type: "sriov",
	ipam: {},
	dns: {},
	OrigVfState: {
		HostIFName: vf.netdev,
		SpoofChk: true,
		Trust: false,
		AdminMAC: "02:00:5e:20:00:01",
		EffectiveMAC: "",
		Vlan: 55,
		VlanQoS: 1,
		VlanProto: 33024,
		MinTxRate: 0,
		MaxTxRate: 0,
		LinkState: 0,
		MTU: 1480,
		...original,
	},
	Master: PF,
	MAC: "",
	MTU: 1480,
	vlan: 100,
	vlanQoS: null,
	vlanProto: null,
	deviceID: vf.pci,
	VFID: 0,
	min_tx_rate: null,
	max_tx_rate: null,
	spoofchk: "",
	trust: "on",
	link_state: "",
	runtimeConfig: {},
	logLevel: "",
	logFile: "",
	...network,
});

export function useSriov() {
	const guest = useGuest();
	return {
		guest,
		call: (verb: string, configuration: Configuration, call: Call) =>
			callPlugin(guest(), "sriov", verb, configuration, call),
		sh: (script: string) => guest().run(["sh", "-ec", script]),
		files: () => stateFiles(guest()),
		/** The VF's interface where it is on the host, as `ip` shows it. */
		netdevOnHost: async ({ pci }: Vf) => (await links(guest())).find((link) => link.parentdev === pci),
		/** What `ip` shows of the settings of a VF. */
		vfInfo: async (index = 0) => (await links(guest())).find((link) => link.ifname === PF).vfinfo_list[index],
		/** Names of the interfaces in a pod. */
		inPod: async (pod: string) => (await links(guest(), pod)).map((link) => link.ifname),
	};
}

/** One VF, for the faults of what moves it. */
export function useVf() {
	const guest = useGuest();
	let vf: Vf;
	beforeAll(async () => {
		[vf] = (await createVfs(guest(), PF, 1)) as [Vf];
	});
	const device = () => `/sys/bus/pci/devices/${vf.pci}`;
	return {
		guest,
		pci: () => vf.pci,
		/** Its directory in sysfs. */
		device,
		/** A script that makes it anew. */
		remake: () => `cd /sys/class/net/${PF}/device
echo 0 > sriov_numvfs
echo 1 > sriov_numvfs
until [ -e ${device()}/net/* ]; do :; done`,
	};
}
