/** whereabouts on sixteen nodes at once: no address twice, none lost, whatever is killed, cut or restarted. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { cuttingProxy } from "../lab/cutting-proxy.ts";
import { ours, scratchDirectory } from "../lab/ipam.ts";
import { Kube } from "../lab/kube.ts";
import { randomNumbers, SEED } from "../lab/random.ts";
import { until } from "../lab/until.ts";
import { duplicates, Nodes, report } from "./nodes.ts";

/** BERTH_PODS=1000 is what docs/whereabouts.md speaks of. */
const PODS = Number(process.env.BERTH_PODS ?? 200);
const RANGE = "10.100.0.0/20";
/** At least so long an ADD waits for a server that starts. */
const PATIENCE_MS = 5000;

let kube: Kube;
beforeAll(async () => {
	kube = await Kube.start();
});
afterAll(() => kube.stop());

async function crowd(
	port?: number,
	more: { namespace?: string; sliceSize?: string; directory?: string } = {},
): Promise<Nodes> {
	return new Nodes({
		kube,
		namespace: more.namespace ?? (await kube.namespace()),
		...(more.sliceSize !== undefined && { sliceSize: more.sliceSize }),
		executable: ours("whereabouts"),
		directory: more.directory ?? scratchDirectory(),
		range: RANGE,
		ipam: ({ directory }) => ({ dataDir: join(directory, "state") }),
		...(port !== undefined && { port }),
	});
}

const sorted = (map: ReadonlyMap<string, string>): string[] => [...map].map(([ip, pod]) => `${ip} ${pod}`).sort();

test("every pod gets an address of its own, and its entry; all are given back", async () => {
	const nodes = await crowd();
	// A server that has just begun to serve a kind waits before it makes the first object of it.
	await nodes.add([{ pod: "first", node: 0 }]);
	const added = await nodes.add(nodes.attachments(PODS));
	const start = performance.now();
	console.log(report(`ADD of ${PODS} pods on 16 nodes`, added));
	expect(added.failed).toEqual([]);
	expect(added.withoutReservation).toEqual([]);
	expect(duplicates(added.succeeded)).toEqual([]);
	const held = new Map(added.succeeded.map(({ address, pod }) => [address, pod]));
	await until("every entry", async () => (await nodes.pool()).size === PODS + 1);
	console.log(`the last entry is there ${((performance.now() - start) / 1000).toFixed(1)} s after the last ADD`);
	expect(sorted(await nodes.pool()).filter((text) => !text.endsWith(" first"))).toEqual(sorted(held));

	const ended = await nodes.del([...nodes.attachments(PODS), { pod: "first", node: 0 }]);
	console.log(report("DEL of all", ended));
	expect(ended.failed).toEqual([]);
	expect(sorted(await nodes.reservations())).toEqual([]);
	await until("no entry", async () => (await nodes.pool()).size === 0);
});

test("with calls killed, connections cut and the server restarted, then one reconcile: none twice, none lost", async () => {
	await using proxy = await cuttingProxy(kube.port, 30, randomNumbers(SEED));
	const nodes = await crowd(proxy.port);
	await nodes.add([{ pod: "first", node: 0 }]);
	const faults = { killed: { perMille: 100, withinMs: 300, random: randomNumbers(SEED + 1) } };
	const all = nodes.attachments(PODS);
	const adding = nodes.add(all, faults);
	await until("half of the reservations", async () => (await nodes.reservations()).size > PODS / 2);
	await kube.restart();
	const added = await adding;
	console.log(report(`seed ${SEED}, ADD with faults (${proxy.cut} connections cut)`, added));
	expect(proxy.cut).toBeGreaterThan(0);
	// One that has waited for as long as it may, and found no server or one that starts and knows nobody's rights yet,
	// is the runtime's to delete.
	const { unanswered = [], failed = [] } = Object.groupBy(added.failed, ({ stdout, ms }) =>
		ms > PATIENCE_MS && /"code": 11,[\s\S]*(does not answer|says 403)/.test(stdout) ? "unanswered" : "failed",
	);
	expect(failed).toEqual([]);
	expect(duplicates(added.succeeded)).toEqual([]);
	expect(added.withoutReservation).toEqual([]);

	// Every second pod ends, and those whose ADD was killed or had no answer; the others are there.
	const leaving = new Set(added.succeeded.filter((_, index) => index % 2 === 0).map(({ pod }) => pod));
	const half = added.succeeded.filter(({ pod }) => leaving.has(pod));
	const without = unanswered.map(({ attachment }) => attachment);
	const ended = await nodes.del([...added.killed, ...without, ...half], faults);
	console.log(report("DEL with faults", ended));
	expect(ended.failed).toEqual([]);
	const living = added.succeeded.filter(({ pod }) => !leaving.has(pod));
	for (const { pod } of living) await nodes.makePod(pod);
	await nodes.settled();
	const { stdout, exitCode } = await nodes.reconcile();
	console.log(stdout.trim().split("\n").at(-1));
	expect(exitCode).toBe(0);
	const expected = sorted(new Map(living.map(({ address, pod }) => [address, pod])));
	expect(sorted(await nodes.reservations())).toEqual(expected);
	expect(sorted(await nodes.pool())).toEqual(expected);
});

