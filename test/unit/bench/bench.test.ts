import { describe, expect, test } from "vitest";
import { difference } from "../../../scripts/bench/baseline.ts";
import { parseCollected, parseTrace } from "../../../scripts/bench/counts.ts";
import { planOf, spreadOf } from "../../../scripts/bench/timing.ts";
import { alignColumns } from "../../lab/table.ts";

describe("the output of strace", () => {
	const text = `123 execve("./ours/host-local", ["./ours/host-local"], 0x7ffc /* 8 vars */) = 0
123 brk(NULL)                         = 0x55
123 clone(child_stack=0xc000, flags=CLONE_VM|CLONE_FS|CLONE_THREAD|CLONE_SETTLS <unfinished ...>
124 futex(0x5, FUTEX_WAIT_PRIVATE, 0, NULL <unfinished ...>
123 <... clone resumed>, tls=0xc0) = 124
123 --- SIGURG {si_signo=SIGURG, si_code=SI_TKILL, si_pid=123, si_uid=0} ---
123 clone3({flags=CLONE_VM|CLONE_VFORK, exit_signal=SIGCHLD}, 88) = 125
124 <... futex resumed>)               = 0
123 exit_group(0)                     = ?
123 +++ exited with 0 +++
`;

	test("counts a call that another thread's interrupts once, and no signals", () => {
		const { systemCalls, total } = parseTrace(text);
		expect(systemCalls).toEqual({ execve: 1, brk: 1, clone: 1, futex: 1, clone3: 1, exit_group: 1 });
		expect(total).toBe(6);
	});

	test("tells threads from processes", () => {
		expect(parseTrace(text)).toMatchObject({ threads: 1, processes: 1 });
	});
});

test("callgrind's total is found in its log, and a log without one is quoted", () => {
	expect(parseCollected("==7== Events    : Ir\n==7== Collected : 1998372\n==7== \n")).toBe(1998372);
	expect(() => parseCollected("==7== bad address\n")).toThrow("bad address");
});

test("the median of an even number of samples is between the middle two", () => {
	expect(spreadOf([10, 2, 30, 4])).toEqual({ median: 7, min: 2, max: 30 });
	expect(spreadOf([9, 1, 5])).toEqual({ median: 5, min: 1, max: 9 });
});

test("the difference to the baseline has its sign, unless it rounds to nothing", () => {
	expect(difference(1013, 1000)).toBe("+1.3 %");
	expect(difference(987, 1000)).toBe("-1.3 %");
	expect(difference(1_000_001, 1_000_000)).toBe("0.0 %");
	expect(difference(999_999, 1_000_000)).toBe("0.0 %");
	expect(difference(7, undefined)).toBe("new");
});

test("a call without stdin has no line for it in the plan", () => {
	const environment = { CNI_COMMAND: "VERSION" };
	expect(planOf({ program: "./x", environment, stdin: "" })).toBe("run ./x\nenv CNI_COMMAND=VERSION\nend\n");
	expect(planOf({ program: "./x", environment: {}, stdin: "{}" })).toBe("run ./x\nstdin {}\nend\n");
});

test("columns line up: text on the left, numbers on the right", () => {
	expect(
		alignColumns(
			[
				["verb", "n"],
				["a", "100"],
			],
			1,
		),
	).toBe("verb    n\na     100");
});
