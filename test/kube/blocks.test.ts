/** Node blocks of whereabouts: a node that knows its block asks the API server nothing. */
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { Background } from "../lab/dhcp.ts";
import { type Answer, call, heldAddresses, ours, scratchDirectory } from "../lab/ipam.ts";
import { GROUP, Kube } from "../lab/kube.ts";
import { writeKubeconfig } from "../lab/kubeconfig.ts";
import { until } from "../lab/until.ts";

let kube: Kube;
beforeAll(async () => {
	kube = await Kube.start();
});
afterAll(() => kube.stop());

const NETWORK = "rail";

/** A node of the cluster, with a file that tells its name. */
class Node {
	readonly directory = scratchDirectory();
	readonly namespace: string;
	readonly name: string;
	readonly ipam: Record<string, unknown>;

	constructor(namespace: string, name: string, ipam: Record<string, unknown> = {}) {
		this.namespace = namespace;
		this.name = name;
		this.ipam = ipam;
		this.#kubeconfig("kubeconfig", kube.pluginToken);
		writeFileSync(join(this.directory, "whereabouts.conf"), "{}");
		this.rename(name);
	}

	rename(name: string): void {
		writeFileSync(join(this.directory, "nodename"), `${name}\n`);
	}

	#kubeconfig(name: string, token: string): void {
		const path = join(this.directory, name);
		const { namespace } = this;
		writeKubeconfig(path, { server: kube.url, authority: { path: kube.caPath }, namespace, user: { token } });
	}

	config(more: Record<string, unknown> = {}): Record<string, unknown> {
		const { ipam = {}, ...rest } = more;
		return {
			cniVersion: "1.1.0",
			name: NETWORK,
			type: "sriov",
			ipam: {
				type: "whereabouts",
				range: "10.7.0.0/24",
				node_slice_size: "/29",
				kubernetes: { kubeconfig: join(this.directory, "kubeconfig") },
				configuration_path: join(this.directory, "whereabouts.conf"),
				dataDir: join(this.directory, "state"),
				...this.ipam,
				...(ipam as object),
			},
			...rest,
		};
	}

	call(verb: string, pod: string, more: Record<string, unknown> = {}): Promise<Answer> {
		const { id = `id-${pod}`, args = "", ...rest } = more as Record<string, never>;
		return call(ours("whereabouts"), verb, {
			config: this.config(rest),
			id,
			ifName: "net1",
			args: `IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=${pod}${args}`,
		});
	}

	async add(pod: string, more: Record<string, unknown> = {}): Promise<string> {
		const { status, json, stdout } = await this.call("ADD", pod, more);
		expect(status, stdout).toBe(0);
		return json.ips[0].address;
	}

	async del(pod: string, more: Record<string, unknown> = {}): Promise<void> {
		const { status, stdout } = await this.call("DEL", pod, more);
		expect(status, stdout).toBe(0);
	}

	/** Files that it keeps: addresses that are held, and records. */
	remembered(): string[] {
		const attachments = join(this.directory, "state", "attachments");
		return [
			...readdirSync(attachments),
			...this.stores().flatMap((store) => heldAddresses(store).map((ip) => ip.trim())),
		];
	}

	stores(): string[] {
		const blocks = join(this.directory, "state", "blocks");
		return readdirSync(blocks)
			.filter((name) => /@[0-9]/.test(name))
			.map((name) => join(blocks, name));
	}

	reconcile(...flags: string[]) {
		return this.reconcileAs("", ...flags);
	}

	/** With `nodeName` in NODENAME, as a DaemonSet has it. */
	async reconcileAs(nodeName: string, ...flags: string[]) {
		const [command, ...args] = await this.reconcileCommand(...flags);
		return execa(command!, args, { reject: false, env: { NODENAME: nodeName } });
	}

	async reconcileCommand(...flags: string[]): Promise<string[]> {
		this.#kubeconfig("reconciler", await kube.token(this.namespace, "berth-reconcile"));
		const state = join(this.directory, "state");
		const kubeconfig = join(this.directory, "reconciler");
		return [ours("whereabouts"), "reconcile", "--node", "-datadir", state, "-kubeconfig", kubeconfig, ...flags];
	}
}

