/**
 * Links, as the kernel has them: every change is read back with `ip -j`.
 */
import { expect, test } from "vitest";
import { index, NetlinkFixture, type Step } from "../fixtures/netlink/run.ts";
import { ip, ipJson, NetnsLab, netnsPath } from "../lab/netns-lab.ts";

const fixture = await NetlinkFixture.build();

const find: Step = ["getLink", "v0"];

/** A namespace with a pair of virtual Ethernet devices, v0 and v1. */
function pairIn(lab: NetnsLab): string {
	const netns = lab.add();
	ip(netns, "link add v0 type veth peer name v1");
	return netns;
}

/** What `ip -j -d link` says of a link, in the words of `Link`. */
// biome-ignore lint/suspicious/noExplicitAny: the shape is iproute2's.
function asLink(shown: any): object {
	return {
		index: shown.ifindex,
		name: shown.ifname,
		altNames: shown.altnames ?? [],
		mac: shown.address,
		mtu: shown.mtu,
		up: shown.flags.includes("UP"),
		// iproute2 prints NO-CARRIER for a link that is up and not running.
		running: shown.flags.includes("UP") && !shown.flags.includes("NO-CARRIER"),
		txQueueLength: shown.txqlen,
		group: shown.group === "default" ? 0 : Number(shown.group),
		operState: shown.operstate.toLowerCase(),
		...(shown.ifalias === undefined ? {} : { alias: shown.ifalias }),
		...(shown.linkinfo?.info_kind === undefined ? {} : { kind: shown.linkinfo.info_kind }),
	};
}

test("a link is told as `ip` tells it", () => {
	using lab = new NetnsLab();
	const netns = pairIn(lab);
	ip(netns, "link set v0 mtu 1400 promisc on alias of-the-pod txqueuelen 500 group 7 up");
	ip(netns, "link property add dev v0 altname enp1s0f0v0 altname a-name-of-more-than-fifteen-letters");
	const [byName, byAltName, byIndex, all] = fixture.values(netns, [
		find,
		["getLink", "a-name-of-more-than-fifteen-letters"],
		["getLink", index],
		["listLinks"],
	]);
	const shown = ipJson(netns, "link show");
	expect(byName).toMatchObject(asLink(shown.find((each) => each.ifname === "v0")));
	expect(byName.flags & 0x1103).toBe(0x1103);
	expect(byAltName).toEqual(byName);
	expect(byIndex).toEqual(byName);
	expect(all).toHaveLength(3);
	for (const [place, each] of shown.entries()) expect(all[place]).toMatchObject(asLink(each));
});

test("a link that is not there is undefined, and changing it says so", () => {
	using lab = new NetnsLab();
	const outcomes = fixture.run(lab.add(), [
		["getLink", "v0"],
		["getLink", "a-name-of-more-than-fifteen-letters"],
		["getLink", 77],
		["setLink", 77, { up: true }],
	]);
	expect(outcomes.slice(0, 3)).toEqual([{ value: null }, { value: null }, { value: null }]);
	expect(outcomes[3]!.error).toMatchObject({ code: "ENODEV", errno: 19 });
	expect(outcomes[3]!.error!.message).toMatch(/^RTM_SETLINK on link 77: no such device \(ENODEV\)/);
});

test("300 links are listed completely", () => {
	using lab = new NetnsLab();
	const netns = lab.add();
	for (let pair = 0; pair < 150; pair++) ip(netns, `link add a${pair} type veth peer name b${pair}`);
	const [links] = fixture.values(netns, [["listLinks"]]);
	const names = (list: { name?: string; ifname?: string }[]) => list.map((each) => each.name ?? each.ifname).sort();
	expect(names(links)).toEqual(names(ipJson(netns, "link show")));
	expect(links).toHaveLength(301);
});

test("one request changes MAC, MTU, name, alias, queue length, group and state", () => {
	using lab = new NetnsLab();
	const netns = pairIn(lab);
	const change = {
		mac: "02:00:00:00:00:01",
		mtu: 1300,
		name: "net1",
		alias: "was v0",
		txQueueLength: 9,
		group: 7,
		up: true,
	};
	fixture.values(netns, [find, ["setLink", index, change]]);
	const [shown] = ipJson(netns, "link show net1");
	expect(shown).toMatchObject({ address: "02:00:00:00:00:01", mtu: 1300, ifalias: "was v0", txqlen: 9, group: "7" });
	expect(shown.flags).toContain("UP");
});

