import { beforeAll, expect, test } from "vitest";
import { useGuest } from "../lab/guest-session.ts";
import { binaries } from "../lab/pods.ts";
import { previousResult } from "../lab/rdma.ts";
import { createRdmaDevices, createVfs, type Vf } from "../lab/sriov.ts";

const guest = useGuest();
let vfs: Vf[];

beforeAll(async () => {
	vfs = await createVfs(guest(), "eth0", 7);
	await createRdmaDevices(guest(), vfs);
	await guest().run(["ip", "netns", "add", "pod1"]);
	const configuration = {
		cniVersion: "1.1.0",
		name: "sriov-network",
		type: "rdma",
		deviceID: vfs[3]!.pci,
		prevResult: previousResult("pod1"),
	};
	await guest().writeFile("/tmp/rdma-cost.json", JSON.stringify(configuration));
});

const call = (verb: string) =>
	`CNI_COMMAND=${verb} CNI_CONTAINERID=c1 CNI_IFNAME=net1 CNI_NETNS=/run/netns/pod1 CNI_PATH=/ ${binaries}/rdma`;

/** Where the fourth of seven devices moves. Includes what a start costs. */
test.each([
	["ADD", 150],
	["DEL", 150],
])("%s is one process with at most %d system calls", async (verb, most) => {
	const script = `export ${call(verb).replace(/ \S+$/, "")}; strace -f -qq -o /tmp/rdma.strace ${binaries}/rdma </tmp/rdma-cost.json`;
	await guest().run(["sh", "-c", script]);
	const lines = (await guest().readFile("/tmp/rdma.strace")).split("\n").filter(Boolean);
	const calls = lines.filter((line) => /^\d+ +\w+\(/.test(line)).length;
	console.log(`rdma: ${verb}: ${calls} system calls`);
	expect(new Set(lines.map((line) => line.split(" ")[0])).size).toBe(1);
	expect(calls).toBeGreaterThan(30);
	expect(calls).toBeLessThanOrEqual(most);
});

/** Times are printed, and judged by nobody: the guest is emulated. */
test("wall times beside /bin/true and `rdma dev set` of iproute2", async () => {
	const script = `measure() { local start=$EPOCHREALTIME name=$1; shift; "$@" >/dev/null </tmp/rdma-cost.json || echo "$name failed"; echo "$name $(( \${EPOCHREALTIME/./} - \${start/./} ))"; }
ip netns attach host $$
export CNI_CONTAINERID=c1 CNI_IFNAME=net1 CNI_NETNS=/run/netns/pod1 CNI_PATH=/
for round in 1 2 3 4 5 6 7 8 9 10 11 12; do
	measure true /bin/true
	measure set rdma dev set mlx5_3 netns pod1
	ip netns exec pod1 rdma dev set mlx5_3 netns host
	export CNI_COMMAND=ADD; measure ADD ${binaries}/rdma
	export CNI_COMMAND=DEL; measure DEL ${binaries}/rdma
done
umount /run/netns/host; rm /run/netns/host`;
	const { stdout } = await guest().run(["bash", "-c", script]);
	const times = new Map<string, number[]>();
	for (const line of stdout.trim().split("\n")) {
		const [name = "", micros] = line.split(" ");
		times.set(name, [...(times.get(name) ?? []), Number(micros)]);
	}
	const median = (name: string) => (times.get(name)!.sort((a, b) => a - b)[6]! / 1000).toFixed(1);
	console.log(
		`rdma: medians of 12 in ms: ADD ${median("ADD")}, DEL ${median("DEL")}, /bin/true ${median("true")}, rdma dev set ${median("set")}`,
	);
	expect([...times.keys()].sort()).toEqual(["ADD", "DEL", "set", "true"]);
	expect([...times.values()].map((each) => each.length)).toEqual([12, 12, 12, 12]);
});
