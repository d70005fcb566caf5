import { beforeAll, expect, test } from "vitest";
import { useGuest } from "../lab/guest-session.ts";
import { binaries } from "../lab/pods.ts";
import { previousResult, rdmaState, sysfsDevices } from "../lab/rdma.ts";
import { createRdmaDevices, createVfs, type Vf } from "../lab/sriov.ts";

const guest = useGuest();
let vfs: Vf[];

beforeAll(async () => {
	vfs = await createVfs(guest(), "eth0", 7);
	await createRdmaDevices(guest(), vfs);
});

/**
 * In each round ADD for all pods at once, then DEL for all at once. Prints every device node that is not that of its
 * device as before, and every call that failed. In the guest, since calls from here would not be at the same time.
 */
const script = `plugin=$1 rounds=$2
shift 2
call() {
	CNI_COMMAND=$1 CNI_CONTAINERID=c-pod$2 CNI_IFNAME=net1 CNI_NETNS=/run/netns/pod$2 CNI_PATH=/ $plugin </tmp/rdma-$2.json >/tmp/rdma-$2.out 2>&1 ||
		echo "$1 of pod$2: $(cat /tmp/rdma-$2.out)"
}
numbers() {
	for device; do for node in /sys/bus/pci/devices/$device/infiniband_verbs/*; do echo "$device \${node##*/}"; done; done
}
before=$(numbers "$@")
round=0
while [ $round -lt $rounds ]; do
	for verb in ADD DEL; do
		number=0
		for device; do call $verb $number & number=$((number + 1)); done
		wait
		[ "$(numbers "$@")" = "$before" ] || { echo "round $round, after $verb:"; numbers "$@"; }
	done
	round=$((round + 1))
done
echo "$round rounds of $#"`;

test.each([
	["rdma", 20],
	["sriov", 6],
] as const)(
	"%s: %d rounds of ADD and DEL of seven devices at once: no device node changes its number",
	{
		timeout: 600_000,
	},
	async (plugin, rounds) => {
		const before = await rdmaState(guest());
		for (const [index, { pci }] of vfs.entries()) {
			await guest().run(["ip", "netns", "add", `pod${index}`]);
			await guest().writeFile(
				`/tmp/rdma-${index}.json`,
				JSON.stringify({
					cniVersion: "1.1.0",
					name: "sriov-network",
					type: plugin,
					deviceID: pci,
					...(plugin === "sriov" ? { rdma: true } : { prevResult: previousResult(`pod${index}`) }),
				}),
			);
		}
		const devices = vfs.map((vf) => vf.pci);
		const { stdout } = await guest().run(
			["sh", "-c", script, "sh", `${binaries}/${plugin}`, String(rounds), ...devices],
			{
				timeoutMs: 600_000,
			},
		);
		expect(stdout).toBe(`${rounds} rounds of 7\n`);
		expect(await sysfsDevices(guest())).toHaveLength(7);
		for (const index of vfs.keys()) await guest().run(["ip", "netns", "delete", `pod${index}`]);
		expect(await rdmaState(guest())).toBe(before);
	},
);