test("promiscuous mode and all-multicast are given back", () => {
	using lab = new NetnsLab();
	const netns = pairIn(lab);
	ip(netns, "link set v0 promisc on allmulticast on");
	fixture.values(netns, [find, ["setLink", index, { promiscuous: false, allMulticast: false }]]);
	const [shown] = ipJson(netns, "link show v0");
	expect(shown.promiscuity).toBe(0);
	expect(shown.flags).not.toContain("PROMISC");
	expect(shown.flags).not.toContain("ALLMULTI");
});

test("alternative names come and go, and a taken one is EEXIST", () => {
	using lab = new NetnsLab();
	const netns = pairIn(lab);
	const outcomes = fixture.run(netns, [
		find,
		["addAltName", index, "one"],
		["addAltName", index, "two"],
		["removeAltName", index, "one"],
		["addAltName", index, "v1"],
	]);
	expect(ipJson(netns, "link show v0")[0].altnames).toEqual(["two"]);
	expect(outcomes[4]!.error).toMatchObject({ code: "EEXIST" });
	expect(outcomes[4]!.error!.message).toMatch(/^RTM_NEWLINKPROP on "v0": file exists \(EEXIST\)/);
});

test("a refusal quotes the kernel's own words", () => {
	using lab = new NetnsLab();
	const [, outcome] = fixture.run(pairIn(lab), [find, ["setLink", index, { mtu: 70_000 }]]);
	expect(outcome!.error!.message).toBe(
		'RTM_SETLINK on "v0": invalid argument (EINVAL): mtu greater than device maximum',
	);
});

test("without the right to change links, the error is EPERM", () => {
	using lab = new NetnsLab();
	const netns = pairIn(lab);
	const outcomes = fixture.run(
		netns,
		[find, ["setLink", index, { up: true }]],
		["setpriv", "--bounding-set", "-net_admin"],
	);
	expect(outcomes[1]!.error!.message).toBe('RTM_SETLINK on "v0": operation not permitted (EPERM)');
});

test("a device without VFs has none, and refuses a setting for one", () => {
	using lab = new NetnsLab();
	const outcomes = fixture.run(pairIn(lab), [
		find,
		["getVfs", index],
		["getVf", index, 0],
		["setVf", index, 0, { vlan: 5 }],
	]);
	expect(outcomes.slice(1, 3)).toEqual([{ value: [] }, { value: null }]);
	expect(outcomes[3]!.error!.message).toMatch(/^RTM_SETLINK on VF 0 of "v0": operation not supported \(EOPNOTSUPP\)/);
});

const move = (pod: string, change: object): Step => [
	"setLink",
	index,
	{ netnsFd: { netns: netnsPath(pod) }, ...change },
];

test("one request moves a link into a pod, renames it and changes it", () => {
	using lab = new NetnsLab();
	const host = pairIn(lab);
	const pod = lab.add();
	ip(host, "link set v0 up");
	fixture.values(host, [find, move(pod, { name: "net1", mtu: 1400, mac: "02:00:00:00:00:01", up: true })]);
	expect(ipJson(host, "link show").map((each) => each.ifname)).toEqual(["lo", "v1"]);
	const [shown] = ipJson(pod, "link show net1");
	expect(shown).toMatchObject({ mtu: 1400, address: "02:00:00:00:00:01" });
	expect(shown.flags).toContain("UP");
});

test("a link moves although its present name is taken in the pod, if it gets another", () => {
	using lab = new NetnsLab();
	const host = pairIn(lab);
	const pod = lab.add();
	ip(pod, "link add v0 type veth peer name other");
	fixture.values(host, [find, move(pod, { name: "net1" })]);
	expect(
		ipJson(pod, "link show")
			.map((each) => each.ifname)
			.sort(),
	).toEqual(["lo", "net1", "other", "v0"]);
});

test("a link whose wanted name is taken is refused with the link in the pod under its present name", () => {
	using lab = new NetnsLab();
	const host = pairIn(lab);
	const pod = lab.add();
	ip(pod, "link add net1 type veth peer name other");
	const [found, outcome] = fixture.run(host, [find, move(pod, { name: "net1" })]);
	expect(outcome!.error).toMatchObject({ code: "EEXIST" });
	expect(ipJson(pod, "link show v0")[0].address).toBe(found!.value.mac);
});

test("a link whose present name is taken in the pod stays if it gets no other", () => {
	using lab = new NetnsLab();
	const host = pairIn(lab);
	const pod = lab.add();
	ip(pod, "link add v0 type veth peer name other");
	const [found, outcome] = fixture.run(host, [find, move(pod, { mtu: 1400 })]);
	expect(outcome!.error).toMatchObject({ code: "EEXIST" });
	expect(ipJson(host, "link show v0")[0]).toMatchObject({ address: found!.value.mac, mtu: 1500 });
});
