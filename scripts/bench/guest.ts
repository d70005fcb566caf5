/**
 * Measures sriov and rdma on a real VF, in the test guest, against the least that the same change of the kernel's state
 * takes: see docs/bench.md.
 *
 *   npm run bench:guest -- [--rounds N] [--executable PATH]
 *   npm run bench:guest -- --update
 *
 * --rounds      rounds of timing, 20 by default
 * --executable  another build, measured in turns with dist/bin/berth, which is built first
 *
 * --update      measures nothing: notes for the next builds which functions of the host these calls run, and which
 *               blocks of the engine they touch
 *
 * Needs gcc. Exit status 0 also when the goal is not met: the guest is emulated, and times are noise, in part.
 */
import { copyFileSync, linkSync, mkdirSync, mkdtempDisposableSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { Guest } from "../../test/lab/guest.ts";
import { createPod } from "../../test/lab/pods.ts";
import { previousResult } from "../../test/lab/rdma.ts";
import { createRdmaDevices, createVfs } from "../../test/lab/sriov.ts";
import { alignColumns } from "../../test/lab/table.ts";
import { cargoDirectory, hostTarget, run } from "../build/host.ts";
import { joinTraces, PROFILE } from "../build/image.ts";
import { executableOf, positive, print, ROOT, say } from "./command.ts";
import { parseTrace } from "./counts.ts";
import { functionsRun, linkerScript, ORDER, symbolsOf } from "./functions.ts";
import { type Call, callOf } from "./laboratory.ts";
import { compile, planOf, type Run, readRuns, samplesOf, spread } from "./timing.ts";

const POD = "pod1";
const NETNS = `/run/netns/${POD}`;
const VLAN = 100;
const MTU = 1400;
const SUBNET = "10.56.219";
/** The goal: wall time of ADD+DEL divided by the floor's. */
const MOST_OF_FLOOR = 1.5;
const NAMES = ["sriov", "rdma", "host-local"];

const WORKLOADS = ["sriov", "rdma", "start"] as const;
type Workload = (typeof WORKLOADS)[number];

/** Calls that are made one after the other, and are one sample. */
interface Contestant {
	readonly workload: Workload;
	readonly maker: string;
	readonly calls: readonly Call[];
}

type Card = Awaited<ReturnType<typeof furnish>>;

/** A directory that is gone at the end. */
function workplace() {
	mkdirSync(join(ROOT, "build"), { recursive: true });
	return mkdtempDisposableSync(join(ROOT, "build/bench-guest-"));
}

/** A directory with links of all names to a copy of the executable, so that a build meanwhile changes nothing. */
function install(executable: string, directory: string): string {
	mkdirSync(directory);
	copyFileSync(executable, join(directory, "berth"));
	for (const name of NAMES) linkSync(join(directory, "berth"), join(directory, name));
	return directory;
}

/** A card with all of its VFs, each with an RDMA device, and a pod. */
async function furnish(guest: Guest) {
	const vfs = await createVfs(guest, "eth0", 7);
	await createRdmaDevices(guest, vfs);
	await createPod(guest, POD);
	const vf = vfs[3]!;
	const [links, devices] = [await guest.json(["ip", "-j", "link"]), await guest.json(["rdma", "-j", "dev"])];
	const of = (list: { ifname: string; ifindex: number; mtu: number }[], name = "") =>
		list.find(({ ifname }) => ifname === name)!;
	return {
		vf,
		mtu: of(links, vf.netdev).mtu,
		/** Of the PF's link, of the VF's and of the RDMA device. */
		pfIndex: of(links, vf.pf).ifindex,
		vfIndex: of(links, vf.netdev).ifindex,
		rdmaIndex: of(devices, `mlx5_${vf.index}`).ifindex,
	};
}

const callsOf = (all: readonly Contestant[]): Call[] => all.flatMap(({ calls }) => calls);

/** The start first, then what has the least time to lose: so the image is laid out. */
function ours(maker: string, directory: string, { vf }: Card): Contestant[] {
	const attachment = { CNI_CONTAINERID: "c1", CNI_IFNAME: "net1", CNI_NETNS: NETNS, CNI_PATH: directory };
	const call = (plugin: "sriov" | "rdma", command: string, configuration: object) =>
		callOf(join(directory, plugin), { ...attachment, CNI_COMMAND: command }, configuration);
	const network = { cniVersion: "1.1.0", name: "sriov-network", deviceID: vf.pci };
	const ipam = { type: "host-local", subnet: `${SUBNET}.0/24`, routes: [{ dst: "0.0.0.0/0" }] };
	const sriov = { ...network, type: "sriov", vlan: VLAN, trust: "on", mtu: MTU, ipam };
	const rdma = { ...network, type: "rdma", prevResult: previousResult(POD) };
	return [
		{ workload: "start", maker, calls: [{ ...call("sriov", "VERSION", {}), stdin: "" }] },
		{ workload: "rdma", maker, calls: [call("rdma", "ADD", rdma), call("rdma", "DEL", rdma)] },
		{ workload: "sriov", maker, calls: [call("sriov", "ADD", sriov), call("sriov", "DEL", sriov)] },
	];
}

/** What the configurations above ask for, and what the VF had before: no VLAN, no trust (igb's defaults). */
function floor(program: string, card: Card): Contestant[] {
	const call = (...texts: (string | number)[]): Call => ({ program, arguments: texts.map(String) });
	const { vf, pfIndex, vfIndex, rdmaIndex, mtu } = card;
	const place = [NETNS, pfIndex, vf.index, vfIndex];
	const address = [`${SUBNET}.2`, 24, `${SUBNET}.255`, `${SUBNET}.1`];
	const sriov = [
		call("sriov-add", ...place, "net1", MTU, VLAN, 1, ...address),
		call("sriov-del", ...place, vf.netdev!, mtu, 0, 0),
	];
	const rdma = [call("rdma-add", NETNS, rdmaIndex), call("rdma-del", NETNS, rdmaIndex)];
	return [
		{ workload: "sriov", maker: "floor", calls: sriov },
		{ workload: "rdma", maker: "floor", calls: rdma },
		{ workload: "start", maker: "/bin/true", calls: [{ program: "/bin/true" }] },
	];
}

/** The samples of each contestant, all in turn in each round, after a round that is not counted. */
async function timeAll(guest: Guest, timer: string, all: readonly Contestant[], rounds: number): Promise<Run[][]> {
	const stdin = callsOf(all).map(planOf).join("");
	const { stdout } = await guest.run([timer, String(rounds + 1)], { stdin, timeoutMs: 0 });
	return samplesOf(all, readRuns(stdout));
}

/** System calls of a call and of all processes that it starts; the execve(2) that starts it is one of them. */
async function count(guest: Guest, call: Call): Promise<number> {
	const { program, arguments: texts = [], environment = {}, stdin = "" } = call;
	const trace = "/tmp/bench.strace";
	await guest.run(["strace", "-f", "-qq", "-o", trace, program, ...texts], { env: environment, stdin });
	return parseTrace(await guest.readFile(trace)).total;
}

async function countAll(guest: Guest, all: readonly Contestant[]): Promise<number[][]> {
	const counts: number[][] = [];
	for (const { calls } of all) {
		const each: number[] = [];
		for (const call of calls) each.push(await count(guest, call));
		counts.push(each);
	}
	return counts;
}

/** What is measured of a contestant, with the floor of its workload. */
interface Row extends Contestant {
	readonly samples: readonly Run[];
	/** System calls of each call. */
	readonly counts: readonly number[];
}

/** Of the floor's median. */
function ratio(rows: readonly Row[], { workload, samples }: Row, key: keyof Run): number | undefined {
	const floor = rows.find((each) => each.workload === workload && each.maker === "floor");
	return floor && spread(samples, key).median / spread(floor.samples, key).median;
}

function table(rows: readonly Row[]): string {
	const cells = WORKLOADS.flatMap((workload) => rows.filter((row) => row.workload === workload)).map((row) => {
		const [wall, cpu] = [spread(row.samples, "wallMs"), spread(row.samples, "cpuMs")];
		return [
			row.workload === "start" ? "start (VERSION)" : `${row.workload} ADD+DEL`,
			row.maker,
			wall.median.toFixed(1),
			`${wall.min.toFixed(1)}..${wall.max.toFixed(1)}`,
			ratio(rows, row, "wallMs")?.toFixed(2) ?? "",
			cpu.median.toFixed(1),
			ratio(rows, row, "cpuMs")?.toFixed(2) ?? "",
			row.counts.join(" + "),
		];
	});
	return alignColumns([["", "", "wall ms", "min..max", "of floor", "CPU ms", "of floor", "system calls"], ...cells], 2);
}

function verdict(rows: readonly Row[], workload: Workload): string {
	const of = ratio(rows, rows.find((row) => row.workload === workload && row.maker === "ours")!, "wallMs")!;
	const met = of <= MOST_OF_FLOOR ? "met" : "NOT MET";
	return `${workload} ADD+DEL: wall time ${of.toFixed(2)} of the floor's, at most ${MOST_OF_FLOOR}: ${met}`;
}

async function measure(rounds: number, other: string | undefined): Promise<string> {
	using made = workplace();
	const directory = made.path;
	const directories: [maker: string, at: string][] = [
		["ours", install(executableOf(undefined), join(directory, "ours"))],
	];
	if (other !== undefined) directories.push(["other", install(executableOf(other), join(directory, "other"))]);
	const [timer, floorProgram] = [compile("timer.c", directory), compile("floor.c", directory)];
	await using guest = await Guest.boot({ pfs: 1, log: say });
	const card = await furnish(guest);
	const all = [...directories.flatMap(([maker, at]) => ours(maker, at, card)), ...floor(floorProgram, card)];
	say("counting");
	const counts = await countAll(guest, all);
	say(`timing ${rounds} rounds`);
	const samples = await timeAll(guest, timer, all, rounds);
	const rows = all.map((each, index) => ({ ...each, samples: samples[index]!, counts: counts[index]! }));
	const verdicts = [verdict(rows, "sriov"), verdict(rows, "rdma")].join("\n");
	return `medians of ${rounds} rounds in the test guest\n\n${table(rows)}\n\n${verdicts}`;
}

/** Runs the calls under callgrind, VERSION first. */
async function updateOrder(guest: Guest, card: Card, directory: string): Promise<string> {
	run(process.execPath, ["scripts/build.ts", "--fast"], {
		cwd: ROOT,
		environment: { CARGO_PROFILE_RELEASE_STRIP: "none" },
	});
	const symbols = symbolsOf(join(cargoDirectory(), hostTarget(ROOT), "release/berth"));
	const programs = install(join(ROOT, "dist/bin/berth"), join(directory, "counted"));
	const names: string[] = [];
	for (const { program, environment = {}, stdin = "" } of callsOf(ours("counted", programs, card))) {
		const output = "/tmp/bench.callgrind";
		const options = ["--tool=callgrind", "--dump-instr=yes", `--callgrind-out-file=${output}`];
		await guest.run(["valgrind", ...options, program], { env: environment, stdin, timeoutMs: 0 });
		names.push(...functionsRun(await guest.readFile(output), symbols));
	}
	writeFileSync(ORDER, linkerScript(names));
	return `${new Set(names).size} functions of the host listed in ${ORDER}`;
}

/** Traces the calls with the executable that has no image. */
async function updateProfile(guest: Guest, card: Card, made: string): Promise<string> {
	run(process.execPath, ["scripts/build.ts", "--fast", "--bytecode"], { cwd: ROOT });
	const directory = install(join(ROOT, "dist/bytecode/berth"), join(made, "traced"));
	const traces: Buffer[] = [];
	for (const { program, environment = {}, stdin = "" } of callsOf(ours("traced", directory, card))) {
		const trace = ["/tmp/bench.trace", basename(program)];
		await guest.run([join(directory, "berth"), "--image-trace", ...trace], { env: environment, stdin });
		const { stdout } = await guest.run(["base64", "/tmp/bench.trace"]);
		traces.push(Buffer.from(stdout, "base64"));
	}
	writeFileSync(PROFILE, joinTraces(traces));
	return `${traces.length} calls traced into ${PROFILE}`;
}

async function update(): Promise<string> {
	using made = workplace();
	await using guest = await Guest.boot({ pfs: 1, log: say });
	const card = await furnish(guest);
	return [await updateOrder(guest, card, made.path), await updateProfile(guest, card, made.path)].join("\n");
}

await print(async () => {
	const { values } = parseArgs({
		options: {
			rounds: { type: "string", default: "20" },
			executable: { type: "string" },
			update: { type: "boolean", default: false },
		},
	});
	if (values.update) return update();
	return measure(positive("rounds", values.rounds), values.executable);
});
