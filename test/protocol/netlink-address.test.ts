/**
 * Addresses and routes, as the kernel has them.
 */
import { expect, test } from "vitest";
import { index, NetlinkFixture, type Step } from "../fixtures/netlink/run.ts";
import { ip, ipJson, NetnsLab } from "../lab/netns-lab.ts";
import { until } from "../lab/until.ts";

const fixture = await NetlinkFixture.build();

const find: Step = ["getLink", "v0"];

/** A namespace with v0 and v1, both up. */
function pairIn(lab: NetnsLab, ...commands: string[]): string {
	const netns = lab.add();
	for (const command of ["link add v0 type veth peer name v1", "link set v0 up", "link set v1 up", ...commands]) {
		ip(netns, command);
	}
	return netns;
}

test("addresses are added, listed and removed as `ip` sees them", () => {
	using lab = new NetnsLab();
	const netns = pairIn(lab);
	const [, , , , all, ipv6] = fixture.values(netns, [
		find,
		["addAddress", index, "10.1.2.3/24"],
		["addAddress", index, "10.1.9.2/31"],
		["addAddress", index, "fd00::3/64", { noDad: true }],
		["listAddresses", index],
		["listAddresses", index, 6],
	]);
	const shown = ipJson(netns, "address show v0")[0].addr_info;
	expect(all.map((each: { cidr: string }) => each.cidr).sort()).toEqual(
		shown.map((each: { local: string; prefixlen: number }) => `${each.local}/${each.prefixlen}`).sort(),
	);
	expect(shown.find((each: { local: string }) => each.local === "10.1.2.3").broadcast).toBe("10.1.2.255");
	expect(shown.find((each: { local: string }) => each.local === "10.1.9.2").broadcast).toBeUndefined();
	expect(shown.find((each: { local: string }) => each.local === "fd00::3").nodad).toBe(true);
	expect(all[0]).toMatchObject({ cidr: "10.1.2.3/24", broadcast: "10.1.2.255", scope: 0 });
	expect(ipv6.every((each: { cidr: string }) => each.cidr.includes(":"))).toBe(true);

	fixture.values(netns, [find, ["deleteAddress", index, "10.1.2.3/24"]]);
	expect(ip(netns, "address show v0")).not.toContain("10.1.2.3");
});

test("the other end of a point-to-point address and its lifetime are told", () => {
	using lab = new NetnsLab();
	const netns = pairIn(
		lab,
		"address add 10.1.2.3 peer 10.1.2.9/32 dev v0",
		"address add 10.5.0.1/24 dev v0 valid_lft 500 preferred_lft 400",
	);
	const [, addresses] = fixture.values(netns, [find, ["listAddresses", index, 4]]);
	expect(addresses[0]).toMatchObject({ cidr: "10.1.2.3/32", peer: "10.1.2.9" });
	expect(addresses[1]).toMatchObject({ cidr: "10.5.0.1/24" });
	expect(addresses[1].validSeconds).toBeGreaterThan(400);
	expect(addresses[1].preferredSeconds).toBeLessThanOrEqual(400);
});

test("the same address again, and one that is not there, are refused in the kernel's words", () => {
	using lab = new NetnsLab();
	const outcomes = fixture.run(pairIn(lab), [
		find,
		["addAddress", index, "10.1.2.3/24"],
		["addAddress", index, "10.1.2.3/24"],
		["deleteAddress", index, "10.1.2.4/24"],
	]);
	expect(outcomes[2]!.error!.message).toMatch(/^RTM_NEWADDR on 10\.1\.2\.3\/24 of "v0": file exists \(EEXIST\)/);
	expect(outcomes[3]!.error!.message).toMatch(
		/^RTM_DELADDR on 10\.1\.2\.4\/24 of "v0": cannot assign requested address \(EADDRNOTAVAIL\)/,
	);
});

test("a route has its gateway, MTU, segment size, metric and table", () => {
	using lab = new NetnsLab();
	const netns = pairIn(lab);
	const metrics = { mtu: 1300, advmss: 1200, priority: 7, table: 1000 };
	fixture.values(netns, [
		find,
		["addAddress", index, "10.1.2.3/24"],
		["addRoute", { dst: "10.9.0.0/16", gw: "10.1.2.1", linkIndex: index, ...metrics }],
		["addRoute", { dst: "10.8.0.0/16", linkIndex: index, scope: 253 }],
		["addRoute", { dst: "0.0.0.0/0", gw: "10.1.2.1", linkIndex: index, table: 100 }],
	]);
	expect(ipJson(netns, "route show table 1000")).toMatchObject([
		{ dst: "10.9.0.0/16", gateway: "10.1.2.1", dev: "v0", metric: 7, metrics: [{ mtu: 1300, advmss: 1200 }] },
	]);
	expect(ipJson(netns, "route show 10.8.0.0/16")).toMatchObject([
		{ dst: "10.8.0.0/16", scope: "link", protocol: "boot" },
	]);
	expect(ipJson(netns, "route show table 100")).toMatchObject([{ dst: "default", gateway: "10.1.2.1" }]);
});

