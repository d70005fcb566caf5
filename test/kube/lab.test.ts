/** The cluster that the other files of this directory ask is the real one, and says what was asked of it. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { cuttingProxy } from "../lab/cutting-proxy.ts";
import { GROUP, Kube } from "../lab/kube.ts";
import { randomNumbers } from "../lab/random.ts";
import { until } from "../lab/until.ts";

let kube: Kube;
beforeAll(async () => {
	kube = await Kube.start();
});
afterAll(() => kube.stop());

const pool = (name: string, spec: unknown): object => ({
	apiVersion: "whereabouts.cni.cncf.io/v1alpha1",
	kind: "IPPool",
	metadata: { name },
	spec,
});

const pools = (namespace: string): string => `${GROUP}/namespaces/${namespace}/ippools`;

test("the API server is the pinned one, ready, and has the three kinds", async () => {
	expect((await kube.request("GET", "/readyz")).text).toBe("ok");
	expect((await kube.request("GET", "/version")).json.gitVersion).toBe("v1.34.4");
	const kinds = (await kube.request("GET", GROUP)).json.resources.map((resource: { kind: string }) => resource.kind);
	expect(kinds.sort()).toEqual(["IPPool", "NodeSlicePool", "OverlappingRangeIPReservation"]);
});

test("objects that break a schema are refused", async () => {
	const list = pools(await kube.namespace());
	const allocations = { "1": { id: "c1", podref: "default/one", ifname: "net1" } };
	expect((await kube.request("POST", list, pool("right", { range: "10.0.0.0/24", allocations }))).status).toBe(201);
	for (const [spec, word] of [
		[{ range: "10.0.0.0/24" }, "spec.allocations: Required"],
		[{ range: 1, allocations }, "spec.range"],
		[{ range: "10.0.0.0/24", allocations: { "1": { id: "c1" } } }, "spec.allocations.1.podref: Required"],
	] as const) {
		const { status, json } = await kube.request("POST", list, pool("wrong", spec));
		expect(status).toBe(422);
		expect(json.message).toContain(word);
	}
	for (const [kind, plural, spec] of [
		["OverlappingRangeIPReservation", "overlappingrangeipreservations", { ifname: "net1" }],
		["NodeSlicePool", "nodeslicepools", { range: "10.0.0.0/24" }],
	] as const) {
		const object = { ...pool("wrong", spec), kind };
		expect((await kube.request("POST", list.replace("ippools", plural), object)).status).toBe(422);
	}
});

const reservationsIn = (namespace: string): string =>
	pools(namespace).replace("ippools", "overlappingrangeipreservations");

test("the plugin's role is the least", async () => {
	const namespace = await kube.namespace();
	const token = await kube.token(namespace, "berth");
	const allowed = async (method: string, path: string, body?: object): Promise<boolean> =>
		(await kube.request(method, path, body, { token })).status !== 403;
	const reservations = reservationsIn(namespace);
	expect(await allowed("GET", `${pools(namespace)}/one`)).toBe(true);
	// Only the reconciler goes through all pools.
	expect(await allowed("GET", pools(namespace))).toBe(false);
	expect(await allowed("POST", pools(namespace), pool("one", { range: "10.0.0.0/24", allocations: {} }))).toBe(true);
	expect(await allowed("PATCH", `${pools(namespace)}/one`, [])).toBe(true);
	expect(await allowed("DELETE", `${pools(namespace)}/one`)).toBe(false);
	expect(await allowed("GET", `${reservations}/10.0.0.1`)).toBe(true);
	expect(await allowed("DELETE", `${reservations}/10.0.0.1`)).toBe(true);
	expect(await allowed("GET", reservations)).toBe(true);
	expect(await allowed("PUT", `${pools(namespace)}/one`, {})).toBe(false);
	expect(await allowed("GET", pools("kube-system"))).toBe(false);
	expect(await allowed("GET", "/api/v1/pods")).toBe(false);
	expect(await allowed("GET", `/api/v1/namespaces/${namespace}/secrets`)).toBe(false);
	const reconciler = { token: await kube.token(namespace, "berth-reconcile") };
	for (const path of ["/api/v1/pods", "/api/v1/nodes", pools(namespace), reservations])
		expect((await kube.request("GET", path, undefined, reconciler)).status).toBe(200);
	for (const [method, path] of [
		["DELETE", "/api/v1/nodes/node"],
		["GET", `/api/v1/namespaces/${namespace}/secrets`],
	] as const) {
		expect((await kube.request(method, path, undefined, reconciler)).status).toBe(403);
	}
});

test("who may ask: tokens and certificates, and those that are refused", async () => {
	const namespace = await kube.namespace();
	const status = async (token: string): Promise<number> =>
		(await kube.request("GET", reservationsIn(namespace), undefined, { token })).status;
	expect(await status(kube.pluginToken)).toBe(200);
	expect(await status("wrong")).toBe(401);
	expect(await status(await kube.shortToken(namespace, "berth", 60))).toBe(200);
	expect(await status(await kube.shortToken(namespace, "berth", -60))).toBe(401);
	const token = await kube.token(namespace, "berth");
	expect(await status(token)).toBe(200);
	await kube.revoke(namespace, "berth");
	await until("the end of a revoked token", async () => (await status(token)) === 401);

	const withCertificate = async ({ certificate, key }: { certificate: string; key: string }): Promise<number> => {
		const files = { cert: readFileSync(certificate), key: readFileSync(key) };
		return (await kube.send({ path: reservationsIn(namespace), ...files })).status;
	};
	expect(await withCertificate(kube.pluginCertificate)).toBe(200);
	expect(await withCertificate(kube.expiredCertificate)).toBe(401);
});

test("the audit log tells what others than the admin asked", async () => {
	const namespace = await kube.namespace();
	const requests = await kube.audit();
	await kube.request("GET", pools(namespace));
	await kube.request("GET", `${pools(namespace)}/none`, undefined, { token: kube.pluginToken });
	await kube.request("GET", pools(namespace), undefined, { token: "wrong" });
	const asked = await requests();
	expect(asked).toMatchObject([
		{ user: "plugin", verb: "get", resource: "ippools", namespace, name: "none", status: 404 },
		{ verb: "list", status: 401 },
	]);
	expect(await requests()).toEqual(asked);
	expect(await (await kube.audit())()).toEqual([]);
});

test("a proxy before it cuts as many connections as it is told", async () => {
	const ask = async (perMille: number): Promise<number> => {
		await using proxy = await cuttingProxy(kube.port, perMille, randomNumbers(1));
		const answers = Array.from({ length: 20 }, () => kube.send({ port: proxy.port, path: "/version", agent: false }));
		const failed = (await Promise.allSettled(answers)).filter(({ status }) => status === "rejected").length;
		expect(proxy.connections).toBe(20);
		expect(failed).toBeLessThanOrEqual(proxy.cut);
		return failed;
	};
	expect(await ask(0)).toBe(0);
	const failed = await ask(500);
	expect(failed).toBeGreaterThan(0);
	expect(failed).toBeLessThan(20);
});

test("what is stored outlives a restart of the API server", async () => {
	const namespace = await kube.namespace();
	const requests = await kube.audit();
	await kube.request("POST", pools(namespace), pool("kept", { range: "10.0.0.0/24", allocations: {} }));
	await kube.restart();
	const { status, json } = await kube.request("GET", `${pools(namespace)}/kept`, undefined, {
		token: kube.pluginToken,
	});
	expect([status, json.spec.range]).toEqual([200, "10.0.0.0/24"]);
	expect(await requests()).toMatchObject([{ verb: "get", name: "kept" }]);
});

test("the servers end with the process that started them, however that ends", async () => {
	const module = new URL("../lab/kube.ts", import.meta.url).href;
	const script = `const { Kube } = await import(${JSON.stringify(module)});
const kube = await Kube.start();
console.log(kube.port, kube.directory);
process.kill(process.pid, "SIGKILL");`;
	const command = ["-c", '"$0" --input-type=module -e "$1" || :', process.execPath, script];
	const [port, directory] = execFileSync("sh", command, { encoding: "utf8" }).trim().split(" ");
	await until("the end of the servers", () => !execFileSync("ss", ["-Hltn", `sport = :${port}`]).length);
	await until("the end of etcd", () => !execFileSync("ps", ["-eo", "args"], { encoding: "utf8" }).includes(directory!));
	execFileSync("rm", ["-r", directory!]);
});
