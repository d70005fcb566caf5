/** whereabouts against a real API server: what it makes there, what it takes away, and what it leaves alone. */
import { mkdirSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { type Answer, call, ours, scratchDirectory, whereaboutsNetwork } from "../lab/ipam.ts";
import { GROUP, Kube } from "../lab/kube.ts";
import { writeKubeconfig } from "../lab/kubeconfig.ts";
import { until } from "../lab/until.ts";

let kube: Kube;
beforeAll(async () => {
	kube = await Kube.start();
});
afterAll(() => kube.stop());

/** A node: its state, its kubeconfig, and calls of the plugin on it. */
class Node {
	readonly directory = scratchDirectory();
	readonly namespace: string;
	readonly ipam: Record<string, unknown>;

	constructor(namespace: string, ipam: Record<string, unknown>, token = kube.pluginToken) {
		this.namespace = namespace;
		this.kubeconfig({ token });
		this.ipam = ipam;
	}

	kubeconfig(
		user: { token: string } | { tokenFile: string },
		authority: { path: string } | { pem: string } = { path: kube.caPath },
	): void {
		writeKubeconfig(join(this.directory, "kubeconfig"), {
			server: kube.url,
			authority,
			namespace: this.namespace,
			user,
		});
	}

	call(verb: string, pod: string, more: Record<string, unknown> = {}, ifName = "net1"): Promise<Answer> {
		const { id = `id-${pod}`, args = "", ipam = {}, ...rest } = more as Record<string, never>;
		return call(ours("whereabouts"), verb, {
			config: {
				...whereaboutsNetwork(join(this.directory, "kubeconfig"), {
					dataDir: join(this.directory, "state"),
					...this.ipam,
					...(ipam as object),
				}),
				...rest,
			},
			id,
			ifName,
			args: `IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=${pod}${args}`,
		});
	}

	/** The addresses of a pod that must get some. */
	async add(pod: string, more: Record<string, unknown> = {}, ifName?: string): Promise<string[]> {
		const { status, json, stdout } = await this.call("ADD", pod, more, ifName);
		expect(status, stdout).toBe(0);
		return json.ips.map(({ address }: { address: string }) => address);
	}

	async del(pod: string, more: Record<string, unknown> = {}, ifName?: string): Promise<void> {
		const { status, stdout } = await this.call("DEL", pod, more, ifName);
		expect(status, stdout).toBe(0);
	}

	/** Names of the files in which it remembers something of an attachment. */
	remembered(): string[] {
		const files = readdirSync(join(this.directory, "state"), { recursive: true, withFileTypes: true });
		return files.filter((file) => file.isFile() && !file.name.startsWith(".")).map(({ name }) => name);
	}

	/**
	 * What waits for a pool has been written: calls that follow each other closely leave that to a process of its
	 * own.
	 */
	settled(): Promise<unknown> {
		return until("the pool's writer", () => this.remembered().every((name) => !name.includes("@")));
	}
}

const list = async (namespace: string, plural: string) =>
	(await kube.request("GET", `${GROUP}/namespaces/${namespace}/${plural}`)).json.items;

/** "pool/offset pod interface", sorted. */
async function entries(namespace: string): Promise<string[]> {
	const pools = await list(namespace, "ippools");
	return pools
		.flatMap(({ metadata, spec }: { metadata: { name: string }; spec: { allocations: object } }) =>
			Object.entries(spec.allocations).map(
				([offset, { podref, ifname }]) => `${metadata.name}/${offset} ${podref} ${ifname}`,
			),
		)
		.sort();
}

/** "name pod interface container", sorted. */
async function reservations(namespace: string): Promise<string[]> {
	const items = await list(namespace, "overlappingrangeipreservations");
	return items
		.map(
			({
				metadata,
				spec,
			}: {
				metadata: { name: string };
				spec: { podref: string; ifname: string; containerid: string };
			}) => `${metadata.name} ${spec.podref} ${spec.ifname} ${spec.containerid}`,
		)
		.sort();
}

const createIn = (namespace: string, kind: string, name: string, spec: object) =>
	kube.create({ apiVersion: "whereabouts.cni.cncf.io/v1alpha1", kind, metadata: { name, namespace }, spec });

describe("the life of an address", () => {
	test("ADD, CHECK, DEL: reservation, pool and record come and go; three requests", async () => {
		const namespace = await kube.namespace();
		const node = new Node(namespace, {
			range: "10.1.0.0/24",
			range_start: "10.1.0.10",
			range_end: "10.1.0.10",
			gateway: "10.1.0.1",
		});
		const first = await node.call("ADD", "a", { routes: [] });
		expect(first.json).toEqual({ cniVersion: "1.1.0", ips: [{ address: "10.1.0.10/24", gateway: "10.1.0.1" }] });
		await node.settled();
		expect(await entries(namespace)).toEqual(["10.1.0.0-24/10 default/a net1"]);
		expect(await reservations(namespace)).toEqual(["10.1.0.10 default/a net1 id-a"]);
		await node.settled();
		expect(node.remembered()).toEqual(["net-id-a-net1"]);
		const prevResult = first.json;
		expect((await node.call("CHECK", "a", { prevResult })).status).toBe(0);
		expect((await node.call("CHECK", "b", { prevResult })).json.code).toBe(102);

		// Again, as a runtime that did not see the answer.
		expect(await node.add("a")).toEqual(["10.1.0.10/24"]);
		await node.del("a");
		await node.settled();
		expect(await entries(namespace)).toEqual([]);
		expect(await reservations(namespace)).toEqual([]);
		await node.settled();
		expect(node.remembered()).toEqual([]);
		await node.del("a");
		expect((await node.call("CHECK", "a", { prevResult })).json.code).toBe(102);

		// Nobody has written to this pool for a while: then its entry is there before ADD returns.
		const requests = await kube.audit();
		const fresh = new Node(namespace, node.ipam);
		await fresh.add("b");
		expect((await requests()).map(({ verb, resource }) => `${verb} ${resource}`)).toEqual([
			"get ippools",
			"create overlappingrangeipreservations",
			"patch ippools",
		]);
	});

	test("what is not asked for does not change: same objects as the Go plugin's names", async () => {
		const namespace = await kube.namespace();
		const node = new Node(namespace, {
			network_name: "blue",
			ipRanges: [{ range: "10.2.0.0/30" }, { range: "2001:db8::/126" }],
		});
		expect(await node.add("a")).toHaveLength(2);
		expect(
			(await list(namespace, "ippools")).map(({ metadata }: { metadata: { name: string } }) => metadata.name),
		).toEqual(["blue-10.2.0.0-30", "blue-2001-db8---126"]);
		expect((await reservations(namespace)).map((text) => text.split(" ")[0])).toEqual([
			expect.stringMatching(/^blue-10\.2\.0\.[12]$/),
			expect.stringMatching(/^blue-2001-db8--[12]$/),
		]);
		await node.del("a");
		expect(await reservations(namespace)).toEqual([]);
	});

	test("all ranges or none: the second has no address", async () => {
		const namespace = await kube.namespace();
		const node = new Node(namespace, { range: "10.3.0.0/24", ipRanges: [{ range: "10.4.0.4/32" }] });
		await node.add("a");
		await node.settled();
		const before = [await entries(namespace), await reservations(namespace)];
		const { status, json } = await node.call("ADD", "b");
		expect(status).toBe(1);
		expect(json.code).toBe(11);
		expect(json.msg).toContain("Could not allocate IP in range: ip: 10.4.0.4 / - 10.4.0.4 / range: 10.4.0.4/32");
		expect(json.details).toBe("pool 10.4.0.4-32: all of its 1 addresses are held");
		await node.settled();
		expect([await entries(namespace), await reservations(namespace)]).toEqual(before);
		await node.settled();
		expect(node.remembered()).toEqual(["net-id-a-net1"]);
		expect((await node.call("STATUS", "")).json).toMatchObject({
			code: 50,
			details: "pool 10.4.0.4-32: 1 of 1 addresses are held",
		});
	});

	test.each([
		["/31", { range: "10.5.0.0/31" }, ["10.5.0.0/31", "10.5.0.1/31"]],
		["exclude", { range: "10.5.0.0/29", exclude: ["10.5.0.1", "10.5.0.4/30"] }, ["10.5.0.2/29", "10.5.0.3/29"]],
		["lowest", { range: "10.5.0.0/30", allocationPolicy: "lowest" }, ["10.5.0.1/30", "10.5.0.2/30"]],
		[
			"an IPv6 /48 beyond 2^63",
			{ range: "2001:db8::/48", range_start: "2001:db8:0:ffff::1", range_end: "2001:db8:0:ffff::2" },
			["2001:db8:0:ffff::1/48", "2001:db8:0:ffff::2/48"],
		],
		[
			"without reservations",
			{ range: "10.5.0.0/30", enable_overlapping_ranges: false },
			["10.5.0.1/30", "10.5.0.2/30"],
		],
	])("%s: each address once, then none; and again after DEL", async (_, ipam, addresses) => {
		const namespace = await kube.namespace();
		const node = new Node(namespace, ipam);
		const both = [...(await node.add("a")), ...(await node.add("b"))];
		expect(both.toSorted()).toEqual(addresses);
		if ("allocationPolicy" in ipam) expect(both).toEqual(addresses);
		expect((await node.call("ADD", "c")).json.code).toBe(11);
		await node.settled();
		expect(await entries(namespace)).toHaveLength(2);
		await node.del("a");
		expect(await node.add("c")).toEqual([both[0]]);
		await node.del("b");
		await node.del("c");
		await node.settled();
		expect(await entries(namespace)).toEqual([]);
		expect(await reservations(namespace)).toEqual([]);
	});

	test("an address that is asked for is had, or the error names who has it", async () => {
		const node = new Node(await kube.namespace(), { range: "10.6.0.0/24" });
		expect(await node.add("a", { args: ";IP=10.6.0.77" })).toEqual(["10.6.0.77/24"]);
		expect((await node.call("ADD", "b", { runtimeConfig: { ips: ["10.6.0.77"] } })).json).toMatchObject({
			code: 101,
			msg: "requested address 10.6.0.77 is held by pod default/a",
		});
		expect(await node.add("b", { runtimeConfig: { ips: ["10.6.0.78/24"] } })).toEqual(["10.6.0.78/24"]);
		expect((await node.call("ADD", "c", { runtimeConfig: { ips: ["10.7.0.1"] } })).json.code).toBe(7);
	});
});

describe("whose it is", () => {
	test("a new sandbox of the same pod gets its address, and the old one's DEL leaves it alone", async () => {
		const namespace = await kube.namespace();
		const [node, other] = [
			new Node(namespace, { range: "10.8.0.0/24" }),
			new Node(namespace, { range: "10.8.0.0/24" }),
		];
		const address = await node.add("web-0", { id: "old" });
		expect(await other.add("web-0", { id: "new" })).toEqual(address);
		await other.settled();
		await node.del("web-0", { id: "old" });
		expect(await reservations(namespace)).toEqual([`${address[0]!.split("/")[0]} default/web-0 net1 new`]);
		await node.settled();
		expect(await entries(namespace)).toHaveLength(1);
		await node.settled();
		expect(node.remembered()).toEqual([]);
		await other.del("web-0", { id: "new" });
		await other.settled();
		await node.settled();
		expect(await entries(namespace)).toEqual([]);
	});

	test.each([true, false])(
		"DEL and ADD of one sandbox, again and again: what comes last counts (overlapping %s)",
		async (on) => {
			const namespace = await kube.namespace();
			const node = new Node(namespace, { range: "10.17.0.0/30", enable_overlapping_ranges: on });
			for (let times = 0; times < 4; times++) {
				await node.add("a");
				await node.del("a");
			}
			const [address] = await node.add("a");
			await node.settled();
			const offset = address!.split("/")[0]!.split(".")[3];
			expect(await entries(namespace)).toEqual([`10.17.0.0-30/${offset} default/a net1`]);
			await node.del("a");
			await node.settled();
			expect(await entries(namespace)).toEqual([]);
		},
	);

	test("what somebody puts beside the changes that wait is left alone, and holds nothing up", async () => {
		const namespace = await kube.namespace();
		const node = new Node(namespace, { range: "10.18.0.0/24" });
		await node.add("a");
		const pools = join(node.directory, "state/pools");
		const waiting = join(pools, readdirSync(pools)[0]!);
		const copy = { op: "add", offset: "9", id: "x", podref: "default/x", ifname: "net1", reservation: "" };
		writeFileSync(join(waiting, "9@x@net1@add@later.bak"), JSON.stringify(copy));
		writeFileSync(join(waiting, "7@cut"), '{"op":"ad');
		mkdirSync(join(waiting, "8@y@net1@add"));
		await node.add("b");
		await node.del("a");
		await node.del("b");
		await until("an empty pool", async () => (await entries(namespace)).length === 0);
		await until(
			"the writer's end",
			async () => !(await execa("ps", ["-eo", "args"])).stdout.includes(waiting.split("/pools")[0]!),
		);
	});

	test("an address that was just given back can be asked for", async () => {
		const node = new Node(await kube.namespace(), { range: "10.19.0.0/24" });
		for (const pod of ["a", "b", "c"]) {
			expect(await node.add(pod, { args: ";IP=10.19.0.7" })).toEqual(["10.19.0.7/24"]);
			await node.del(pod);
		}
	});

	test("what an earlier sandbox had of one range is not wanted of another", async () => {
		const namespace = await kube.namespace();
		const both = { ipRanges: [{ range: "10.20.0.0/24" }, { range: "10.21.0.0/24" }] };
		const [node, other] = [new Node(namespace, both), new Node(namespace, both)];
		const addresses = await node.add("a", { id: "old" });
		// The other node has just written to the second pool, and not to the first.
		await other.add("b", { ipam: { ipRanges: [{ range: "10.21.0.0/24" }] } });
		expect(await other.add("a", { id: "new" })).toEqual([addresses[0], expect.stringMatching(/^10\.21\.0\./)]);
	});

	test("reuseDelaySeconds: a released address waits, but not for its own pod", async () => {
		const namespace = await kube.namespace();
		const ipam = { range: "10.19.0.0/30", reuseDelaySeconds: 1000 };
		const node = new Node(namespace, ipam);
		const [first] = await node.add("a");
		const [second] = await node.add("b");
		await node.del("a");
		await node.settled();
		expect(await entries(namespace)).toEqual([expect.stringContaining("default/b")]);
		const full = await node.call("ADD", "c");
		expect(full.json).toMatchObject({ code: 11, details: expect.stringContaining("or wait for reuseDelaySeconds") });
		const asked = await node.call("ADD", "c", { args: `;IP=${first!.split("/")[0]}` });
		expect(asked.json).toMatchObject({
			code: 11,
			msg: expect.stringContaining("was released a short time ago"),
			details: expect.stringMatching(/^by pod default\/a; it is free in (9\d\d|100\d) s$/),
		});
		await node.del("c");
		expect(await node.add("a", { id: "another" })).toEqual([first]);
		await node.del("a", { id: "another" });

		// As if the time were over: what the reservation says is what counts.
		const name = first!.split("/")[0];
		const path = `${GROUP}/namespaces/${namespace}/overlappingrangeipreservations/${name}`;
		const holder = (await kube.request("GET", path)).json.spec.podref;
		expect(holder).toMatch(/^default\/cooldown:\d+:a$/);
		const past = [{ op: "replace", path: "/spec/podref", value: "default/cooldown:1000:a" }];
		expect((await kube.request("PATCH", path, past)).status).toBe(200);
		expect(await node.add("c")).toEqual([first]);
		await node.del("b", { ipam: { reuseDelaySeconds: 0 } });
		expect(await reservations(namespace)).toEqual([`${name} default/c net1 id-c`]);
		expect(await node.add("d")).toEqual([second]);
	});

	test("GC gives back what this node made and nobody owns, and nothing of other nodes", async () => {
		const namespace = await kube.namespace();
		const [node, other] = [
			new Node(namespace, { range: "10.9.0.0/24" }),
			new Node(namespace, { range: "10.9.0.0/24" }),
		];
		await node.add("a");
		await node.add("b");
		await other.add("c");
		const valid = { "cni.dev/valid-attachments": [{ containerID: "id-b", ifname: "net1" }] };
		expect((await node.call("GC", "", valid)).status).toBe(0);
		expect((await reservations(namespace)).map((text) => text.split(" ")[1]).sort()).toEqual([
			"default/b",
			"default/c",
		]);
		await node.settled();
		expect(node.remembered()).toEqual(["net-id-b-net1"]);
	});

	test("an entry without a reservation holds its address", async () => {
		const namespace = await kube.namespace();
		const allocations = { "1": { id: "x", podref: "default/go", ifname: "net1" } };
		await createIn(namespace, "IPPool", "10.10.0.0-30", { range: "10.10.0.0/30", allocations });
		const node = new Node(namespace, { range: "10.10.0.0/30" });
		expect(await node.add("a")).toEqual(["10.10.0.2/30"]);
		expect((await node.call("ADD", "b")).json.code).toBe(11);
		expect((await reservations(namespace)).map((text) => text.split(" ")[0])).toEqual(["10.10.0.2"]);
		// And is released by the DEL of the container that it names, which this node has no record of.
		await node.del("go", { id: "x" });
		await node.settled();
		expect((await entries(namespace)).map((text) => text.split(" ")[1])).toEqual(["default/a"]);
	});

	test("a reservation of another pod is not removed by the DEL of one whose entry it was", async () => {
		const namespace = await kube.namespace();
		const node = new Node(namespace, { range: "10.11.0.4/32" });
		await node.add("a");
		const path = `${GROUP}/namespaces/${namespace}/overlappingrangeipreservations/10.11.0.4`;
		await kube.request("DELETE", path);
		await createIn(namespace, "OverlappingRangeIPReservation", "10.11.0.4", { podref: "default/other" });
		await node.del("a");
		await node.settled();
		expect(await entries(namespace)).toEqual([]);
		expect((await reservations(namespace))[0]).toContain("10.11.0.4 default/other");
	});
});

describe("the API server is away, or refuses", () => {
	test("DEL is an error and keeps everything on record; later it succeeds", async () => {
		const namespace = await kube.namespace();
		const node = new Node(namespace, { range: "10.12.0.0/24" });
		await node.add("a");
		kube.freeze();
		onTestFinished(() => kube.thaw());
		const [del, status] = await Promise.all([node.call("DEL", "a"), node.call("STATUS", "")]);
		kube.thaw();
		expect(del.json).toMatchObject({ code: 11, msg: expect.stringContaining("does not answer") });
		expect(status.json).toMatchObject({ code: 50, msg: expect.stringContaining("does not answer") });
		await node.settled();
		expect(node.remembered()).toContain("net-id-a-net1");
		await node.del("a");
		await node.settled();
		expect(node.remembered()).toEqual([]);
		expect(await reservations(namespace)).toEqual([]);
	});

	test("a pool that is as large as etcd takes an object: said at once, and what was reserved is released", async () => {
		const namespace = await kube.namespace();
		const create = (length: number) => {
			const entry = { id: "x".repeat(length), podref: "default/large", ifname: "net1" };
			return createIn(namespace, "IPPool", "10.1.0.0-24", { range: "10.1.0.0/24", allocations: { "1": entry } });
		};
		// The limit is on what the server makes of it.
		let [fits, tooLong] = [1_000_000, 1_600_000];
		while (tooLong - fits > 16) {
			const length = Math.floor((fits + tooLong) / 2);
			const isMade = await create(length).then(
				() => true,
				() => false,
			);
			if (isMade) await kube.request("DELETE", `${GROUP}/namespaces/${namespace}/ippools/10.1.0.0-24`);
			[fits, tooLong] = isMade ? [length, tooLong] : [fits, length];
		}
		await create(fits);
		const node = new Node(namespace, { range: "10.1.0.0/24" });
		const requests = await kube.audit();
		const { json } = await node.call("ADD", "a");
		const msg = expect.stringContaining("pool 10.1.0.0-24 with its 1 entries is as large as etcd takes an object");
		expect(json).toMatchObject({ code: 11, msg });
		// To add the entry, and to remove it, should it be there after all.
		expect((await requests()).filter(({ verb }) => verb === "patch")).toHaveLength(2);
		expect(await reservations(namespace)).toEqual([]);
	});

	test("a server that is started anew meanwhile is waited for", async () => {
		const node = new Node(await kube.namespace(), { range: "10.13.0.0/24" });
		const restart = kube.restart();
		expect(await node.add("a")).toHaveLength(1);
		await restart;
	});

	test.each([
		["a wrong token", "no-such-token", /the API server says 401/],
		["a token without rights", "none", /the API server says 403, .*forbidden/],
		["an expired token", "expired", /the API server says 401.*the token expired at 20\d\d-/],
	])("%s", async (_, kind, sentence) => {
		const namespace = await kube.namespace();
		const metadata = { name: "nobody", namespace };
		await kube.create({ apiVersion: "v1", kind: "ServiceAccount", metadata });
		const tokens: Record<string, Promise<string> | undefined> = {
			expired: kube.shortToken(namespace, "berth", -60),
			none: kube.token(namespace, "nobody"),
		};
		const token = (await tokens[kind]) ?? kind;
		const node = new Node(namespace, { range: "10.14.0.0/24" }, token);
		for (const [verb, code] of [
			["ADD", 11],
			["STATUS", 50],
		] as const) {
			const { json } = await node.call(verb, "a");
			expect(json.code).toBe(code);
			expect(json.msg).toMatch(sentence);
		}
		await node.settled();
		expect(node.remembered()).toEqual([]);
		expect(await reservations(namespace)).toEqual([]);
	});

	test("a token file that is replaced while calls come and go: none fails for it", async () => {
		const namespace = await kube.namespace();
		const node = new Node(namespace, { range: "10.16.0.0/24" });
		const tokenFile = join(node.directory, "token");
		const replace = async (seconds: number): Promise<void> => {
			writeFileSync(`${tokenFile}.new`, await kube.shortToken(namespace, "berth", seconds));
			renameSync(`${tokenFile}.new`, tokenFile);
		};
		await replace(3600);
		node.kubeconfig({ tokenFile });
		const pods = Array.from({ length: 12 }, (_, index) => `pod-${index}`);
		const calls = Promise.all(pods.map((pod) => node.add(pod)));
		for (let times = 0; times < 5; times++) await replace(3600 + times);
		await calls;
		await replace(-120);
		expect((await node.call("STATUS", "")).json).toMatchObject({
			code: 50,
			msg: expect.stringMatching(/the token expired at 20\d\d-\d\d-\d\dT/),
		});
		await replace(3600);
		await node.add("later");
	});

	test("another authority's server is refused at once", async () => {
		const namespace = await kube.namespace();
		const node = new Node(namespace, { range: "10.15.0.0/24" });
		node.kubeconfig({ token: kube.pluginToken }, { pem: kube.pluginCertificate.certificate });
		const { json } = await node.call("ADD", "a");
		expect(json.code).toBe(11);
		expect(json.msg).toContain("certificate");
	});
});

test("berth heal gives back what a sandbox has left that is gone, as soon as it has a kubeconfig", async () => {
	const namespace = await kube.namespace();
	const node = new Node(namespace, { range: "10.1.0.0/24" });
	await node.add("gone");
	await node.settled();
	// With no records of VFs but its own, as the host sees it.
	const script = `mount -t tmpfs tmpfs /var/lib; mount -t tmpfs tmpfs /proc/1; exec "$@"`;
	const argv = ["unshare", "-m", "sh", "-euc", script, "sh", ours("berth"), "heal", "-whereabouts"];
	const heal = () => execa(argv[0]!, [...argv.slice(1), join(node.directory, "state")], { reject: false });
	const kubeconfig = join(node.directory, "kubeconfig");
	renameSync(kubeconfig, `${kubeconfig}.gone`);
	const refused = await heal();
	expect([refused.exitCode, refused.stdout]).toEqual([
		1,
		expect.stringMatching(/10\.1\.0\.\d+ .* failed: .*kubeconfig/),
	]);
	expect([await entries(namespace), await reservations(namespace)].map(({ length }) => length)).toEqual([1, 1]);
	renameSync(`${kubeconfig}.gone`, kubeconfig);
	const healed = await heal();
	expect([healed.exitCode, healed.stdout]).toEqual([0, expect.stringMatching(/10\.1\.0\.\d+ .* freed$/)]);
	await node.settled();
	expect([await entries(namespace), await reservations(namespace)]).toEqual([[], []]);
	expect(await heal()).toMatchObject({ exitCode: 0, stdout: "nothing to heal" });
});
