/**
 * host-local from outside: configurations that it must refuse, before it touches anything.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, test } from "vitest";
import { network, range } from "../lab/host-local.ts";

describe("a configuration that is not in order changes nothing", () => {
	const set = (...ranges: object[]) => ({ ranges: [ranges] });
	async function expectRefusal(ipam: object, code: number, sentence: string): Promise<void> {
		const { run, dataDir } = network(ipam);
		const { status, json } = await run("ADD");
		expect({ status, code: json.code }).toEqual({ status: 1, code });
		expect(json.msg).toContain(sentence);
		expect(existsSync(join(dataDir, "net"))).toBe(false);
	}

	test.each<[string, object, number, string]>([
		["no ranges", {}, 7, "no IP ranges specified"],
		["an empty set", { ranges: [[]] }, 7, "invalid range set 0: empty range set"],
		["no CIDR", set(range("10.1.2.0")), 7, "invalid CIDR address: 10.1.2.0"],
		["leading zeros", set(range("10.1.02.0/24")), 7, "invalid CIDR address: 10.1.02.0/24"],
		["no address", set(range("10.1.2.0/24", { rangeEnd: "x" })), 7, "invalid IP address: x"],
		[
			"exclude that is no address",
			set(range("10.1.2.0/24", { exclude: ["x"] })),
			7,
			"invalid address or CIDR to exclude: x",
		],
		[
			"exclude of another network",
			set(range("10.1.2.0/24", { exclude: ["10.1.3.0/28"] })),
			7,
			"exclude 10.1.3.0/28 is not in subnet 10.1.2.0/24",
		],
		[
			"exclude without a subnet",
			{ exclude: ["10.1.2.3"], ...set(range("10.1.2.0/24")) },
			7,
			"ipam.exclude needs ipam.subnet beside it",
		],
		[
			"a delay that is no whole number",
			{ reuseDelaySeconds: 1.5, ...set(range("10.1.2.0/24")) },
			6,
			"ipam.reuseDelaySeconds must be a whole number, not 1.5",
		],
		[
			"a negative delay",
			{ reuseDelaySeconds: -1, ...set(range("10.1.2.0/24")) },
			7,
			"ipam.reuseDelaySeconds must be at least 0, not -1",
		],
		[
			"two families",
			set(range("10.1.2.0/24"), range("2001:db8::/64")),
			7,
			"invalid range set 0: mixed address families",
		],
		[
			"overlap in a set",
			set(range("10.1.0.0/22"), range("10.1.2.0/24")),
			7,
			"invalid range set 0: subnets 10.1.0.1-10.1.3.254 and 10.1.2.1-10.1.2.254 overlap",
		],
		["overlap of sets", { ranges: [[range("10.1.0.0/22")], [range("10.1.2.0/24")]] }, 7, "range set 0 overlaps with 1"],
		[
			"a route to nowhere",
			{ ...set(range("10.1.2.0/24")), routes: [{ dst: "default" }] },
			7,
			"invalid CIDR address: default",
		],
		["no subnet", { ranges: [[{ rangeStart: "10.1.2.3" }]] }, 7, "ipam.ranges[0][0].subnet is missing"],
		["a number for a subnet", { ranges: [[{ subnet: 5 }]] }, 6, "ipam.ranges[0][0].subnet must be a string, not 5"],
		["a set that is no list", { ranges: [range("10.1.2.0/24")] }, 6, "ipam.ranges[0] must be a list"],
		["a directory that is no text", { dataDir: 5, subnet: "10.1.2.0/24" }, 6, "ipam.dataDir must be a string, not 5"],
	])("%s", (_, ipam, code, sentence) => expectRefusal(ipam, code, sentence));

	test.each<[string, string, object, string]>([
		[
			"a /31 with host bits",
			"10.1.2.1/31",
			{},
			"Network has host bits set. For a subnet mask of length 31 the network address is 10.1.2.0",
		],
		["a mapped network", "::ffff:10.1.2.0/120", {}, "IPNet IP and Mask version mismatch"],
		[
			"host bits",
			"192.168.127.0/23",
			{},
			"Network has host bits set. For a subnet mask of length 23 the network address is 192.168.126.0",
		],
		[
			"host bits in IPv6",
			"2001:db8:24:19ff::/63",
			{},
			"Network has host bits set. For a subnet mask of length 63 the network address is 2001:db8:24:19fe::",
		],
		[
			"a start outside",
			"192.0.2.0/24",
			{ rangeStart: "192.0.3.0" },
			"RangeStart 192.0.3.0 not in network 192.0.2.0/24",
		],
		["an end outside", "192.0.2.0/24", { rangeEnd: "192.0.4.0" }, "RangeEnd 192.0.4.0 not in network 192.0.2.0/24"],
		[
			"a start after the end",
			"192.0.2.0/24",
			{ rangeStart: "192.0.2.50", rangeEnd: "192.0.2.40" },
			"RangeStart 192.0.2.50 not in network 192.0.2.0/24",
		],
		[
			"a start after the default end",
			"10.2.25.20/30",
			{ rangeStart: "10.2.25.23" },
			"RangeStart 10.2.25.23 is the broadcast address of 10.2.25.20/30: the last one to hand out is 10.2.25.22",
		],
		[
			"an end before the default start",
			"192.0.2.0/24",
			{ rangeEnd: "192.0.2.0" },
			"RangeEnd 192.0.2.0 not in network 192.0.2.0/24",
		],
	])("%s", (_, subnet, more, sentence) =>
		expectRefusal(set(range(subnet, more)), 7, `invalid range set 0: ${sentence}`),
	);

	test.each<[string, object, string, number, string]>([
		["no ipam", { ipam: null }, "", 7, "IPAM config missing 'ipam' key"],
		["ipam that is no object", { ipam: [] }, "", 6, "ipam must be an object, not []"],
		[
			"null among the requests",
			{ args: { cni: { ips: [null] } } },
			"",
			6,
			"args.cni.ips[0] must be a string, not null",
		],
		["an empty request", { args: { cni: { ips: [""] } } }, "", 7, "cannot understand ip: IP <nil> not v4 nor v6"],
		[
			"a request that is no address",
			{ runtimeConfig: { ips: ["10.1.2.3/33"] } },
			"",
			7,
			"invalid IP address 10.1.2.3/33",
		],
		["the same in CNI_ARGS", {}, "IP=bad", 4, 'ARGS: error parsing value of pair "IP=bad": invalid IP address bad'],
		["a foreign key in CNI_ARGS", {}, "A=b", 4, 'ARGS: unknown args ["A=b"]'],
		["no pair in CNI_ARGS", {}, "IP", 4, 'ARGS: invalid pair "IP"'],
	])("%s", async (_, more, args, code, sentence) => {
		const { run, dataDir } = network(undefined, more);
		expect(await run("ADD", { args })).toMatchObject({ status: 1, json: { code, msg: sentence } });
		expect(existsSync(join(dataDir, "net"))).toBe(false);
	});

	it("a resolvConf that is not there, or no file", async () => {
		const missing = network({ subnet: "10.1.2.0/24", resolvConf: "/nonexistent/resolv.conf" });
		expect((await missing.run("ADD")).json).toMatchObject({
			code: 5,
			msg: "open /nonexistent/resolv.conf: no such file or directory (ENOENT)",
		});
		const device = network({ subnet: "10.1.2.0/24", resolvConf: "/dev/zero" });
		expect((await device.run("ADD")).json).toMatchObject({
			code: 7,
			msg: "ipam.resolvConf /dev/zero is not a regular file",
		});
		expect(existsSync(missing.directory) || existsSync(device.directory)).toBe(false);
	});
});