test("routes are listed by table and interface; a table without routes is empty", async () => {
	using lab = new NetnsLab();
	const netns = pairIn(
		lab,
		"address add 10.1.2.3/24 dev v0",
		"address add fd00::3/64 dev v0 nodad",
		"route add 10.9.0.0/16 via 10.1.2.1 mtu 1300 advmss 1200 metric 7 table 1000",
		"route add blackhole 10.7.0.0/16",
		"route add fd05::/64 via fd00::1",
	);
	// An address that is still looked for elsewhere gets its routes when that is over.
	await until("addresses that are nobody else's", () => !ip(netns, "address show").includes("tentative"));
	const [, inTable, everywhere, main6, missing] = fixture.values(netns, [
		find,
		["listRoutes", { table: 1000 }],
		["listRoutes", {}],
		["listRoutes", { table: 254, family: 6, linkIndex: index }],
		["listRoutes", { table: 4321 }],
	]);
	const route = { dst: "10.9.0.0/16", gw: "10.1.2.1", mtu: 1300, advmss: 1200, priority: 7, table: 1000 };
	expect(inTable).toMatchObject([{ ...route, family: 4, type: 1, protocol: 3, scope: 0 }]);
	const shown = [...ipJson(netns, "-4 route show table all"), ...ipJson(netns, "-6 route show table all")];
	expect(everywhere).toHaveLength(shown.length);
	const blackhole = everywhere.find((each: { dst: string }) => each.dst === "10.7.0.0/16");
	expect(blackhole).toMatchObject({ type: 6 });
	expect(blackhole.linkIndex).toBeUndefined();
	expect(main6.map((each: { dst: string }) => each.dst)).toContain("fd05::/64");
	expect(missing).toEqual([]);
});

test("each next hop of a multipath route is listed", () => {
	using lab = new NetnsLab();
	const netns = pairIn(
		lab,
		"address add 10.1.2.3/24 dev v0",
		"address add fd00::3/64 dev v0 nodad",
		"route add 10.9.0.0/16 nexthop via 10.1.2.1 dev v0 nexthop via 10.1.2.2 dev v0",
		"route add 10.6.0.0/16 via inet6 fd00::7 dev v0",
	);
	const [, routes] = fixture.values(netns, [find, ["listRoutes", { table: 254, family: 4, linkIndex: index }]]);
	const gateways = (dst: string) =>
		routes.filter((each: { dst: string }) => each.dst === dst).map((each: { gw: string }) => each.gw);
	expect(gateways("10.9.0.0/16")).toEqual(["10.1.2.1", "10.1.2.2"]);
	expect(gateways("10.6.0.0/16")).toEqual(["fd00::7"]);
});

test("a second gateway is a second next hop in IPv6, and comes first in IPv4, as with the Go plugins", () => {
	using lab = new NetnsLab();
	const netns = pairIn(lab);
	fixture.values(netns, [
		find,
		["addAddress", index, "10.1.2.3/24"],
		["addAddress", index, "fd00::3/64", { noDad: true }],
		["addRoute", { dst: "10.9.0.0/16", gw: "10.1.2.1", linkIndex: index }],
		["addRoute", { dst: "10.9.0.0/16", gw: "10.1.2.2", linkIndex: index }],
		["addRoute", { dst: "fd05::/64", gw: "fd00::1", linkIndex: index }],
		["addRoute", { dst: "fd05::/64", gw: "fd00::2", linkIndex: index }],
	]);
	expect(ipJson(netns, "route show 10.9.0.0/16").map((each) => each.gateway)).toEqual(["10.1.2.2", "10.1.2.1"]);
	const [multipath] = ipJson(netns, "-6 route show fd05::/64");
	expect(multipath.nexthops.map((each: { gateway: string }) => each.gateway).sort()).toEqual(["fd00::1", "fd00::2"]);
});

test("a route is removed, and the refusals name it", () => {
	using lab = new NetnsLab();
	const netns = pairIn(lab);
	const route = { dst: "10.9.0.0/16", gw: "10.1.2.1", linkIndex: index };
	const outcomes = fixture.run(netns, [
		find,
		["addAddress", index, "10.1.2.3/24"],
		["addRoute", { ...route, table: 1000, priority: 5 }],
		["deleteRoute", { ...route, table: 1000, priority: 5 }],
		["deleteRoute", route],
		["addRoute", route],
		["addRoute", route],
		["addRoute", { ...route, gw: "10.77.0.1" }],
		["addRoute", { ...route, dst: "10.9.0.1/16" }],
		["addRoute", { ...route, gw: "fd00::1" }],
	]);
	const messages = outcomes.map((each) => each.error?.message);
	expect(messages.slice(0, 4)).toEqual([undefined, undefined, undefined, undefined]);
	const name = "10.9.0.0/16 via 10.1.2.1 dev v0";
	expect(messages[4]).toBe(`RTM_DELROUTE on ${name}: no such process (ESRCH)`);
	expect(messages[6]).toBe(`RTM_NEWROUTE on ${name}: file exists (EEXIST)`);
	expect(messages[7]).toBe(
		"RTM_NEWROUTE on 10.9.0.0/16 via 10.77.0.1 dev v0: network is unreachable (ENETUNREACH): Nexthop has invalid gateway",
	);
	expect(messages[8]).toMatch(
		/ on 10\.9\.0\.1\/16 via .*: invalid argument \(EINVAL\): Invalid prefix for given prefix length$/,
	);
	expect(messages[9]).toBe("gateway fd00::1 and destination 10.9.0.0/16 are not of the same address family");
	expect(ipJson(netns, "route show table 1000")).toEqual([]);
});