/** Holds the lock of those who learn the block: an ADD, as far as the others know. Returns what releases it. */
async function holdLock(blocks: string): Promise<() => void> {
	const lock = execa("flock", [join(blocks, `${NETWORK}@lock`), "cat"]);
	lock.stdin.write("held\n");
	await once(lock.stdout, "data");
	return () => lock.stdin.end();
}

interface Slices {
	readonly range?: string;
	readonly sliceSize?: string;
	readonly nodes?: readonly string[];
}

const poolPath = (namespace: string) => `${GROUP}/namespaces/${namespace}/nodeslicepools/${NETWORK}`;

/** `steps`: RFC 6902. */
async function changePool(namespace: string, steps: readonly object[]): Promise<void> {
	expect((await kube.request("PATCH", poolPath(namespace), steps)).status).toBe(200);
}

/** The first blocks of the pool get these owners. */
const assignBlocks = (namespace: string, nodes: readonly string[]): Promise<void> =>
	changePool(
		namespace,
		nodes.map((value, index) => ({ op: "replace", path: `/status/allocations/${index}/nodeName`, value })),
	);

/** Makes a NodeSlicePool as the Go project's controller does: `nodes` in order, "" for a free block. */
async function slicePool(
	namespace: string,
	{ range = "10.7.0.0/24", sliceSize = "/29", nodes = ["node-a"] }: Slices = {},
): Promise<void> {
	const allocations = nodes.map((nodeName, index) => ({ nodeName, sliceRange: `10.7.0.${index * 8}${sliceSize}` }));
	await kube.create({
		apiVersion: "whereabouts.cni.cncf.io/v1alpha1",
		kind: "NodeSlicePool",
		metadata: { name: NETWORK, namespace },
		spec: { range, sliceSize },
		status: { allocations },
	});
}

/** "offset pod interface container" of a pool; undefined where there is no such pool. */
async function entries(namespace: string, pool: string): Promise<string[] | undefined> {
	const { status, json } = await kube.request("GET", `${GROUP}/namespaces/${namespace}/ippools/${pool}`);
	if (status === 404) return undefined;
	const allocations = Object.entries<{ podref: string; ifname: string; id: string }>(json.spec.allocations);
	return allocations.map(([offset, { podref, ifname, id }]) => `${offset} ${podref} ${ifname} ${id}`).sort();
}

async function makePod(name: string, nodeName: string): Promise<void> {
	const spec = { nodeName, containers: [{ name: "c", image: "none" }] };
	await kube.create({ apiVersion: "v1", kind: "Pod", metadata: { name, namespace: "default" }, spec });
}

async function removePod(name: string): Promise<void> {
	const path = `/api/v1/namespaces/default/pods/${name}?gracePeriodSeconds=0`;
	expect((await kube.request("DELETE", path)).status).toBe(200);
}

const makeNode = (name: string) => kube.create({ apiVersion: "v1", kind: "Node", metadata: { name } });

/** `whereabouts slices` with the rights of the reconciler. */
async function slicesIn(namespace: string) {
	const kubeconfig = join(scratchDirectory(), "kubeconfig");
	const token = await kube.token(namespace, "berth-reconcile");
	writeKubeconfig(kubeconfig, { server: kube.url, authority: { path: kube.caPath }, namespace, user: { token } });
	return (...flags: string[]) =>
		execa(ours("whereabouts"), ["slices", "-kubeconfig", kubeconfig, ...flags], { reject: false });
}

