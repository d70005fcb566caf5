/**
 * The demo: see scripts/demo for what it does and its options.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { execa } from "execa";
import { Guest, prepareGuest } from "../test/lab/guest.ts";
import type { Machine } from "../test/lab/machine.ts";
import { peer } from "../test/lab/peers.ts";
import { until } from "../test/lab/sriov.ts";
import { describeCard, examineHostCard, prepareGuestCard, prepareHostCard } from "./demonstration/card.ts";
import * as pods from "./demonstration/pods.ts";
import { atEnd, Progress, putBack } from "./demonstration/progress.ts";
import { differences, isRdmaExclusive, type Snapshot, takeSnapshot, type VfState } from "./demonstration/state.ts";
import { vfTable } from "./demonstration/table.ts";

type Options = ReturnType<typeof readOptions>;

/** What `--json` prints. */
interface Report {
	ok: boolean;
	/** The sentence that is also on stderr. */
	error?: string;
	machine?: string;
	pf?: string;
	card?: string;
	before?: Snapshot;
	withPods?: Snapshot;
	after?: Snapshot;
	pods?: { name: string; configuration: unknown; result: unknown }[];
	pings?: pods.Ping[];
	/** Where the state after differs from the one before. */
	differences?: string[];
}

/** `pf`: of this host; undefined: the guest's. */
function readOptions() {
	const { values } = parseArgs({
		options: {
			pf: { type: "string" },
			vlan: { type: "string", default: "100" },
			json: { type: "boolean", default: false },
			"no-build": { type: "boolean", default: false },
		},
	});
	const vlan = Number(values.vlan);
	if (!Number.isInteger(vlan) || vlan < 1 || vlan > 4094) {
		throw new Error(`--vlan must be a number from 1 to 4094, not ${JSON.stringify(values.vlan)}`);
	}
	return { pf: values.pf, vlan, json: values.json, build: !values["no-build"] };
}

/** Runs the build; its output is shown only if it fails. */
async function build(): Promise<void> {
	const script = join(import.meta.dirname, "build.ts");
	const { failed, all } = await execa(process.execPath, [script], { all: true, reject: false });
	if (failed) throw new Error(`the build failed:\n${all}`);
}

/** Tells of something that goes on while others do, at its end. */
async function timed(progress: Progress, what: string, work: Promise<unknown>): Promise<void> {
	await work;
	progress.note(`ready: ${what}`);
}

/** Builds what is needed and provides the machine and its card. Returns the name of the PF. */
async function provide(
	options: Options,
	progress: Progress,
	cleanup: AsyncDisposableStack,
): Promise<{ machine: Machine; pf: string }> {
	// Before the long work: it may be all in vain.
	const card = options.pf === undefined ? undefined : await examineHostCard(options.pf);
	const note = (line: string) => progress.note(line);
	progress.step("building what is not there yet");
	await Promise.all([
		options.build && timed(progress, "dist/bin: types, bundles, bytecode, executable", build()),
		timed(progress, "cnitool, the runtime's side, from its Go module", peer("cnitool")),
		card === undefined && timed(progress, "the virtual machine's kernel and QEMU", prepareGuest(note)),
	]);
	if (card !== undefined && options.pf !== undefined) {
		await prepareHostCard(card.machine, options.pf, card.vfs, progress, cleanup);
		return { machine: card.machine, pf: options.pf };
	}
	progress.step("booting a virtual machine with an SR-IOV card (QEMU, igb)");
	const guest = await Guest.boot({ pfs: 1, log: note, signal: progress.signal });
	atEnd(cleanup, "end the virtual machine", () => guest.shutdown());
	return { machine: guest, pf: await prepareGuestCard(guest, progress) };
}

function choosePods(snapshot: Snapshot, vlan: number, exclusive: boolean): [pods.Pod, pods.Pod] {
	const [first, second] = snapshot.vfs;
	const rdma = (vf: VfState) => (exclusive && vf.rdma !== undefined ? "exclusive" : "none");
	return [
		{
			name: "demo-a",
			vf: first!,
			settings: { vlan, mac: "02:00:5e:10:00:0a", trust: "on", spoofchk: "off", max_tx_rate: 200 },
			rdma: rdma(first!),
		},
		{ name: "demo-b", vf: second!, settings: { vlan }, rdma: rdma(second!) },
	];
}

async function attachPods(
	machine: Machine,
	both: pods.Pod[],
	progress: Progress,
	cleanup: AsyncDisposableStack,
): Promise<pods.Attachment[]> {
	const results: pods.Attachment[] = [];
	if (machine instanceof Guest) {
		// Nothing in it outlives it.
		cleanup = new AsyncDisposableStack();
	}
	atEnd(cleanup, `remove ${pods.directory}`, () => machine.run(["rm", "-rf", pods.directory]));
	for (const pod of both) {
		progress.step(`pod ${pod.name}: network namespace, then ADD through cnitool with VF ${pod.vf.pci}`);
		await pods.createPod(machine, pod);
		atEnd(cleanup, `delete pod ${pod.name}`, () => machine.run(["ip", "netns", "delete", pod.name]));
		// DEL may come any number of times, and after a failed ADD, as runtimes do it.
		atEnd(cleanup, `detach pod ${pod.name}`, () => pods.cnitool(machine, "del", pod));
		results.push(JSON.parse(await pods.cnitool(machine, "add", pod)));
		await pods.cnitool(machine, "check", pod);
	}
	return results;
}

