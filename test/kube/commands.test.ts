/** `whereabouts ls` and `whereabouts reconcile`, on objects of pods that are there and of pods that are gone. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ours, scratchDirectory } from "../lab/ipam.ts";
import { GROUP, Kube } from "../lab/kube.ts";
import { writeKubeconfig } from "../lab/kubeconfig.ts";

let kube: Kube;
beforeAll(async () => {
	kube = await Kube.start();
});
afterAll(() => kube.stop());

async function run(namespace: string, ...args: string[]) {
	const kubeconfig = join(scratchDirectory(), "kubeconfig");
	const token = await kube.token(namespace, "berth-reconcile");
	writeKubeconfig(kubeconfig, { server: kube.url, authority: { path: kube.caPath }, namespace, user: { token } });
	const options = { extendEnv: false, reject: false, stripFinalNewline: false } as const;
	const [command, ...flags] = args;
	return execa(ours("whereabouts"), [command!, "-kubeconfig", kubeconfig, ...flags], options);
}

const entry = (pod: string, id = `id-${pod}`) => ({ id, podref: `default/${pod}`, ifname: "net1" });

/**
 * A pool with three entries, and reservations of these and another: of the pods only `stays` is there and running.
 */
async function scene(): Promise<string> {
	const namespace = await kube.namespace();
	const create = (kind: string, name: string, spec: object) =>
		kube.create({ apiVersion: "whereabouts.cni.cncf.io/v1alpha1", kind, metadata: { name, namespace }, spec });
	const allocations = {
		"1": entry("stays"),
		"2": entry("gone"),
		"10": entry("finished"),
		"20": entry("stays", "other"),
	};
	await create("IPPool", "blue-10.0.0.0-24", { range: "10.0.0.0/24", allocations });
	await create("IPPool", "odd", { range: "10.0.0.0/24", allocations: {} });
	const pods = { "10.0.0.1": "stays", "10.0.0.2": "gone", "10.0.0.3": "stays", "10.0.0.10": "finished" };
	const cooling = { "10.0.0.40": "default/cooldown:1000:gone", "10.0.0.41": "default/cooldown:99999999999:gone" };
	for (const [ip, podref] of Object.entries(cooling)) {
		await create("OverlappingRangeIPReservation", `blue-${ip}`, { containerid: "", podref, ifname: "net1" });
	}
	for (const [ip, pod] of Object.entries(pods)) {
		const { id, podref, ifname } = entry(pod);
		await create("OverlappingRangeIPReservation", `blue-${ip}`, { containerid: id, podref, ifname });
	}
	return namespace;
}

async function pod(name: string, phase: string): Promise<void> {
	const spec = { nodeName: "node", containers: [{ name: "c", image: "none" }] };
	const created = { apiVersion: "v1", kind: "Pod", metadata: { name, namespace: "default" }, spec };
	await kube.create(created);
	const path = `/api/v1/namespaces/default/pods/${name}/status`;
	const settings = { contentType: "application/merge-patch+json" };
	expect((await kube.request("PATCH", path, { status: { phase } }, settings)).status).toBe(200);
}

async function objects(namespace: string): Promise<{ entries: string[]; reservations: string[] }> {
	const list = async (plural: string) =>
		(await kube.request("GET", `${GROUP}/namespaces/${namespace}/${plural}`)).json.items;
	const pools = await list("ippools");
	return {
		entries: pools.flatMap(({ spec }: { spec: { allocations: object } }) => Object.keys(spec.allocations)).sort(),
		reservations: (await list("overlappingrangeipreservations"))
			.map(({ metadata }: { metadata: { name: string } }) => metadata.name)
			.sort(),
	};
}