test("the block is learnt once; then ADD, CHECK, STATUS, DEL and GC ask the server nothing", async () => {
	const namespace = await kube.namespace();
	await slicePool(namespace, { nodes: ["node-a", "node-b"] });
	const a = new Node(namespace, "node-a");
	const b = new Node(namespace, "node-b", { gateway: "10.7.0.9", routes: [{ dst: "10.0.0.0/8" }] });
	const [first, second] = [await a.add("first"), await b.call("ADD", "second")];
	expect(first).toMatch(/^10\.7\.0\.[1-6]\/24$/);
	expect(second.json).toEqual({
		cniVersion: "1.1.0",
		ips: [{ address: expect.stringMatching(/^10\.7\.0\.1[0-4]\/24$/), gateway: "10.7.0.9" }],
		routes: [{ dst: "10.0.0.0/8" }],
	});

	const requests = await kube.audit();
	const pods = ["p1", "p2", "p3", "p4", "p5"];
	const addresses = await Promise.all(pods.map((pod) => a.add(pod)));
	expect(new Set([first, ...addresses]).size).toBe(6);
	for (const address of addresses) expect(address).toMatch(/^10\.7\.0\.[1-6]\/24$/);
	// Once more is the same once more.
	expect(await a.add("p1")).toBe(addresses[0]);
	const prevResult = (await a.call("ADD", "p1")).json;
	expect((await a.call("CHECK", "p1", { prevResult })).status).toBe(0);
	const others = await a.call("CHECK", "p2", { prevResult });
	expect([others.status, others.json.code, others.json.msg]).toEqual([
		1,
		102,
		expect.stringContaining("of prevResult is not held for the container"),
	]);

	const full = await a.call("ADD", "p6");
	expect(full.json).toMatchObject({
		code: 11,
		msg: "block 10.7.0.0/29 of node node-a has no address left",
		details: expect.stringMatching(/^6 of 6 addresses are held, for 6 containers, in /),
	});
	expect((await a.call("STATUS", "p6")).json).toMatchObject({ code: 50, msg: full.json.msg });
	await a.del("p1");
	await a.del("p1");
	expect((await a.call("STATUS", "p6")).status).toBe(0);
	const valid = ["first", "p2"].map((pod) => ({ containerID: `id-${pod}`, ifname: "net1" }));
	expect((await a.call("GC", "p6", { "cni.dev/valid-attachments": valid })).status).toBe(0);
	const kept = [first, addresses[1]!].map((address) => address.split("/")[0]);
	expect(a.remembered().sort()).toEqual([...kept, "rail-id-first-net1", "rail-id-p2-net1"].sort());
	expect(await requests()).toEqual([]);
	// Nobody but the node knows yet.
	expect(await entries(namespace, "node-a-10.7.0.0-29")).toBeUndefined();
});

test("reconcile --node brings the pool, and frees what pods hold that are gone", async () => {
	const namespace = await kube.namespace();
	await slicePool(namespace, { nodes: ["node-a"] });
	const node = new Node(namespace, "node-a");
	const addresses: Record<string, string> = {};
	for (const pod of ["block-stays", "block-goes"]) {
		await makePod(pod, "node-a");
		addresses[pod] = await node.add(pod);
	}
	const offset = (pod: string) => addresses[pod]!.split(/[./]/)[3];
	const dry = await node.reconcile("--dry-run");
	expect(dry.stdout).toBe(
		"pool node-a-10.7.0.0-29: 2 entries written, 0 removed\n0 would be freed, 1 would be healed, 0 failed",
	);
	expect(await entries(namespace, "node-a-10.7.0.0-29")).toBeUndefined();
	const requests = await kube.audit();
	expect((await node.reconcile()).exitCode).toBe(0);
	expect((await requests()).filter(({ verb }) => !["get", "list"].includes(verb))).toHaveLength(2);
	const line = (pod: string) => `${offset(pod)} default/${pod} net1 id-${pod}`;
	expect(await entries(namespace, "node-a-10.7.0.0-29")).toEqual(["block-stays", "block-goes"].map(line).sort());

	await removePod("block-goes");
	const metrics = join(node.directory, "metrics.prom");
	const second = await node.reconcile("--metrics", metrics);
	expect(second.stdout.split("\n")).toEqual([
		`${addresses["block-goes"]!.split("/")[0]}: freed, pod default/block-goes is gone`,
		"pool node-a-10.7.0.0-29: 0 entries written, 1 removed",
		"1 freed, 1 healed, 0 failed",
	]);
	expect(await entries(namespace, "node-a-10.7.0.0-29")).toEqual([line("block-stays")]);
	expect(node.remembered()).toEqual(["rail-id-block-stays-net1", addresses["block-stays"]!.split("/")[0]]);
	expect((await node.reconcile()).stdout).toBe("0 freed, 0 healed, 0 failed");
	await node.del("block-stays");
	expect((await node.reconcile()).stdout).toBe(
		"pool node-a-10.7.0.0-29: 0 entries written, 1 removed\n0 freed, 1 healed, 0 failed",
	);
	expect(await entries(namespace, "node-a-10.7.0.0-29")).toEqual([]);
});

