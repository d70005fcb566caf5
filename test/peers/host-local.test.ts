/**
 * Generated configurations and sequences of calls, through Go's host-local and ours, each on a store of its own: the
 * same answers and the same files after each call, but for what host-local-differences.ts and intended-differences.ts
 * list.
 *
 * The seed is fixed, so that every run is the same; BERTH_SEED and BERTH_RUNS give others. A failure is shrunk to a
 * short sequence.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ours } from "../lab/ipam.ts";
import { peer } from "../lab/peers.ts";
import { SEED } from "../lab/random.ts";
import { type Difference, type Files, type Outcome, PARTINGS, SENTENCES, type Step } from "./host-local-differences.ts";
import { type Reply, RULES } from "./intended-differences.ts";

const RUNS = Number(process.env.BERTH_RUNS ?? 320);

let go: string;
let directory: string;
const counts = { sequences: 0, calls: 0, results: 0, errors: 0, files: 0 };
const seen = new Map<string, number>();

beforeAll(async () => {
	go = await peer("host-local");
	directory = mkdtempSync(join(tmpdir(), "berth-peers-"));
});
afterAll(() => {
	rmSync(directory, { recursive: true, force: true });
	console.log(
		`host-local: seed ${SEED}: ${JSON.stringify(counts)}; apart: ${JSON.stringify(Object.fromEntries(seen))}`,
	);
});

interface Action extends Step {
	/** CNI_ARGS and runtimeConfig.ips. */
	readonly request: { readonly args: string; readonly ips: readonly string[] };
	/** Files that appear in the store before the call, as if others had made them. */
	readonly put: Files;
}

interface Sequence {
	readonly version: string;
	readonly ipam: object;
	readonly actions: readonly Action[];
}

const v4 = (host: number, net = 2) => `10.1.${net}.${host}`;
const v6 = (host: number) => `2001:db8::${host.toString(16)}`;
const often = <T>(value: T, other: fc.Arbitrary<T>, weight = 4) =>
	fc.oneof({ weight, arbitrary: fc.constant(value) }, { weight: 1, arbitrary: other });

const address = fc.oneof(
	fc.integer({ min: 0, max: 21 }).map((host) => v4(host)),
	fc.integer({ min: 0, max: 9 }).map((host) => v4(host, 3)),
	fc.integer({ min: 0, max: 9 }).map(v6),
);
const subnet = fc.oneof(
	{ weight: 6, arbitrary: fc.constantFrom("10.1.2.0/29", "10.1.2.0/28", "10.1.2.0/30", "10.1.2.8/29") },
	{ weight: 3, arbitrary: fc.constantFrom("10.1.3.0/29", "10.1.3.0/30") },
	{ weight: 4, arbitrary: fc.constantFrom("2001:db8::/125", "2001:db8::/126", "2001:DB8:0::/64") },
	{
		weight: 1,
		arbitrary: fc.constantFrom(
			"10.1.2.0/31",
			"10.1.2.5/29",
			"::ffff:10.1.2.0/125",
			"10.1.2.0",
			"2001:db8::/127",
			"10.1.02.0/24",
		),
	},
);
const range = fc
	.record({
		subnet,
		rangeStart: often<string | undefined>(undefined, address),
		rangeEnd: often<string | undefined>(undefined, address),
		gateway: often<string | undefined>(undefined, fc.oneof(address, fc.constantFrom("", "x"))),
	})
	.map((fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)));
const rangeSet = fc.array(range, { minLength: 1, maxLength: 2 });
const route = fc.constantFrom(
	{ dst: "0.0.0.0/0" },
	{ dst: "10.9.1.1/16", gw: v4(1), mtu: 1400, priority: 5 },
	{ dst: "2001:DB8:1::/48", gw: v6(1), table: 100, scope: 0 },
);
/** Disjoint, small enough to run out of, in order: most sequences shall get somewhere. */
const soundSets = fc
	.shuffledSubarray<object[]>(
		[
			[{ subnet: "10.1.2.0/29" }],
			[{ subnet: "10.1.3.0/30" }, { subnet: "10.1.3.4/30", gateway: v4(6, 3) }],
			[{ subnet: "10.1.2.8/29", rangeStart: v4(9), rangeEnd: v4(11) }],
			[{ subnet: "2001:db8::/126", gateway: "2001:db8::9" }],
			[{ subnet: "2001:db8:1::/64" }],
			[{ subnet: "10.1.2.16/28", rangeStart: v4(16), gateway: v4(20) }],
		],
		{ minLength: 1 },
	)
	.map((sets) => sets.slice(0, 3));
