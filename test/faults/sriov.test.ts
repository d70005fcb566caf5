/**
 * sriov with host-local: killed and failed at every system call of its verbs. Afterwards the host is as before, whatever
 * verb comes next and whether the sandbox is still there.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { useGuest } from "../support/guest-session.ts";
import type { Configuration } from "../support/pods.ts";
import { createVfs, type Vf } from "../support/sriov.ts";
import { type Call, type Outcome, runFaults, type Scenario, type Step } from "./scenario.ts";

const guest = useGuest();
const PF = "eth0";
let vf: Vf;
const totals = { points: 0, violations: 0 };

beforeAll(async () => {
	[vf] = (await createVfs(guest(), PF, 1)) as [Vf];
});

afterAll(() => {
	console.log(`faults: ${totals.points} in all, ${totals.violations} violations`);
});

const configuration = (more: Record<string, unknown> = {}): Configuration => ({
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
	...more,
});

/** An administrator's own settings: these have to come back, not the defaults. */
const reset = (up: boolean): string => `for pod in pod1 pod2; do ip netns delete $pod 2>/dev/null || true; done
# \`ip\` makes /run/netns a mount of its own first; a namespace that is mounted before that is in the way.
ip netns add pod1
rm -rf /var/lib/cni/*
cd /sys/class/net/${PF}/device
echo 0 > sriov_numvfs
echo 1 > sriov_numvfs
until [ -e ${device()}/net/* ]; do :; done
name=$(ls ${device()}/net)
until ip -j link show ${PF} | grep -q '"operstate":"UP"'; do :; done
ip link set ${PF} vf 0 vlan 55 qos 1
ip link set ${PF} vf 0 trust on
ip link set ${PF} vf 0 max_tx_rate 100 min_tx_rate 10
ip link set ${PF} vf 0 state disable
ip link set ${PF} vf 0 mac 02:00:5e:20:00:01
ip link set $name mtu 1480
ip link property add dev $name altname enp1s16
${up ? `ip link set $name up; until ip -j link show $name | grep -q '"operstate":"UP"'; do :; done` : ""}
`;

const device = (): string => `/sys/bus/pci/devices/${vf.pci}`;
const call = (verb: string, container: string, netns: string, configured = "network"): Call => [
	"sriov",
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
const aftermaths: Record<string, readonly Step[]> = {
	DEL: [["call", ...DEL], ["same"]],
	"the sandbox goes, then DEL at once": [["unnetns", "pod1"], ["call", ...DEL], ["same"]],
	GC: [["call", ...GC], ["same"]],
	"the sandbox goes, ADD and DEL of another pod, then DEL": [
		["unnetns", "pod1"],
		["await", "VF/net/*"],
		["netns", "pod2"],
		["call", ...call("ADD", "c2", pod("pod2"))],
		["call", ...call("DEL", "c2", pod("pod2"))],
		["call", ...call("DEL", "c1", "-")],
		["same"],
	],
};

const fresh: readonly Step[] = [
	["clear", "/var/lib/cni"],
	["netns", "pod1"],
];

/** `up`: the VF is up on the host, as some distributions have it. It costs time: a carrier has to come back after each fault. */
async function run(scenario: Pick<Scenario, "mode" | "before" | "target" | "after">, up = false): Promise<Outcome> {
	const after = scenario.after.map(
		(step) => step.map((word) => word.replace("VF/", `${device()}/`)) as unknown as Step,
	);
	const outcome = await runFaults(
		guest(),
		{
			...scenario,
			after,
			configurations: { network: configuration(), collect: configuration({ "cni.dev/valid-attachments": [] }) },
			reset: reset(up),
			watch: [["links"], ["files", "/var/lib/cni"], ["symlink", `${device()}/driver`]],
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

/**
 * Calls whose failure leaves a process without an answer: memory that is not there, start-up of the C library, the way back
 * into the host's namespace (what follows would change the wrong one), the answer itself.
 */
const mayEndWithoutAnswer =
	/: (brk|futex|mmap|munmap|mprotect|mremap|madvise|arch_prctl|set_tid_address|rt_sig\w+|setns \d+|write 1): /;

function expectClean({ violations, unanswered }: Outcome): void {
	expect(violations).toEqual([]);
	expect(unanswered.filter((line) => !mayEndWithoutAnswer.test(line))).toEqual([]);
}

describe("ADD killed", () => {
	test.each(Object.entries(aftermaths))("%s", async (name, after) => {
		const outcome = await run({ mode: "kill", before: fresh, target: ADD, after }, name === "DEL");
		expectClean(outcome);
		expect(outcome.points).toBeGreaterThan(30);
	});
});

describe("DEL killed", () => {
	test.each(Object.entries(aftermaths))("%s", async (name, after) => {
		const before: Step[] = [...fresh, ["call", ...ADD]];
		const outcome = await run({ mode: "kill", before, target: DEL, after }, name === "DEL");
		expectClean(outcome);
		expect(outcome.points).toBeGreaterThan(15);
	});
});

test("GC killed, GC", async () => {
	const outcome = await run({ mode: "kill", before: [...fresh, ["call", ...ADD]], target: GC, after: aftermaths.GC! });
	expectClean(outcome);
	expect(outcome.points).toBeGreaterThan(15);
});

describe("a call that fails", () => {
	test("in ADD: success, or an error that leaves nothing", async () => {
		const after: Step[] = [["same-if-failed"], ["call", ...DEL], ["same"]];
		const outcome = await run({ mode: "fail", before: fresh, target: ADD, after });
		expectClean(outcome);
		expect(outcome.points).toBeGreaterThan(100);
		expect(outcome.failed).toBeGreaterThan(50);
	});

	test("in DEL: all is as before, or there is an error after which DEL succeeds", async () => {
		const outcome = await run({
			mode: "fail",
			before: [...fresh, ["call", ...ADD]],
			target: DEL,
			after: [["same-if-succeeded"], ...aftermaths.DEL!],
		});
		expectClean(outcome);
		expect(outcome.points).toBeGreaterThan(80);
	});

	test("in GC: all is as before, or there is an error after which GC succeeds", async () => {
		const outcome = await run({
			mode: "fail",
			before: [...fresh, ["call", ...ADD]],
			target: GC,
			after: [["same-if-succeeded"], ...aftermaths.GC!],
		});
		expectClean(outcome);
		expect(outcome.points).toBeGreaterThan(80);
	});
});