test("reconcile --every goes on until SIGTERM, and past a run that fails", async () => {
	const namespace = await kube.namespace();
	await slicePool(namespace, { nodes: ["node-a"] });
	const node = new Node(namespace, "node-a");
	for (const pod of ["every-first", "every-second"]) await makePod(pod, "node-a");
	await node.add("every-first");
	const running = new Background(await node.reconcileCommand("--every=20ms"));
	onTestFinished(() => running.end("SIGKILL"));
	await running.says("1 entries written");
	const kubeconfig = join(node.directory, "reconciler");
	renameSync(kubeconfig, `${kubeconfig}.away`);
	await running.says("whereabouts reconcile: ");
	renameSync(`${kubeconfig}.away`, kubeconfig);
	await node.add("every-second");
	await running.says("1 entries written", 2);
	await running.end("SIGTERM");
	expect(running.process.exitCode).toBe(0);
	expect(await entries(namespace, "node-a-10.7.0.0-29")).toHaveLength(2);
});

test("what the Go plugin handed out of the block stays its owner's, and is given back", async () => {
	const namespace = await kube.namespace();
	await slicePool(namespace, { nodes: ["", "node-a"] });
	const entry = (pod: string) => ({ id: `id-${pod}`, podref: `default/${pod}`, ifname: "net1" });
	const allocations = {
		"1": entry("go-1"),
		"2": entry("go-2"),
		"3": { id: "\u00fc", podref: "default/odd", ifname: "net1" },
	};
	await kube.create({
		apiVersion: "whereabouts.cni.cncf.io/v1alpha1",
		kind: "IPPool",
		metadata: { name: "node-a-10.7.0.8-29", namespace },
		spec: { range: "10.7.0.8/29", allocations },
	});
	const node = new Node(namespace, "node-a", { allocationPolicy: "lowest" });
	// The first call of the node.
	await node.del("go-1");
	expect(await node.add("ours")).toBe("10.7.0.9/24");
	await node.del("ours");
	expect(await node.add("again")).toBe("10.7.0.9/24");
	// Of a pool that networks share, GC of one does not free what it knows nothing of.
	expect((await node.call("GC", "x", { "cni.dev/valid-attachments": [] })).status).toBe(0);
	expect(await node.add("third")).toBe("10.7.0.9/24");
	await makePod("go-2", "node-a");
	await makePod("third", "node-a");
	expect((await node.reconcile()).stdout).toContain("10.7.0.11: freed, pod default/odd is gone");
	expect(await entries(namespace, "node-a-10.7.0.8-29")).toEqual([
		"1 default/third net1 id-third",
		"2 default/go-2 net1 id-go-2",
	]);
	await removePod("go-2");
	await removePod("third");
});

test("an ADD reads as little when many addresses are held, and its first choice is one of them", async () => {
	const namespace = await kube.namespace();
	await slicePool(namespace, { sliceSize: "/24" });
	const node = new Node(namespace, "node-a", { node_slice_size: "/24" });
	// One pod again and again wants the same address first.
	for (let index = 0; index < 60; index++) await node.add("same", { id: `id-${index}` });
	const trace = join(node.directory, "trace");
	const { exitCode } = await execa("strace", ["-o", trace, "-e", "trace=open,openat", ours("whereabouts")], {
		input: JSON.stringify(node.config()),
		env: {
			...{ PATH: "/usr/bin:/bin", CNI_COMMAND: "ADD", CNI_CONTAINERID: "traced", CNI_IFNAME: "net1" },
			...{ CNI_NETNS: "/var/run/netns/none", CNI_PATH: "/opt/cni/bin" },
			CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=same",
		},
		extendEnv: false,
	});
	expect(exitCode).toBe(0);
	const addresses = readFileSync(trace, "utf8")
		.split("\n")
		.filter((line) => /blocks\/rail@[^/]*\/10\.7\./.test(line));
	expect(addresses.length).toBeLessThan(5);
});

test("reuseDelaySeconds of a block", async () => {
	const namespace = await kube.namespace();
	await slicePool(namespace, { nodes: ["node-a"] });
	const node = new Node(namespace, "node-a", { reuseDelaySeconds: 1000, allocationPolicy: "lowest" });
	expect(await node.add("a")).toBe("10.7.0.1/24");
	await node.del("a");
	expect(await node.add("b")).toBe("10.7.0.2/24");
	const asked = await node.call("ADD", "c", { args: ";IP=10.7.0.1" });
	expect(asked.json).toMatchObject({ code: 11, msg: "requested address 10.7.0.1 was released a short time ago" });
	expect(await node.add("c", { ipam: { reuseDelaySeconds: 0 } })).toBe("10.7.0.1/24");
});