const ipam = fc
	.record({
		ranges: fc.oneof(
			{ weight: 5, arbitrary: soundSets },
			{ weight: 1, arbitrary: fc.array(rangeSet, { minLength: 1, maxLength: 3 }) },
		),
		routes: often<object[] | undefined>(undefined, fc.array(route, { maxLength: 2 })),
		short: often<object>({}, range, 12),
	})
	.map(({ ranges, routes, short }) => ({ ranges, ...(routes && { routes }), ...short }));

const id = fc.constantFrom("a", "b", "c1", "c2", "c3");
const holder = fc.oneof(
	fc.tuple(id, fc.constantFrom("\r\neth0", "\r\nnet1", "\r\neth0\n", "")).map((parts) => parts.join("")),
	fc.constantFrom(" a", "b\r\n"),
);
const put: fc.Arbitrary<Files> = often<Files>(
	{},
	fc.oneof(
		fc.tuple(address, holder).map(([name, text]): Files => ({ [name]: text })),
		fc
			.tuple(fc.constantFrom(0, 1), fc.oneof(address, fc.constant("nonsense")))
			.map(([set, text]): Files => ({ [`last_reserved_ip.${set}`]: text })),
		fc.constant<Files>({ "notes.txt": "a\r\neth0x" }),
	),
	9,
);
/** Of two requests in one range set Go takes either, by the order of a map: so no two that could be. */
const request = often(
	{ args: "", ips: [] as string[] },
	fc.oneof(
		address.map((ip) => ({ args: `IP=${ip}`, ips: ["192.0.2.1"].slice(ip.length % 2) })),
		address.map((ip) => ({ args: `IgnoreUnknown=1;IP=${ip}/24;X=y`, ips: [] })),
		address.map((ip) => ({ args: "", ips: [ip] })),
		fc.constantFrom("IP=x", "A=b", "IP", "IP=").map((args) => ({ args, ips: [] })),
		fc.constant({ args: "IP=192.0.2.1", ips: ["192.0.2.2", "192.0.2.1/8"] }),
	),
	6,
);
const action: fc.Arbitrary<Action> = fc.record({
	verb: fc.oneof(
		{ weight: 6, arbitrary: fc.constant("ADD" as const) },
		{ weight: 3, arbitrary: fc.constant("DEL" as const) },
		{ weight: 1, arbitrary: fc.constant("CHECK" as const) },
	),
	id,
	ifName: often("eth0", fc.constant("net1")),
	request,
	put,
});
const sequence: fc.Arbitrary<Sequence> = fc.record({
	version: fc.constantFrom("0.2.0", "0.3.1", "0.4.0", "1.0.0", "1.0.0", "1.1.0", "1.1.0", "1.1.0"),
	ipam,
	actions: fc.array(action, { minLength: 1, maxLength: 14, size: "max" }),
});

function filesOf(store: string): Files {
	if (!existsSync(store)) return {};
	const names = readdirSync(store).filter((name) => name !== "lock");
	return Object.fromEntries(names.sort().map((name) => [name, readFileSync(join(store, name), "utf8")]));
}

function run(executable: string, dataDir: string, { version, ipam }: Sequence, step: Action): Outcome {
	const store = join(dataDir, "net");
	for (const [name, text] of Object.entries(step.put)) {
		mkdirSync(store, { recursive: true });
		// What is held is not taken away.
		if (!existsSync(join(store, name)) || name.startsWith("last")) writeFileSync(join(store, name), text);
	}
	const before = filesOf(store);
	const config = {
		cniVersion: version,
		name: "net",
		type: "sriov",
		ipam: { type: "host-local", dataDir, ...ipam },
		...(step.request.ips.length > 0 && { runtimeConfig: { ips: step.request.ips } }),
	};
	const { status, stdout, stderr } = spawnSync(executable, {
		input: JSON.stringify(config),
		encoding: "utf8",
		timeout: 30_000,
		env: {
			CNI_COMMAND: step.verb,
			CNI_CONTAINERID: step.id,
			CNI_NETNS: "/nowhere",
			CNI_IFNAME: step.ifName,
			CNI_ARGS: step.request.args,
			CNI_PATH: "/nowhere",
		},
	});
	return { reply: replyOf(status, stdout, stderr), before, after: filesOf(store) };
}

