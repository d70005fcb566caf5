/**
 * host-local alone, on this machine: ours leaves nothing, and the same loop finds what is known of Go's.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { LocalMachine } from "../lab/machine.ts";
import { peersDirectory } from "../lab/peers.ts";
import { binaries } from "../lab/pods.ts";
import { type Call, type Outcome, runFaults, type Scenario, type Step } from "./scenario.ts";

const machine = new LocalMachine();
let directory: string;

beforeEach(() => {
	directory = mkdtempSync(join(tmpdir(), "berth-faults-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

async function run(
	plugins: string,
	scenario: Pick<Scenario, "mode" | "before" | "target" | "after">,
): Promise<Outcome> {
	const store = join(directory, "store");
	const ipam = { type: "host-local", dataDir: store, subnet: "10.56.217.0/24" };
	const network = { cniVersion: "1.1.0", name: "faults", type: "sriov", ipam };
	const outcome = await runFaults(
		machine,
		{
			...scenario,
			before: [["clear", store], ...scenario.before],
			plugins,
			configurations: { network, collect: { ...network, "cni.dev/valid-attachments": [] } },
			reset: `rm -rf ${store}; mkdir ${store}`,
			watch: [["files", store]],
		},
		directory,
	);
	console.log(
		`faults: ${expect.getState().currentTestName}: ${outcome.points} calls, ${outcome.violations.length} violations`,
	);
	return outcome;
}

const call = (verb: string, configuration = "network"): Call => [
	"host-local",
	verb,
	configuration,
	"c1",
	"/run/netns/none",
];
const ADD = call("ADD");
const DEL = call("DEL");
const GC = call("GC", "collect");
const thenDel: Step[] = [["call", ...DEL], ["same"]];

describe("ours", () => {
	test.each<[string, Call, Step[], Call]>([
		["ADD killed, then DEL", ADD, [], DEL],
		["ADD killed, then GC", ADD, [], GC],
		["DEL killed, then DEL", DEL, [["call", ...ADD]], DEL],
		["DEL killed, then GC", DEL, [["call", ...ADD]], GC],
		["GC killed, then GC", GC, [["call", ...ADD]], GC],
	])("%s", async (_, target, before, next) => {
		const outcome = await run(binaries, { mode: "kill", target, before, after: [["call", ...next], ["same"]] });
		expect(outcome.violations).toEqual([]);
		expect(outcome.points).toBeGreaterThan(3);
	});

	test("a call of ADD fails: success, or an error that leaves nothing", async () => {
		const after: Step[] = [["same-if-failed"], ...thenDel];
		const outcome = await run(binaries, { mode: "fail", target: ADD, before: [], after });
		expect(outcome.violations).toEqual([]);
		expect(outcome.points).toBeGreaterThan(20);
		expect(outcome.failed).toBeGreaterThan(5);
	});

	test("a call of DEL fails: all is as before, or there is an error after which DEL succeeds", async () => {
		const outcome = await run(binaries, {
			mode: "fail",
			target: DEL,
			before: [["call", ...ADD]],
			after: [["same-if-succeeded"], ...thenDel],
		});
		expect(outcome.violations).toEqual([]);
		expect(outcome.points).toBeGreaterThan(15);
	});
});

test("Go's, killed between the open and the write of an address file, never gives the address back", async () => {
	const outcome = await run(await peersDirectory(), { mode: "kill", target: ADD, before: [], after: thenDel });
	expect(outcome.violations).toContainEqual(
		expect.stringMatching(/\(write \d+\): same: not as before[\s\S]*10\.56\.217\.2/),
	);
});