test("vf-index needs a VF", async () => {
	const namespace = await kube.namespace();
	await slicePool(namespace, { nodes: ["node-a"] });
	const node = new Node(namespace, "node-a", { address: "vf-index" });
	const without = await node.call("ADD", "p");
	expect([without.json.code, without.json.msg]).toEqual([
		7,
		expect.stringContaining("the configuration has no deviceID"),
	]);
	const none = await node.call("ADD", "p", { deviceID: "ffff:ff:1f.7" });
	expect([none.json.code, none.json.msg]).toEqual([7, expect.stringContaining("ffff:ff:1f.7 is no VF of this node")]);
});

test("no block, another node's name, another slicing: said, and nothing is handed out", async () => {
	const namespace = await kube.namespace();
	const node = new Node(namespace, "node-a");
	const refusal = async (verb = "ADD", more = {}) => {
		const { json } = await node.call(verb, "p", more);
		return [json.code, json.msg];
	};
	expect(await refusal()).toEqual([11, `there is no NodeSlicePool rail in namespace ${namespace}`]);
	expect(await refusal("STATUS")).toEqual([50, `there is no NodeSlicePool rail in namespace ${namespace}`]);
	await slicePool(namespace, { nodes: ["node-b", "node-c", ""] });
	expect(await refusal()).toEqual([11, "node node-a has no block in NodeSlicePool rail: 2 of 3 are other nodes'"]);
	expect(await refusal("STATUS")).toEqual([50, expect.stringContaining("node node-a has no block")]);
	expect(await refusal("ADD", { ipam: { node_slice_size: "/28" } })).toEqual([
		11,
		"NodeSlicePool rail cuts 10.7.0.0/24 into /29, the configuration 10.7.0.0/24 into /28",
	]);
	expect(node.stores()).toEqual([]);
	// Nothing to release either.
	await node.del("p");

	// Nothing makes an object of such a name.
	expect(await refusal("ADD", { name: "Rail_0" })).toEqual([
		7,
		expect.stringContaining('no NodeSlicePool can be called "Rail_0"'),
	]);

	// As /etc/hostname may have it, and a cluster never.
	node.rename("Node-C");
	expect(await node.add("p")).toMatch(/^10\.7\.0\.(9|1[0-4])\/24$/);
	const foreign = await node.call("ADD", "q", { args: ";IP=10.7.0.3" });
	expect([foreign.json.code, foreign.json.msg]).toEqual([
		101,
		"requested address 10.7.0.3 is not of block 10.7.0.8/29, which node node-c has",
	]);
	const last = await node.call("ADD", "q", { args: ";IP=10.7.0.15" });
	expect([last.json.code, last.json.msg]).toEqual([
		101,
		"requested address 10.7.0.15 is the first or the last, which stay free, of block 10.7.0.8/29, which node node-c has",
	]);
	expect(await node.add("q", { args: ";IP=10.7.0.10" })).toBe("10.7.0.10/24");
	expect((await node.call("ADD", "r", { args: ";IP=10.7.0.10" })).json).toMatchObject({
		code: 101,
		msg: "requested address 10.7.0.10 is held by container id-q",
	});
	expect(node.remembered()).not.toContain("rail-id-r-net1");
});