function replyOf(status: number | null, stdout: string, stderr: string): Reply {
	if (stdout === "") return { status, kind: "nothing", stdout, stderr };
	const { code, msg, details } = JSON.parse(stdout);
	if (code === undefined) return { status, kind: "result", stdout, stderr };
	return { status, kind: "error", stdout, stderr, code, message: msg, ...(details !== undefined && { details }) };
}

/** In what two outcomes differ, after the rules that hold for every plugin. */
function differences(a: Outcome, b: Outcome): string[] {
	const [left, right] = [a.reply, b.reply];
	const found: string[] = [];
	for (const field of ["status", "kind", "code", "message"] as const) {
		if (left[field] === right[field]) continue;
		if (left.kind !== right.kind && field !== "kind" && field !== "status") continue;
		if (RULES.some((rule) => rule.field === field && rule.explains(left, right))) continue;
		found.push(field);
	}
	if (left.kind === "result" && right.kind === "result" && left.stdout !== right.stdout) found.push("result");
	if (JSON.stringify(a.after) !== JSON.stringify(b.after)) found.push("files");
	return found;
}

function explained(list: readonly Difference[], step: Step, a: Outcome, b: Outcome): boolean {
	const difference = list.find((each) => each.explains(step, a, b));
	if (difference) seen.set(difference.name, (seen.get(difference.name) ?? 0) + 1);
	return difference !== undefined;
}

function compare(one: Sequence): void {
	const [ofGo, ofOurs] = ["go", "ours"].map((name) => join(directory, name)) as [string, string];
	for (const dataDir of [ofGo, ofOurs]) rmSync(dataDir, { recursive: true, force: true });
	counts.sequences++;
	for (const [index, step] of one.actions.entries()) {
		const a = run(go, ofGo, one, step);
		const b = run(ours("host-local"), ofOurs, one, step);
		counts.calls++;
		counts.files += Object.keys(a.after).length;
		counts[a.reply.kind === "error" ? "errors" : "results"]++;
		const found = differences(a, b);
		if (found.length === 0) continue;
		if (found.join() === "message" && explained(SENTENCES, step, a, b)) continue;
		if (explained(PARTINGS, step, a, b)) return;
		const show = ({ reply, after }: Outcome) => `exit ${reply.status}, ${reply.stdout}\n${JSON.stringify(after)}`;
		expect(found, `call ${index}\nGo:   ${show(a)}\nours: ${show(b)}\n`).toEqual([]);
	}
}

/** What chance does not come upon: an attachment with files of both kinds. */
const twoWaysToHold: Sequence = {
	version: "1.1.0",
	ipam: { ranges: [[{ subnet: "10.1.2.0/29" }], [{ subnet: "10.1.3.0/29" }]] },
	actions: (["ADD", "DEL"] as const).map((verb) => ({
		verb,
		id: "a",
		ifName: "eth0",
		request: { args: "", ips: [] },
		put: verb === "DEL" ? { "10.1.9.9": "a" } : {},
	})),
};

describe("Go's host-local and ours", () => {
	it(`agree on ${RUNS} generated networks and sequences of calls`, () => {
		fc.assert(fc.property(sequence, compare), { seed: SEED, numRuns: RUNS, examples: [[twoWaysToHold]] });
	}, 1_800_000);

	it("part in nothing that is listed and never happens", () => {
		const never = [...SENTENCES, ...PARTINGS].filter(({ name, byChance }) => !byChance && !seen.has(name));
		if (process.env.BERTH_SEED === undefined) expect(never.map(({ name }) => name)).toEqual([]);
		expect(counts.results).toBeGreaterThan(counts.calls / 4);
	});
});
