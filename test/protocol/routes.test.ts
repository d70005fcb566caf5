/**
 * Routes as the kernel keeps them: what ADD sets, CHECK finds; and what a pod changes in what was asked for, CHECK
 * tells.
 */
import { describe, expect, test } from "vitest";
import { NetlinkFixture, type Step } from "../fixtures/netlink/run.ts";
import { call, ours } from "../lab/ipam.ts";
import { ip, NetnsLab, netnsPath } from "../lab/netns-lab.ts";

const fixture = await NetlinkFixture.build();

const find: Step = ["getLink", "v0"];
const IPS = [
	{ address: "10.1.2.3/24", gateway: "10.1.2.1" },
	{ address: "fd00::3/64", gateway: "fd00::1" },
];

/** A pod with v0, configured with the routes; and CHECK of static in it. */
function attached(lab: NetnsLab, ...routes: object[]) {
	const pod = lab.add();
	ip(pod, "link add v0 type veth peer name v1");
	ip(pod, "link set v1 up");
	const [, outcome] = fixture.run(pod, [find, ["configureInterface", { $: "0" }, { ips: IPS, routes }]]);
	expect(outcome!.error).toBeUndefined();
	const config = {
		cniVersion: "1.1.0",
		name: "net",
		type: "bridge",
		ipam: { type: "static", addresses: IPS, routes },
		prevResult: { cniVersion: "1.1.0", ips: IPS },
	};
	return { pod, check: () => call(ours("static"), "CHECK", { config, netns: netnsPath(pod), ifName: "v0" }) };
}

describe("CHECK finds what ADD has set", () => {
	test.each([
		["nothing more", { dst: "10.60.0.0/16" }],
		["a gateway", { dst: "10.60.0.0/16", gw: "10.1.2.9" }],
		["an unspecified gateway, on link", { dst: "10.60.0.1/32", gw: "0.0.0.0", scope: 253 }],
		["an unspecified gateway alone", { dst: "10.60.0.1/32", gw: "0.0.0.0" }],
		["an unspecified IPv6 gateway", { dst: "fd60::/64", gw: "::" }],
		["the default", { dst: "0.0.0.0/0" }],
		["the IPv6 default", { dst: "::/0" }],
		["table 0, which is the main one", { dst: "10.60.0.0/16", table: 0 }],
		["table 254", { dst: "10.60.0.0/16", table: 254 }],
		["a table of its own", { dst: "10.60.0.0/16", table: 4_000_000_000 }],
		["an IPv6 table of its own", { dst: "fd60::/64", table: 300 }],
		["priority 0", { dst: "10.60.0.0/16", priority: 0 }],
		["priority 0, which IPv6 makes 1024", { dst: "fd60::/64", priority: 0 }],
		["a priority", { dst: "10.60.0.0/16", priority: 4_294_967_295 }],
		["an IPv6 priority", { dst: "fd60::/64", priority: 77 }],
		["scope 0", { dst: "10.60.0.0/16", scope: 0 }],
		["scope host", { dst: "10.60.0.1/32", gw: "0.0.0.0", scope: 254 }],
		["an IPv6 scope, which is none", { dst: "fd60::/64", gw: "fd00::9", scope: 200 }],
		["an MTU", { dst: "10.60.0.0/16", mtu: 1300 }],
		["an MTU that the kernel cuts", { dst: "10.60.0.0/16", mtu: 65_535 }],
		["an IPv6 MTU", { dst: "fd60::/64", mtu: 1400 }],
		["a segment size", { dst: "10.60.0.0/16", advmss: 1000 }],
		["a segment size that the kernel cuts", { dst: "10.60.0.0/16", advmss: 65_535 }],
		["neither MTU nor segment size", { dst: "10.60.0.0/16", mtu: 0, advmss: 0 }],
		["another spelling", { dst: "fd60:0:0::0/64", gw: "fd00:0::9" }],
	])("%s", async (_, route) => {
		using lab = new NetnsLab();
		const answer = await attached(lab, route).check();
		expect({ ...answer, status: answer.status }).toMatchObject({ status: 0, stdout: "" });
	});
});

describe("CHECK tells what has become of", () => {
	test.each([
		["the gateway", { gw: "10.1.2.9" }, "via 10.1.2.8", /gw 10\.1\.2\.8, not 10\.1\.2\.9/],
		["the table", { table: 300 }, "table 301", /is missing on v0$/],
		["the priority", { priority: 77 }, "metric 78", /priority 78, not 77/],
		["the scope", { scope: 253 }, "scope host", /scope 254, not 253/],
		["the MTU", { mtu: 1300 }, "mtu 1200", /mtu 1200, not 1300/],
		["the segment size", { advmss: 1000 }, "", /advmss none, not 1000/],
	])("%s", async (_, asked, now, sentence) => {
		using lab = new NetnsLab();
		const { pod, check } = attached(lab, { dst: "10.60.0.0/16", ...asked });
		expect((await check()).status).toBe(0);
		const old = "table" in asked ? ` table ${asked.table}` : "";
		ip(pod, `route del 10.60.0.0/16${old}`);
		ip(pod, `route add 10.60.0.0/16 dev v0 ${now}`.trim());
		const { json } = await check();
		expect(json).toMatchObject({ code: 102, msg: expect.stringMatching(/^route to 10\.60\.0\.0\/16/) });
		// In another table it is another route; elsewhere CHECK says what is different about it.
		if (old === "") expect(json.msg).toMatch(sentence);
	});
});

test("of a thousand routes, in many datagrams, CHECK tells the one that is gone, and the one that has changed", async () => {
	using lab = new NetnsLab();
	const numbers = Array.from({ length: 500 }, (_, number) => number);
	const routes = numbers.flatMap((number) => [
		{ dst: `10.${60 + (number >> 8)}.${number & 255}.0/24`, gw: "10.1.2.9" },
		{ dst: `fd60:${number.toString(16)}::/64`, ...(number % 2 === 0 && { gw: "fd00::9" }) },
	]);
	const { pod, check } = attached(lab, ...routes);
	// Two to one destination, of which one is asked for.
	ip(pod, "route append 10.60.7.0/24 via 10.1.2.8 dev v0");
	expect(await check()).toMatchObject({ status: 0, stdout: "" });
	for (const [dst, was, now] of [
		["10.61.200.0/24", "via 10.1.2.9", "via 10.1.2.7"],
		["fd60:1f2::/64", "via fd00::9", "via fd00::7"],
		["fd60:1f3::/64", "via fd00::1", "via fd00::7 table 300"],
	] as const) {
		ip(pod, `route del ${dst}`);
		expect((await check()).json).toMatchObject({ code: 102, msg: expect.stringContaining(`route to ${dst}`) });
		ip(pod, `route add ${dst} ${now} dev v0`);
		// What is not asked for may be anything.
		const isAsked = !now.includes("table");
		expect((await check()).status).toBe(isAsked ? 1 : 0);
		ip(pod, `route del ${dst}${isAsked ? "" : " table 300"}`);
		ip(pod, `route add ${dst} ${was} dev v0`);
		expect((await check()).status).toBe(0);
	}
});
