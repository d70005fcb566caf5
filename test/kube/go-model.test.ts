/** The model of the Go plugin agrees with itself when many run at once. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { GoWhereabouts } from "../lab/go-whereabouts.ts";
import { GROUP, Kube } from "../lab/kube.ts";

let kube: Kube;
beforeAll(async () => {
	kube = await Kube.start();
});
afterAll(() => kube.stop());

test("twenty ADDs at once get the twenty lowest addresses, and the DELs give them back", async () => {
	const namespace = await kube.namespace();
	const go = new GoWhereabouts(kube, namespace, "10.0.0.0/24");
	const pods = Array.from({ length: 20 }, (_, index) => `pod-${index}`);
	const got = await Promise.all(pods.map((pod) => go.add(`of-${pod}`, pod, "net1")));
	const wanted = Array.from({ length: 20 }, (_, index) => `10.0.0.${index + 1}`);
	expect(got.toSorted()).toEqual(wanted.toSorted());
	expect(await go.add("again", "pod-3", "net1")).toBe(got[3]);

	const list = async (plural: string) =>
		(await kube.request("GET", `${GROUP}/namespaces/${namespace}/${plural}`)).json.items;
	const names = (await list("overlappingrangeipreservations")).map(
		(one: { metadata: { name: string } }) => one.metadata.name,
	);
	expect(names.sort()).toEqual(wanted.toSorted());
	expect(Object.keys((await list("ippools"))[0].spec.allocations)).toHaveLength(20);

	await Promise.all(pods.map((pod) => go.del(pod === "pod-3" ? "again" : `of-${pod}`, "net1")));
	expect(await list("overlappingrangeipreservations")).toEqual([]);
	expect((await list("ippools"))[0].spec.allocations).toEqual({});
});

test("an address that somebody else has reserved is left out", async () => {
	const namespace = await kube.namespace();
	await kube.create({
		apiVersion: "whereabouts.cni.cncf.io/v1alpha1",
		kind: "OverlappingRangeIPReservation",
		metadata: { name: "10.0.0.1", namespace },
		spec: { podref: "other/pod", ifname: "net1" },
	});
	const go = new GoWhereabouts(kube, namespace, "10.0.0.0/24");
	expect(await go.add("c1", "pod", "net1")).toBe("10.0.0.2");
});
