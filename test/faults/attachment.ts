/**
 * Faults in the verbs of a plugin that moves a device: one attachment, killed or failed at every system call, and what
 * a runtime does then. Afterwards all must be as before.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Machine } from "../lab/machine.ts";
import type { Configuration } from "../lab/pods.ts";
import { type Call, type Outcome, runFaults, type Scene, type Step } from "./scenario.ts";

/** Where the attachment is made. */
export interface Place extends Pick<Scene, "watch"> {
	readonly machine: Machine;
	readonly network: Configuration;
	/** Shell script that makes the device new, as an administrator left it. */
	readonly reset: string;
	/** Pattern of a path that is there as long as the host has the device. */
	readonly home: string;
}

type Verb = "ADD" | "DEL" | "GC";
const HEAL = ["berth", "heal"] as const;

const AFTERMATHS = {
	DEL: "DEL",
	GC: "GC",
	gone: "the sandbox goes, then DEL at once",
	heal: "the sandbox goes, then berth heal",
	another: "the sandbox goes, ADD and DEL of another pod, then DEL",
} as const;
/** What comes after the fault. */
type Aftermath = (typeof AFTERMATHS)[keyof typeof AFTERMATHS];
export const aftermaths: readonly Aftermath[] = Object.values(AFTERMATHS);

/**
 * Calls whose failure leaves a process without an answer: memory that is not there, start-up of the C library, the way
 * back into the host's namespace (what follows would change the wrong one), the answer itself.
 */
const mayEndWithoutAnswer =
	/: (brk|futex|mmap|munmap|mprotect|mremap|madvise|arch_prctl|set_tid_address|rt_sig\w+|setns \d+|write 1): /;

/**
 * Faults of `plugin` in a test file; at its end the number of all is printed. `place` is told what will come after the
 * fault.
 */