test("a block that is taken away, or exchanged, is noticed; what was handed out of it is given back", async () => {
	const namespace = await kube.namespace();
	await slicePool(namespace, { nodes: ["node-a", ""] });
	const node = new Node(namespace, "node-a");
	await makePod("holder", "node-a");
	const before = await node.add("holder");
	const assign = (...nodes: string[]) => assignBlocks(namespace, nodes);
	await assign("node-b", "");
	const noticed = await node.reconcile();
	expect([noticed.exitCode, noticed.stdout.split("\n")[0]]).toEqual([1, "block 10.7.0.0/29 is no longer the node's"]);
	expect(noticed.stderr).toBe(
		"whereabouts reconcile: NodeSlicePool rail has no block for node node-a any more; this node has handed out 1 addresses of 10.7.0.0/29",
	);
	expect((await node.call("ADD", "p")).json.msg).toContain("node node-a has no block in NodeSlicePool rail");
	expect((await node.call("STATUS", "p")).json.code).toBe(50);

	await assign("node-b", "node-a");
	expect((await node.reconcile()).stderr).toContain("NodeSlicePool rail gives node node-a 10.7.0.8/29 now");
	expect(await node.add("p")).toMatch(/^10\.7\.0\.(9|1[0-4])\/24$/);
	// The old one is in use as long as the pod lives.
	const again = await node.call("CHECK", "holder", {
		prevResult: { cniVersion: "1.1.0", ips: [{ address: before }] },
	});
	expect(again.status, again.stdout).toBe(0);
	await node.del("holder");
	await node.del("p");
	expect(node.remembered()).toEqual([]);
	await removePod("holder");
});

test("a state directory that is lost, or of an earlier boot: asked again, and what the pool says is kept", async () => {
	const namespace = await kube.namespace();
	await slicePool(namespace, { nodes: ["node-a"] });
	const node = new Node(namespace, "node-a", { allocationPolicy: "lowest" });
	await makePod("kept", "node-a");
	expect(await node.add("kept")).toBe("10.7.0.1/24");
	expect((await node.reconcile()).exitCode).toBe(0);
	rmSync(join(node.directory, "state"), { recursive: true });
	expect(await node.add("new")).toBe("10.7.0.2/24");
	await node.del("kept");
	expect(await node.add("third")).toBe("10.7.0.1/24");

	// The block may have gone to another node while this one was off.
	const record = join(node.directory, "state", "blocks", `${NETWORK}.json`);
	const requests = await kube.audit();
	const text = JSON.stringify({ ...JSON.parse((await execa("cat", [record])).stdout), boot: "earlier" });
	writeFileSync(record, text);
	expect(await node.add("fourth")).toBe("10.7.0.1/24");
	// No sandbox outlives a boot.
	expect(node.remembered()).toEqual(["rail-id-fourth-net1", "10.7.0.1"]);
	expect((await requests()).map(({ verb, uri }) => `${verb} ${uri.split("/").at(-1)}`)).toEqual(["get rail"]);
	// What is no record, or where a directory is, is asked for as well.
	writeFileSync(record, text.slice(0, -20));
	await node.add("fifth");
	rmSync(record);
	mkdirSync(record);
	const blocked = await node.call("ADD", "sixth");
	expect([blocked.json.code, blocked.json.msg]).toEqual([
		5,
		expect.stringContaining(`.${NETWORK}.json.tmp: is a directory`),
	]);
	await removePod("kept");
});

test("whereabouts slices makes the pool, gives nodes their blocks and takes those of nodes that are gone", async () => {
	const namespace = await kube.namespace();
	const slices = await slicesIn(namespace);
	const pool = ["-name", "rail", "-range", "10.7.0.0/28", "-size", "/29"];
	await makeNode("one");
	await makeNode("two");
	const table = ["POOL  BLOCK        NODE", "rail  10.7.0.0/29  one", "rail  10.7.0.8/29  two"].join("\n");
	expect((await slices(...pool, "--dry-run")).stdout).toBe(table);
	expect((await slices()).stdout).toBe("POOL  BLOCK  NODE");
	expect((await slices(...pool)).stdout).toBe(table);
	expect(await new Node(namespace, "two", { range: "10.7.0.0/28" }).add("p")).toMatch(/^10\.7\.0\.(9|1[0-4])\/28$/);

	await makeNode("three");
	const full = await slices();
	expect([full.exitCode, full.stdout.split("\n").at(-1)]).toEqual([1, "no block is left for three of rail"]);
	await kube.request("DELETE", "/api/v1/nodes/one");
	const { stdout } = await slices("--json");
	const blocks = [
		{ node: "three", range: "10.7.0.0/29" },
		{ node: "two", range: "10.7.0.8/29" },
	];
	expect(JSON.parse(stdout)).toEqual([{ pool: "rail", range: "10.7.0.0/28", sliceSize: "/29", blocks }]);
	const other = await slices("-name", "rail", "-range", "10.7.0.0/24", "-size", "/29");
	expect([other.exitCode, other.stderr]).toEqual([1, expect.stringContaining("delete it first")]);
	const large = await slices("-name", "large", "-range", "10.0.0.0/8", "-size", "/27");
	expect([large.exitCode, large.stderr]).toEqual([1, expect.stringContaining("524288 blocks")]);
	const wrong = await slices("-size", "/27");
	expect([wrong.exitCode, wrong.stderr]).toEqual([2, expect.stringContaining("-range and -size need -name")]);
	for (const name of ["two", "three"]) await kube.request("DELETE", `/api/v1/nodes/${name}`);
});