/** Sends pings both ways, once both VFs have carrier. */
async function pingPods(
	machine: Machine,
	pf: string,
	[a, b]: [pods.Pod, pods.Pod],
	attachments: pods.Attachment[],
): Promise<pods.Ping[]> {
	const names = [a.name, b.name];
	await until("both VFs to have carrier", async () => {
		const { vfs } = await takeSnapshot(machine, pf, names);
		return vfs.filter((vf) => vf.pod !== undefined && vf.carrier).length === 2;
	});
	return [
		await pods.ping(machine, a, b, attachments[1]!.ips[0]!.address),
		await pods.ping(machine, b, a, attachments[0]!.ips[0]!.address),
	];
}

/** The host's own links come and go while we work: of those only the card counts. In the guest everything does. */
function comparable(snapshot: Snapshot, pf: string, machine: Machine): unknown {
	if (machine instanceof Guest) {
		return { link: snapshot.links, rdma: snapshot.rdma };
	}
	const names = new Set([pf, ...snapshot.vfs.map((vf) => vf.netdev)]);
	return { link: Object.fromEntries(Object.entries(snapshot.links).filter(([name]) => names.has(name))) };
}

function describePings(pings: readonly pods.Ping[]): string {
	return pings
		.map(({ from, to, address, received, averageMs }) => {
			const time = averageMs === undefined ? "" : `, ${averageMs} ms on average`;
			return `  ${from} -> ${to} (${address}): ${received} of ${pods.pings} answers${time}`;
		})
		.join("\n");
}

async function demonstrate(
	options: Options,
	progress: Progress,
	cleanup: AsyncDisposableStack,
	report: Report,
): Promise<void> {
	const { machine, pf } = await provide(options, progress, cleanup);
	const card = await describeCard(machine, pf);
	Object.assign(report, { machine: machine.name, pf, card });

	const before = await takeSnapshot(machine, pf, []);
	report.before = before;
	progress.text(
		`\nBefore: the VFs of ${pf} (${card}) as ${machine instanceof Guest ? "the guest's" : "this host's"} kernel shows them\n\n${vfTable(before.vfs)}\n`,
	);

	const both = choosePods(before, options.vlan, await isRdmaExclusive(machine));
	const names = both.map((pod) => pod.name);
	const attachments = await attachPods(machine, both, progress, cleanup);
	report.pods = both.map((pod, index) => ({
		name: pod.name,
		configuration: pods.configuration(pod),
		result: attachments[index],
	}));
	const attached = await takeSnapshot(machine, pf, names);
	report.withPods = attached;
	progress.text(`\nNetwork of pod ${both[0].name}, as a NetworkAttachmentDefinition and Multus give it:\n`);
	progress.text(`${indent(JSON.stringify(pods.configuration(both[0]), null, 2))}\n`);
	progress.text(`With pods: every value is read from the kernel\n\n${vfTable(attached.vfs)}\n`);
	const wrong = both.flatMap((pod, index) => pods.mismatches(pod, attachments[index]!, attached.vfs[pod.vf.index]!));
	const leased = await pods.heldAddresses(machine);
	const given = attachments.map((attachment) => attachment.ips[0]?.address.split("/")[0] ?? "nothing");
	if (leased.join() !== given.sort().join()) {
		wrong.push(`host-local holds ${leased.join(", ") || "nothing"}, and the pods were given ${given.join(", ")}`);
	}
	requireNone(wrong);

	progress.step("pings between the pods, over the VFs");
	report.pings = await pingPods(machine, pf, both, attachments);
	progress.text(`${describePings(report.pings)}\n`);
	const unanswered = report.pings.filter(({ received }) => received !== pods.pings);
	requireNone(unanswered.map(({ from, to }) => `${to} did not answer ${from} over the VFs`));

	progress.step("DEL of both pods through cnitool");
	for (const pod of both) await pods.cnitool(machine, "del", pod);
	const after = await takeSnapshot(machine, pf, names);
	report.after = after;
	progress.text(`\nAfter\n\n${vfTable(after.vfs)}\n`);
	report.differences = differences(comparable(before, pf, machine), comparable(after, pf, machine));
	requireNone(report.differences.map((difference) => `after DEL, ${difference}`));
	const held = await pods.heldAddresses(machine);
	requireNone(held.map((address) => `host-local still holds ${address} after DEL`));
	const what = machine instanceof Guest ? "every link and RDMA device of the guest" : `${pf} and its VFs`;
	const tools = machine instanceof Guest ? "`ip -d link` and `rdma dev` show" : "`ip -d link` shows";
	progress.text(`Everything is back: ${tools} ${what} as before, and no address is held.`);
}

const indent = (text: string): string => text.replaceAll(/^/gm, "  ");

function requireNone(sentences: readonly string[]): void {
	if (sentences.length > 0) {
		throw new Error(sentences.join("; "));
	}
}

async function main(): Promise<number> {
	const report: Report = { ok: false };
	const json = process.argv.includes("--json");
	const progress = new Progress((line) => (json ? process.stderr : process.stdout).write(`${line}\n`));
	const cleanup = new AsyncDisposableStack();
	const interrupt = () => {
		progress.note("interrupted: putting everything back");
		progress.interrupt();
	};
	process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
	const wrong: string[] = [];
	let status = 0;
	try {
		await demonstrate(readOptions(), progress, cleanup, report);
	} catch (error) {
		// Ctrl-C also goes to what we have started, whose end is then no news.
		wrong.push(progress.interrupted ? "interrupted" : (error as Error).message);
		status = progress.interrupted ? 130 : 1;
	}
	wrong.push(...(await putBack(cleanup)));
	if (wrong.length > 0) {
		report.error = wrong.join("; ");
		console.error(`demo: ${report.error}`);
	}
	report.ok = report.error === undefined;
	if (json) {
		console.log(JSON.stringify(report, null, 2));
	}
	return status || (report.ok ? 0 : 1);
}

process.exitCode = await main();
