/** What a test file of sriov in the guest begins with. */
import { useGuest } from "./guest-session.ts";
import { links, stateFiles } from "./pods.ts";
import type { Vf } from "./sriov.ts";

export const PF = "eth0";
/** Where the plugin keeps its records. */
export const STATE = "/var/lib/cni/sriov";

export function useSriov() {
	const guest = useGuest();
	return {
		guest,
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