test("vf-index: an address that a pod without a VF asked for is not another's who asks for it", async () => {
	const namespace = await kube.namespace();
	await slicePool(namespace, { nodes: ["node-a"] });
	const node = new Node(namespace, "node-a", { address: "vf-index" });
	const args = ";IP=10.7.0.3";
	expect(await node.add("first", { args })).toBe("10.7.0.3/24");
	expect((await node.call("ADD", "second", { args })).json).toMatchObject({
		code: 101,
		msg: "requested address 10.7.0.3 is held by container id-first",
	});
});

test("a range that is cut anew: what the node has handed out of its old block is not handed out of the new one", async () => {
	const namespace = await kube.namespace();
	await slicePool(namespace, { nodes: ["node-a"] });
	const lowest = { allocationPolicy: "lowest" };
	const node = new Node(namespace, "node-a", lowest);
	expect(await node.add("old")).toBe("10.7.0.1/24");
	expect(await node.add("older")).toBe("10.7.0.2/24");
	await changePool(namespace, [
		{ op: "replace", path: "/spec/sliceSize", value: "/28" },
		{ op: "replace", path: "/status/allocations", value: [{ nodeName: "node-a", sliceRange: "10.7.0.0/28" }] },
	]);
	const more = { ipam: { node_slice_size: "/28" } };
	expect(await node.add("new", more)).toBe("10.7.0.3/24");
	await node.del("old", more);
	expect(await node.add("next", more)).toBe("10.7.0.1/24");
	const valid = ["new", "next"].map((pod) => ({ containerID: `id-${pod}`, ifname: "net1" }));
	expect((await node.call("GC", "x", { ...more, "cni.dev/valid-attachments": valid })).status).toBe(0);
	expect(await node.add("last", more)).toBe("10.7.0.2/24");
});

test("a block that a node gets back: what it has released of it is free, whatever the pool says", async () => {
	const namespace = await kube.namespace();
	await slicePool(namespace, { nodes: ["node-a", ""] });
	const node = new Node(namespace, "node-a", { allocationPolicy: "lowest" });
	for (const pod of ["mover", "twice"]) await makePod(pod, "node-a");
	expect(await node.add("mover")).toBe("10.7.0.1/24");
	expect(await node.add("twice")).toBe("10.7.0.2/24");
	const assign = async (...nodes: string[]) => {
		await assignBlocks(namespace, nodes);
		await node.reconcile();
	};
	await assign("", "node-a");
	// Who asks again has one address, not one of each block.
	expect(await node.add("twice")).toBe("10.7.0.9/24");
	expect(node.remembered().filter((each) => each.startsWith("10."))).toEqual(["10.7.0.1", "10.7.0.9"]);
	await assign("node-a", "");
	await node.del("mover");
	expect(await node.add("third")).toBe("10.7.0.1/24");
	for (const pod of ["mover", "twice"]) await removePod(pod);
});

test("reconcile --node frees nothing where NODENAME is not the name that the block was learnt under", async () => {
	const namespace = await kube.namespace();
	await slicePool(namespace, { nodes: ["node-a", "node-b"] });
	const node = new Node(namespace, "node-a");
	await makePod("misnamed", "node-a");
	const address = (await node.add("misnamed")).split("/")[0];
	const { exitCode, stdout, stderr } = await node.reconcileAs("node-b");
	expect([exitCode, stdout]).toEqual([1, "block 10.7.0.0/29 is no longer the node's\n0 freed, 1 healed, 1 failed"]);
	expect(stderr).toContain("NODENAME says node-b");
	expect(node.remembered()).toContain(address);
	await removePod("misnamed");
});