test("reconcile frees what pods hold that are gone or have finished, and brings a missing entry", async () => {
	const namespace = await scene();
	await pod("stays", "Running");
	await pod("finished", "Succeeded");
	const before = await objects(namespace);

	const dry = await run(namespace, "reconcile", "--dry-run");
	expect(dry.stdout).toContain("4 would be freed, 2 would be healed, 0 failed\n");
	expect(await objects(namespace)).toEqual(before);

	const metrics = join(scratchDirectory(), "whereabouts.prom");
	const { stdout, stderr, exitCode } = await run(namespace, "reconcile", "-metrics", metrics);
	expect(stdout).toBe(
		[
			"pool blue-10.0.0.0-24: freed 10.0.0.2 (default/gone), 10.0.0.10 (default/finished)",
			"reservation blue-10.0.0.10: freed, pod default/finished is gone",
			"reservation blue-10.0.0.2: freed, pod default/gone is gone",
			"pool blue-10.0.0.0-24: entry of 10.0.0.3 for pod default/stays made",
			"reservation blue-10.0.0.40: freed, its reuseDelaySeconds are over",
			"reservation of 10.0.0.20 for pod default/stays made",
			"4 freed, 2 healed, 0 failed\n",
		].join("\n"),
	);
	expect(stderr).toContain("pool odd is passed over");
	expect(exitCode).toBe(0);
	expect(await objects(namespace)).toEqual({
		entries: ["1", "20", "3"],
		reservations: ["blue-10.0.0.1", "blue-10.0.0.20", "blue-10.0.0.3", "blue-10.0.0.41"],
	});
	expect(readFileSync(metrics, "utf8")).toContain('whereabouts_reconciled{change="freed"} 4\n');

	const again = await run(namespace, "reconcile");
	expect(again.stdout).toBe("0 freed, 0 healed, 0 failed\n");

	// Two living pods have one address: nobody can mend that, but it is said.
	await pod("second", "Running");
	const pool = `${GROUP}/namespaces/${namespace}/ippools/blue-10.0.0.0-24`;
	await kube.request("PATCH", pool, [{ op: "replace", path: "/spec/allocations/3", value: entry("second") }]);
	const twice = await run(namespace, "reconcile");
	expect(twice.exitCode).toBe(1);
	expect(twice.stderr).toContain("10.0.0.3 is held by two pods: default/second in pool");

	const table = (await run(namespace, "ls")).stdout.split("\n").map((line) => line.split(/ +/));
	expect(table.slice(0, 2)).toEqual([
		["POOL", "RANGE", "USED", "SIZE"],
		["blue-10.0.0.0-24", "10.0.0.0/24", "3", "254"],
	]);
	expect((await run(namespace, "ls", "--holders")).stdout).toMatch(
		/^POOL +ADDRESS +POD +INTERFACE +CONTAINER\nblue-10\.0\.0\.0-24 +10\.0\.0\.1 +default\/stays +net1 +id-stays\n/,
	);
	expect(JSON.parse((await run(namespace, "ls", "--json")).stdout)).toMatchObject([
		{
			pool: "blue-10.0.0.0-24",
			used: 3,
			holders: [{ address: "10.0.0.1" }, { address: "10.0.0.3" }, { address: "10.0.0.20" }],
		},
	]);
});

test("wrong calls, and a cluster that is not there", async () => {
	const wrong = await execa(ours("whereabouts"), ["reconcile", "-nonsense"], { reject: false });
	expect([wrong.exitCode, wrong.stderr]).toEqual([
		2,
		expect.stringContaining("flag provided but not defined: -nonsense; there are -kubeconfig"),
	]);
	const none = await execa(ours("whereabouts"), ["ls"], { reject: false, extendEnv: false });
	expect([none.exitCode, none.stderr]).toEqual([1, expect.stringContaining("not in a pod of a cluster")]);
	const path = join(scratchDirectory(), "kubeconfig");
	writeFileSync(path, "clusters: [");
	const broken = await execa(ours("whereabouts"), ["ls", "-kubeconfig", path], { reject: false });
	expect([broken.exitCode, broken.stderr]).toEqual([1, expect.stringContaining(`${path} is not YAML`)]);
});