/** The files that nodes keep of addresses and attachments. */
function held(directory: string): string[] {
	const files = readdirSync(directory, { recursive: true, encoding: "utf8" });
	return files.filter((path) => /\/state\/(attachments\/.|blocks\/load@[^/]*\/[0-9])/.test(path));
}

test("with blocks no ADD and no DEL asks the server, which may be away; one reconcile brings all pools", async () => {
	const namespace = await kube.namespace();
	const blocks = Array.from({ length: 32 }, (_, index) => `10.100.${Math.floor(index / 2)}.${(index % 2) * 128}/25`);
	const allocations = blocks.map((sliceRange, index) => ({ nodeName: index < 16 ? `node-${index}` : "", sliceRange }));
	await kube.create({
		apiVersion: "whereabouts.cni.cncf.io/v1alpha1",
		kind: "NodeSlicePool",
		metadata: { name: "load", namespace },
		spec: { range: RANGE, sliceSize: "/25" },
		status: { allocations },
	});
	const directory = scratchDirectory();
	const nodes = await crowd(undefined, { namespace, sliceSize: "/25", directory });
	const first = await nodes.add(Array.from({ length: 16 }, (_, node) => ({ pod: `first-${node}`, node })));
	expect([first.failed, first.requestsPerCall]).toEqual([[], 2]);

	const added = await nodes.add(nodes.attachments(PODS));
	console.log(report(`ADD of ${PODS} pods on 16 nodes with blocks`, added));
	expect(added.failed).toEqual([]);
	expect(duplicates([...first.succeeded, ...added.succeeded])).toEqual([]);
	expect(added.requestsPerCall).toBe(0);
	for (const { pod, node } of [...first.succeeded, ...added.succeeded]) await nodes.makePod(pod, `node-${node}`);
	for (let node = 0; node < 16; node++) {
		const dataDir = join(directory, `node-${node}`, "state");
		const { stdout, exitCode } = await nodes.reconcile("--node", "-datadir", dataDir);
		expect(exitCode, stdout).toBe(0);
		const held = [...first.succeeded, ...added.succeeded].filter((one) => one.node === node);
		const pool = await nodes.pool(`node-${node}-${blocks[node]!.replace("/", "-")}`);
		expect(sorted(pool)).toEqual(sorted(new Map(held.map(({ address, pod }) => [address, pod]))));
	}

	kube.freeze();
	const away = await nodes.add(Array.from({ length: 160 }, (_, index) => ({ pod: `away-${index}`, node: index % 16 })));
	console.log(report("ADD of 160 pods while the server is away", away));
	const ended = await nodes.del([...added.succeeded, ...away.succeeded]);
	console.log(report("DEL of all", ended));
	// Killed at any moment, then DEL: nothing is held.
	const random = randomNumbers(SEED);
	const faults = { killed: { perMille: 500, withinMs: 40, random } };
	const many = nodes.attachments(PODS);
	const killed = await nodes.add(many, faults);
	console.log(report("ADD, half of them killed", killed));
	const released = await nodes.del([...many, ...first.succeeded], faults);
	const rest = await nodes.del(released.killed);
	kube.thaw();
	expect([killed.failed, released.failed, rest.failed]).toEqual([[], [], []]);
	expect(duplicates([...first.succeeded, ...killed.succeeded])).toEqual([]);
	expect(held(directory)).toEqual([]);
	expect([away.failed, ended.failed]).toEqual([[], []]);
	expect(duplicates([...first.succeeded, ...added.succeeded, ...away.succeeded])).toEqual([]);
});