test("reconcile --node passes over a block of an earlier boot, or of the machine that the state was copied from", async () => {
	const namespace = await kube.namespace();
	await slicePool(namespace, { nodes: ["node-a"] });
	const node = new Node(namespace, "node-a");
	await makePod("copied", "node-a");
	await node.add("copied");
	const record = join(node.directory, "state", "blocks", `${NETWORK}.json`);
	const learnt = JSON.parse(readFileSync(record, "utf8"));
	writeFileSync(record, JSON.stringify({ ...learnt, boot: "earlier" }));
	expect((await node.reconcile()).stdout).toBe("0 freed, 0 healed, 0 failed");
	expect(await entries(namespace, "node-a-10.7.0.0-29")).toBeUndefined();
	await removePod("copied");
});

test("whereabouts slices fills a pool without a status, and gives away last what a node that is gone had", async () => {
	const namespace = await kube.namespace();
	const slices = await slicesIn(namespace);
	const assigned = async (): Promise<string[]> => {
		const { stdout, exitCode } = await slices();
		expect(exitCode).toBe(0);
		return stdout.split("\n").slice(1);
	};
	await kube.create({
		apiVersion: "whereabouts.cni.cncf.io/v1alpha1",
		kind: "NodeSlicePool",
		metadata: { name: NETWORK, namespace },
		spec: { range: "10.7.0.0/27", sliceSize: "/29" },
	});
	await makeNode("first");
	expect(await assigned()).toEqual(["rail  10.7.0.0/29  first"]);
	await kube.request("DELETE", "/api/v1/nodes/first");
	await makeNode("second");
	expect(await assigned()).toEqual(["rail  10.7.0.8/29  second"]);
	await kube.request("DELETE", "/api/v1/nodes/second");
});

test("what an ADD has learnt while reconcile --node found the block lost is kept", async () => {
	const namespace = await kube.namespace();
	await slicePool(namespace, { nodes: ["node-a", ""] });
	const node = new Node(namespace, "node-a");
	await node.add("p");
	const blocks = join(node.directory, "state", "blocks");
	const record = join(blocks, `${NETWORK}.json`);
	const path = poolPath(namespace);
	await assignBlocks(namespace, ["", "node-a"]);
	const release = await holdLock(blocks);
	const learnt = { ...JSON.parse(readFileSync(record, "utf8")), block: "10.7.0.8/29" };
	const requests = await kube.audit();
	const reconciled = node.reconcile();
	await until("the question for the NodeSlicePool", async () => (await requests()).some(({ uri }) => uri === path));
	writeFileSync(record, JSON.stringify(learnt));
	release();
	await reconciled;
	expect(JSON.parse(readFileSync(record, "utf8"))).toEqual(learnt);
});

test("DEL does not succeed while another call learns the block, which may take over what is to be released", async () => {
	const namespace = await kube.namespace();
	await slicePool(namespace, { nodes: ["node-a"] });
	const node = new Node(namespace, "node-a");
	const blocks = join(node.directory, "state", "blocks");
	mkdirSync(blocks, { recursive: true });
	const release = await holdLock(blocks);
	const { json } = await node.call("DEL", "go-1");
	release();
	expect([json?.code, json?.msg]).toEqual([11, expect.stringContaining("lock on the block of rail")]);
});

test("back to Go and forth again: without its record of the block a node takes over what Go has handed out", async () => {
	const namespace = await kube.namespace();
	await slicePool(namespace, { nodes: ["node-a"] });
	const node = new Node(namespace, "node-a", { allocationPolicy: "lowest" });
	expect(await node.add("ours")).toBe("10.7.0.1/24");
	const entry = (pod: string) => ({ id: `id-${pod}`, podref: `default/${pod}`, ifname: "net1" });
	await kube.create({
		apiVersion: "whereabouts.cni.cncf.io/v1alpha1",
		kind: "IPPool",
		metadata: { name: "node-a-10.7.0.0-29", namespace },
		spec: { range: "10.7.0.0/29", allocations: { "1": entry("ours"), "2": entry("go") } },
	});
	rmSync(join(node.directory, "state", "blocks", `${NETWORK}.json`));
	expect(await node.add("next")).toBe("10.7.0.3/24");
	// What the store had it has under its own record.
	expect(node.remembered().filter((name) => name.includes("id-"))).toEqual([
		"*-id-go-net1",
		"rail-id-next-net1",
		"rail-id-ours-net1",
	]);
});
