/**
 * rdma: killed and failed at every system call of its verbs. Afterwards the device is on the host under its name and with its device
 * node, whatever verb comes next and whether the sandbox is still there.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { useGuest } from "../support/guest-session.ts";
import type { Configuration } from "../support/pods.ts";
import { previousResult } from "../support/rdma.ts";
import { createVfs, type Vf } from "../support/sriov.ts";
import { type Call, type Outcome, runFaults, type Scenario, type Step } from "./scenario.ts";

const guest = useGuest();
const PF = "eth0";
let vf: Vf;
const totals = { points: 0, violations: 0 };

beforeAll(async () => {
	[vf] = (await createVfs(guest(), PF, 1)) as [Vf];
	await guest().run(["sh", "-c", "mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config"]);
});

afterAll(() => {
	console.log(`faults: ${totals.points} in all, ${totals.violations} violations`);
});

/** With everything that ADD can set. */
const configuration = (more: Record<string, unknown> = {}): Configuration => ({
	cniVersion: "1.1.0",
	name: "sriov-network",
	type: "rdma",
	deviceID: vf.pci,
	rdmaDeviceName: "roce_{ifname}",
	rdmaQoS: { tos: 96 },
	prevResult: previousResult("pod1"),
	...more,
});

const device = (): string => `/sys/bus/pci/devices/${vf.pci}`;
const reset = (): string => `for pod in pod1 pod2; do ip netns delete $pod 2>/dev/null || true; done
ip netns add pod1
rm -rf /var/lib/cni/*
rmdir /sys/kernel/config/rdma_cm/* 2>/dev/null || true
cd /sys/class/net/${PF}/device
echo 0 > sriov_numvfs
echo 1 > sriov_numvfs
until [ -e ${device()}/net/* ]; do :; done
rdma link add mlx5_0 type rxe netdev $(ls ${device()}/net)
`;

const call = (verb: string, container: string, netns: string, configured = "network"): Call => [
	"rdma",
	verb,
	configured,
	container,
	netns,
];
const pod = (name: string): string => `/run/netns/${name}`;
const ADD = call("ADD", "c1", pod("pod1"));
const DEL = call("DEL", "c1", pod("pod1"));
const GC = call("GC", "c1", "-", "collect");

/** What comes after the fault, and leaves the host as before. */
const aftermaths = (): Record<string, readonly Step[]> => ({
	DEL: [["call", ...DEL], ["same"]],
	"the sandbox goes, then DEL at once": [["unnetns", "pod1"], ["call", ...DEL], ["same"]],
	GC: [["call", ...GC], ["same"]],
	"the sandbox goes, ADD and DEL of another pod, then DEL": [
		["unnetns", "pod1"],
		["await", `${device()}/infiniband/*`],
		["netns", "pod2"],
		["call", ...call("ADD", "c2", pod("pod2"))],
		["call", ...call("DEL", "c2", pod("pod2"))],
		["call", ...call("DEL", "c1", "-")],
		["same"],
	],
});
const AFTERMATHS = [
	"DEL",
	"the sandbox goes, then DEL at once",
	"GC",
	"the sandbox goes, ADD and DEL of another pod, then DEL",
];

const fresh: readonly Step[] = [
	["clear", "/var/lib/cni"],
	["netns", "pod1"],
];
const added: readonly Step[] = [...fresh, ["call", ...ADD]];

async function run(scenario: Pick<Scenario, "mode" | "before" | "target" | "after">): Promise<Outcome> {
	const outcome = await runFaults(
		guest(),
		{
			...scenario,
			configurations: { network: configuration(), collect: configuration({ "cni.dev/valid-attachments": [] }) },
			reset: reset(),
			watch: [
				["symlink", "/sys/class/infiniband/mlx5_0"],
				["symlink", "/sys/class/infiniband_verbs/uverbs0"],
				["files", "/var/lib/cni"],
				["files", "/sys/kernel/config/rdma_cm"],
			],
		},
		"/tmp/faults",
	);
	totals.points += outcome.points;
	totals.violations += outcome.violations.length;
	const answers =
		scenario.mode === "kill"
			? ""
			: `: ${outcome.failed} errors, ${outcome.succeeded} successes, ${outcome.unanswered.length} ends without an answer`;
	console.log(
		`faults: ${expect.getState().currentTestName}: ${outcome.points} calls, ${outcome.violations.length} violations${answers}`,
	);
	return outcome;
}

/** As in sriov.test.ts. */
const mayEndWithoutAnswer =
	/: (brk|mmap|munmap|mprotect|mremap|madvise|arch_prctl|set_tid_address|futex|rt_sig\w+|setns \d+|write 1): /;

function expectClean({ violations, unanswered }: Outcome): void {
	expect(violations).toEqual([]);
	expect(unanswered.filter((line) => !mayEndWithoutAnswer.test(line))).toEqual([]);
}

test.each(AFTERMATHS)("ADD killed, then %s", async (after) => {
	const outcome = await run({ mode: "kill", before: fresh, target: ADD, after: aftermaths()[after]! });
	expectClean(outcome);
	expect(outcome.points).toBeGreaterThan(15);
});

test.each(AFTERMATHS)("DEL killed, then %s", async (after) => {
	const outcome = await run({ mode: "kill", before: added, target: DEL, after: aftermaths()[after]! });
	expectClean(outcome);
	expect(outcome.points).toBeGreaterThan(10);
});

test("GC killed, then GC", async () => {
	const outcome = await run({ mode: "kill", before: added, target: GC, after: aftermaths().GC! });
	expectClean(outcome);
	expect(outcome.points).toBeGreaterThan(10);
});

describe("a call that fails", () => {
	test("in ADD: success, or an error that leaves nothing", async () => {
		const after: Step[] = [["same-if-failed"], ["call", ...DEL], ["same"]];
		const outcome = await run({ mode: "fail", before: fresh, target: ADD, after });
		expectClean(outcome);
		expect(outcome.points).toBeGreaterThan(100);
		expect(outcome.failed).toBeGreaterThan(50);
	});

	test.each([
		["DEL", DEL, "DEL"],
		["GC", GC, "GC"],
	] as const)("in %s: success, or an error after which it succeeds", async (_, target, after) => {
		const outcome = await run({ mode: "fail", before: added, target, after: aftermaths()[after]! });
		expectClean(outcome);
		expect(outcome.points).toBeGreaterThan(50);
	});
});
