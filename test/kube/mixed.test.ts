/** Nodes with the Go whereabouts and nodes with ours, in one cluster: by the model of the Go node's requests. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { GoWhereabouts } from "../lab/go-whereabouts.ts";
import { ours, scratchDirectory } from "../lab/ipam.ts";
import { Kube } from "../lab/kube.ts";
import { until } from "../lab/until.ts";
import { duplicates, Nodes } from "./nodes.ts";

let kube: Kube;
beforeAll(async () => {
	kube = await Kube.start();
});
afterAll(() => kube.stop());

async function scene(range: string, ipam: Record<string, unknown> = {}) {
	const namespace = await kube.namespace();
	const nodes = new Nodes({
		kube,
		namespace,
		executable: ours("whereabouts"),
		directory: scratchDirectory(),
		range,
		count: 4,
		ipam: ({ directory }) => ({ dataDir: join(directory, "state"), ...ipam }),
	});
	// The model does without the lease that the plugin takes for each call: so here it always has it.
	const spec = { holderIdentity: "default/go", renewTime: new Date().toISOString().replace("Z", "000Z") };
	const metadata = { name: "whereabouts", namespace };
	await kube.create({ apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata, spec });
	return { nodes, go: new GoWhereabouts(kube, namespace, range) };
}

test("what Go made is honoured, and released by the DEL of its container here", async () => {
	const { nodes, go } = await scene("10.0.0.0/29", { allocationPolicy: "lowest" });
	expect(await go.add("sandbox-of-pod-0", "pod-0", "net1")).toBe("10.0.0.1");
	const [, ...others] = nodes.attachments(6);
	const added = await nodes.add(others);
	expect(added.failed).toEqual([]);
	expect(added.succeeded.map(({ address }) => address).sort()).toEqual([2, 3, 4, 5, 6].map((last) => `10.0.0.${last}`));
	expect((await nodes.add([{ pod: "pod-9", node: 0 }])).failed).toHaveLength(1);
	// The node runs ours by now: it has no record of what Go made.
	expect((await nodes.del([{ pod: "pod-0", node: 0 }])).failed).toEqual([]);
	await until("the entry's end", async () => !(await nodes.pool()).has("10.0.0.1"));
	expect((await nodes.reservations()).has("10.0.0.1")).toBe(false);
});

test("what ours made is honoured, and released by Go's DEL", async () => {
	const { nodes, go } = await scene("10.0.1.0/29", { allocationPolicy: "lowest" });
	const added = await nodes.add(nodes.attachments(2));
	expect(added.failed).toEqual([]);
	expect(await go.add("x", "pod-x", "net1")).toBe("10.0.1.3");
	await until("both entries", async () => (await nodes.pool()).size === 3);
	await go.del("sandbox-of-pod-0", "net1");
	expect([...(await nodes.pool()).values()].sort()).toEqual(["pod-1", "pod-x"]);
	expect([...(await nodes.reservations()).values()].sort()).toEqual(["pod-1", "pod-x"]);
});

test("both at the same time: no address twice", async () => {
	const { nodes, go } = await scene("10.0.2.0/25");
	await nodes.add([{ pod: "first", node: 0 }]);
	const attachments = nodes.attachments(60);
	const goPods = Array.from({ length: 20 }, (_, index) => `go-${index}`);
	const byGo: { address: string; pod: string; node: number }[] = [];
	const goNode = async (node: number): Promise<void> => {
		for (const pod of goPods.filter((_, index) => index % 2 === node)) {
			// One that fails is deleted, and started anew with another sandbox, as a kubelet does it.
			for (let turn = 0; ; turn++) {
				const address = await go.add(`${pod}-${turn}`, pod, "net1").catch(() => undefined);
				if (address !== undefined) {
					byGo.push({ address, pod, node });
					break;
				}
				await go.del(`${pod}-${turn}`, "net1");
			}
		}
	};
	const [added] = await Promise.all([nodes.add(attachments), goNode(0), goNode(1)]);
	expect(added.failed).toEqual([]);
	expect(duplicates([...added.succeeded, ...byGo])).toEqual([]);
	await nodes.settled();
	const expected = [...added.succeeded, ...byGo].map(({ address, pod }) => `${address} ${pod}`).sort();
	const entries = [...(await nodes.pool())].map(([address, pod]) => `${address} ${pod}`);
	expect(entries.filter((text) => !text.endsWith(" first")).sort()).toEqual(expected);
});