export function faultsOf(plugin: string, place: (aftermath?: Aftermath) => Place) {
	const totals = { points: 0, violations: 0 };
	afterAll(() => console.log(`faults: ${plugin}: ${totals.points} in all, ${totals.violations} violations`));

	const pod = (name: string): string => `/run/netns/${name}`;
	const call = (verb: Verb, container: string, netns: string, configured = "network"): Call => [
		plugin,
		verb,
		configured,
		container,
		netns,
	];
	const calls: Record<Verb, Call> = {
		ADD: call("ADD", "c1", pod("pod1")),
		DEL: call("DEL", "c1", pod("pod1")),
		GC: call("GC", "c1", "-", "collect"),
	};
	const fresh: readonly Step[] = [
		["clear", "/var/lib/cni"],
		["netns", "pod1"],
	];
	const before: Record<Verb, readonly Step[]> = {
		ADD: fresh,
		DEL: [...fresh, ["call", ...calls.ADD]],
		GC: [...fresh, ["call", ...calls.ADD]],
	};
	const after = (aftermath: Aftermath, { home }: Place): Step[] => {
		const steps: Record<Aftermath, Step[]> = {
			[AFTERMATHS.DEL]: [["call", ...calls.DEL]],
			[AFTERMATHS.GC]: [["call", ...calls.GC]],
			[AFTERMATHS.gone]: [
				["unnetns", "pod1"],
				["call", ...calls.DEL],
			],
			[AFTERMATHS.heal]: [
				["unnetns", "pod1"],
				["call", ...HEAL],
			],
			[AFTERMATHS.another]: [
				["unnetns", "pod1"],
				["await", home],
				["netns", "pod2"],
				["call", ...call("ADD", "c2", pod("pod2"))],
				["call", ...call("DEL", "c2", pod("pod2"))],
				["call", ...call("DEL", "c1", "-")],
			],
		};
		return [...steps[aftermath], ["same"]];
	};

	async function run(
		mode: "kill" | "fail",
		first: readonly Step[],
		target: Call,
		steps: readonly Step[],
		at: Place,
	): Promise<Outcome> {
		const outcome = await runFaults(
			at.machine,
			{
				mode,
				before: first,
				target,
				after: steps,
				configurations: { network: at.network, collect: { ...at.network, "cni.dev/valid-attachments": [] } },
				// `ip` makes /run/netns a mount of its own first; a namespace that is mounted before that is in the
				// way.
				reset: `for pod in pod1 pod2; do ip netns delete $pod 2>/dev/null || true; done
ip netns add pod1
rm -rf /var/lib/cni/*
${at.reset}`,
				watch: at.watch,
			},
			"/tmp/faults",
		);
		const { points, violations, failed, succeeded, unanswered } = outcome;
		totals.points += points;
		totals.violations += violations.length;
		const ends = `${failed} errors, ${succeeded} successes, ${unanswered.length} ends without an answer`;
		const what = `${points} calls, ${violations.length} violations${mode === "kill" ? "" : `: ${ends}`}`;
		console.log(`faults: ${expect.getState().currentTestName}: ${what}`);
		expect(violations).toEqual([]);
		expect(unanswered.filter((line) => !mayEndWithoutAnswer.test(line))).toEqual([]);
		return outcome;
	}

	return {
		/** Kills `berth heal`, which is run for a sandbox that is gone, at each call that can change something. */
		async killHeal(): Promise<number> {
			const at = place();
			const gone: Step[] = [...before.DEL, ["unnetns", "pod1"]];
			return (await run("kill", gone, HEAL, [["call", ...HEAL], ["same"]], at)).points;
		},
		/** Kills `verb` at each call that can change something. Resolves to how many these were. */
		async kill(verb: Verb, aftermath: Aftermath): Promise<number> {
			const at = place(aftermath);
			return (await run("kill", before[verb], calls[verb], after(aftermath, at), at)).points;
		},
		/**
		 * Makes each call of `verb` fail: it succeeds all the same and has done all, or says an error, after which ADD
		 * has left nothing, and DEL and GC succeed the next time. Resolves to how many calls these were, and how many
		 * ended in an error.
		 */
		async fail(verb: Verb): Promise<{ points: number; failed: number }> {
			const at = place();
			const steps: Step[] =
				verb === "ADD"
					? [["same-if-failed"], ...after(AFTERMATHS.DEL, at)]
					: [["same-if-succeeded"], ...after(AFTERMATHS[verb], at)];
			return run("fail", before[verb], calls[verb], steps, at);
		},
	};
}

/** There, rdma sets the quality of service of RDMA-CM. */
export function useConfigfs(machine: () => Machine): void {
	beforeAll(async () => {
		await machine().run(["sh", "-c", "mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config"]);
	});
}

/** More calls than these are met. */
interface Least {
	readonly kill: Readonly<Record<Verb | "heal", number>>;
	/** Of ADD: calls, and those that end in an error. */
	readonly fail: { readonly ADD: { readonly points: number; readonly failed: number }; readonly others: number };
}

/** Every fault in every verb. */
export function testAll(faults: ReturnType<typeof faultsOf>, { kill, fail }: Least): void {
	test.each(aftermaths)("ADD killed, then %s", async (aftermath) => {
		expect(await faults.kill("ADD", aftermath)).toBeGreaterThan(kill.ADD);
	});

	test.each(aftermaths)("DEL killed, then %s", async (aftermath) => {
		expect(await faults.kill("DEL", aftermath)).toBeGreaterThan(kill.DEL);
	});

	test("GC killed, then GC", async () => {
		expect(await faults.kill("GC", "GC")).toBeGreaterThan(kill.GC);
	});

	test("berth heal killed, then berth heal", async () => {
		expect(await faults.killHeal()).toBeGreaterThan(kill.heal);
	});

	test("a call of ADD fails: success, or an error that leaves nothing", async () => {
		const { points, failed } = await faults.fail("ADD");
		expect(points).toBeGreaterThan(fail.ADD.points);
		expect(failed).toBeGreaterThan(fail.ADD.failed);
	});

	test.each(["DEL", "GC"] as const)(
		"a call of %s fails: all is as before, or there is an error after which it succeeds",
		async (verb) => {
			expect((await faults.fail(verb)).points).toBeGreaterThan(fail.others);
		},
	);
}
