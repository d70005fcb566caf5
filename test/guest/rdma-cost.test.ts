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

const call = (verb: string, starter = "") =>
	`CNI_COMMAND=${verb} CNI_CONTAINERID=c1 CNI_IFNAME=net1 CNI_NETNS=/run/netns/pod1 CNI_PATH=/ ${starter}${binaries}/rdma`;

/** To find a device's index where that is not the number of its node; the kernel shows one device a read. */
const ofDump = (line: string) => line.includes("NLM_F_MULTI");

/** Where the fourth of seven devices moves. Includes what a start costs. Times: `npm run bench:guest`. */
test.each([
	["ADD", 80],
	["DEL", 60],
])("%s is one process with at most %d system calls", async (verb, most) => {
	const script = `${call(verb, "strace -f -qq -o /tmp/rdma.strace ")} </tmp/rdma-cost.json`;
	await guest().run(["sh", "-c", script]);
	const lines = (await guest().readFile("/tmp/rdma.strace")).split("\n").filter(Boolean);
	const calls = lines.filter((line) => /^\d+ +\w+\(/.test(line) && !ofDump(line)).length;
	const reads = lines.filter(ofDump).length;
	console.log(`rdma: ${verb}: ${calls} system calls and ${reads} for a list of devices`);
	expect(new Set(lines.map((line) => line.split(" ")[0])).size).toBe(1);
	expect(calls).toBeGreaterThan(30);
	expect(calls).toBeLessThanOrEqual(most);
});

/**
 * What it touches lies together (scripts/build/image.ts): 42 and 43 where the profile is of today's code, 91 and 87
 * with one of some time ago. Where ADD has to ask for the list of devices, which is not in the profile, 63.
 */
test.each([
	["ADD", 75],
	["DEL", 52],
])("%s has at most %d page faults; with more, `npm run bench:guest -- --update` is due", async (verb, most) => {
	// The 11th field: those of children that have ended. See proc(5).
	const look = 'read -r line </proc/$$/stat; echo "$line"';
	const { stdout } = await guest().run(["sh", "-c", `${look}; ${call(verb)} </tmp/rdma-cost.json >&2; ${look}`]);
	const [before, after] = stdout.split("\n").map((line) => Number(line.split(" ")[10]));
	const faults = after! - before!;
	console.log(`rdma: ${verb}: ${faults} page faults`);
	expect(faults).toBeGreaterThan(20);
	expect(faults).toBeLessThanOrEqual(most);
});
