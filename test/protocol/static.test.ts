/**
 * static from outside: where its addresses come from, and what it makes of them.
 */
import { describe, expect, it, test } from "vitest";
import { type Call, call, ours } from "../lab/ipam.ts";
import { ip, NetnsLab, netnsPath } from "../lab/netns-lab.ts";

const plugin = ours("static");
const run = (verb: string, options: Call) => call(plugin, verb, options);
const conf = (ipam: unknown, more: object = {}) => ({ cniVersion: "1.1.0", name: "net", type: "sriov", ipam, ...more });

const configured = {
	type: "static",
	addresses: [{ address: "10.1.2.3/24", gateway: "10.1.2.1" }, { address: "2001:DB8::3/64" }],
};
const configuredIps = [{ address: "10.1.2.3/24", gateway: "10.1.2.1" }, { address: "2001:db8::3/64" }];
const inArgs = { args: { cni: { ips: ["10.2.0.1/24", "2001:db8:2::0:1/64"] } } };
const argsIps = [{ address: "10.2.0.1/24" }, { address: "2001:db8:2::1/64" }];
const inRuntime = { runtimeConfig: { ips: ["::ffff:10.3.0.1/120"] } };
const runtimeIps = [{ address: "10.3.0.1/24" }];

describe("ADD", () => {
	test.each<[string, object, string, object[]]>([
		["the configuration", {}, "", configuredIps],
		[
			"CNI_ARGS after it",
			{},
			"IP=10.4.0.1/24, 10.5.0.1/16",
			[...configuredIps, { address: "10.4.0.1/24" }, { address: "10.5.0.1/16" }],
		],
		[
			"gateways of CNI_ARGS for the addresses of CNI_ARGS whose network they are in, and for no others",
			{},
			"IP=10.4.0.1/24,10.4.0.2/16,10.5.0.1/24;GATEWAY=10.4.0.9, 10.1.2.200",
			[
				...configuredIps,
				{ address: "10.4.0.1/24", gateway: "10.4.0.9" },
				{ address: "10.4.0.2/16", gateway: "10.4.0.9" },
				{ address: "10.5.0.1/24" },
			],
		],
		["args in place of both", inArgs, "IP=10.4.0.1/24", argsIps],
		["runtimeConfig in place of all", { ...inArgs, ...inRuntime }, "IP=10.4.0.1/24", runtimeIps],
		[
			"empty lists and values as if they were not there",
			{ args: { cni: { ips: [] } }, runtimeConfig: { ips: [] } },
			"IP=;GATEWAY=",
			configuredIps,
		],
	])("takes %s", async (_, more, args, ips) => {
		const answer = await run("ADD", { config: conf(configured, more), args });
		expect(answer).toMatchObject({ status: 0 });
		expect(answer.json).toEqual({ cniVersion: "1.1.0", ips });
	});

	it("passes routes and DNS settings on, several routes to one destination too", async () => {
		const routes = [
			{ dst: "10.9.1.1/16", gw: "10.1.2.1", mtu: 1400, advmss: 1360, priority: 5, table: 0, scope: 0 },
			{ dst: "10.9.1.1/16", gw: "10.1.2.2" },
			{ dst: "2001:DB8:9::/48", gw: "" },
		];
		const dns = { nameservers: ["10.1.2.1"], domain: "a.example", search: ["b.example"], options: ["ndots:2"] };
		expect((await run("ADD", { config: conf({ ...configured, routes, dns }) })).json).toEqual({
			cniVersion: "1.1.0",
			ips: configuredIps,
			routes: [routes[0], routes[1], { dst: "2001:db8:9::/48" }],
			dns,
		});
	});

	it("has an empty result without addresses, but for versions that cannot", async () => {
		expect((await run("ADD", { config: conf({}) })).json).toEqual({ cniVersion: "1.1.0" });
		expect((await run("ADD", { config: conf({}, { cniVersion: "0.2.0" }) })).json).toMatchObject({
			code: 7,
			msg: "cannot convert: no valid IP addresses",
		});
	});

	test.each<[string, object, string, number, string]>([
		["no ipam", conf(undefined), "", 7, "IPAM config missing 'ipam' key"],
		["ipam that is no object", conf("static"), "", 6, 'ipam must be an object, not "static"'],
		[
			"a null entry",
			conf(configured, { args: { cni: { ips: [null] } } }),
			"",
			6,
			"args.cni.ips[0] must be a string, not null",
		],
		[
			"an address without a prefix",
			conf({ addresses: [{ address: "10.1.2.3" }] }),
			"",
			7,
			"the 'address' field is expected to be in CIDR notation, got: '10.1.2.3'",
		],
		["no address", conf({ addresses: [{ gateway: "10.1.2.1" }] }), "", 7, "ipam.addresses[0].address is missing"],
		[
			"a gateway that is none",
			conf({ addresses: [{ address: "10.1.2.3/24", gateway: "10.1.2.1/24" }] }),
			"",
			7,
			"invalid IP address: 10.1.2.1/24",
		],
		[
			"args without a prefix",
			conf(configured, { args: { cni: { ips: ["10.1.2.3"] } } }),
			"",
			7,
			"an entry in the 'ips' field is NOT in CIDR notation, got: '10.1.2.3'",
		],
		[
			"runtimeConfig without a prefix, though args are in order",
			conf(configured, { ...inArgs, runtimeConfig: { ips: ["x"] } }),
			"",
			7,
			"an entry in the 'ips' field is NOT in CIDR notation, got: 'x'",
		],
		[
			"CNI_ARGS without a prefix",
			conf(configured),
			"IP=10.1.2.4/24,10.1.2.5",
			4,
			"the 'ip' field is expected to be in CIDR notation, got: '10.1.2.5'",
		],
		[
			"CNI_ARGS with a gateway that is none",
			conf(configured),
			"GATEWAY=10.1.2.1/24",
			4,
			"invalid gateway address: 10.1.2.1/24",
		],
		["a foreign key in CNI_ARGS", conf(configured), "A=b", 4, 'ARGS: unknown args ["A=b"]'],
		[
			"two addresses of a family in 0.2.0",
			conf({ addresses: [{ address: "10.1.2.3/24" }, { address: "10.1.2.4/24" }] }, { cniVersion: "0.2.0" }),
			"",
			7,
			"CNI version 0.2.0 does not support more than 1 address per family",
		],
	])("refuses %s", async (_, config, args, code, msg) => {
		expect(await run("ADD", { config, args })).toMatchObject({ status: 1, json: { code, msg } });
	});

	it("does not look at configured addresses that others replace, as Go does not", async () => {
		const config = conf({ addresses: [{ address: "none" }] }, inArgs);
		expect((await run("ADD", { config })).json.ips).toEqual(argsIps);
	});
});

describe("CHECK", () => {
	const check = (ips: object[], more: object = {}) =>
		run("CHECK", { config: conf(configured, { prevResult: { cniVersion: "1.1.0", ips }, ...more }) });
	const mismatch = (ip: string) => ({
		status: 1,
		json: { code: 102, msg: `static: Failed to match addr ${ip} on interface eth0` },
	});
	it("accepts the addresses among others, and gateways where none is configured", async () => {
		const ips = [{ address: "192.0.2.1/24" }, { ...configuredIps[1], gateway: "2001:db8::1" }, configuredIps[0]!];
		expect(await check(ips)).toMatchObject({ status: 0, stdout: "" });
	});
	it("refuses another gateway, another prefix and a missing address", async () => {
		const [v4, v6] = configuredIps as [object, object];
		expect(await check([{ ...v4, gateway: "10.1.2.254" }, v6])).toMatchObject(mismatch("10.1.2.3"));
		expect(await check([{ ...v4, address: "10.1.2.3/16" }, v6])).toMatchObject(mismatch("10.1.2.3"));
		expect(await check([v4])).toMatchObject(mismatch("2001:db8::3"));
		expect((await check([v4])).json.details).toBe(
			"configured: 2001:db8::3/64; prevResult: 10.1.2.3/24 with gateway 10.1.2.1",
		);
	});
	it("needs prevResult", async () => {
		expect((await run("CHECK", { config: conf(configured) })).json).toMatchObject({
			code: 7,
			msg: "Required prevResult missing",
		});
	});
});

describe("CHECK of the interface in the sandbox", () => {
	const configured = {
		addresses: [{ address: "10.1.1.2/24", gateway: "10.1.1.1" }],
		routes: [{ dst: "10.9.0.0/16", gw: "10.1.1.1" }, { dst: "10.8.0.0/16" }],
	};
	const prevResult = { cniVersion: "1.1.0", ips: configured.addresses };

	function attached(lab: NetnsLab): { pod: string; check: () => ReturnType<typeof run> } {
		const pod = lab.add();
		ip(pod, "link add eth0 type veth peer name other");
		ip(pod, "link set other up");
		ip(pod, "link set eth0 up");
		ip(pod, "addr add 10.1.1.2/24 dev eth0");
		ip(pod, "route add 10.9.0.0/16 via 10.1.1.1");
		ip(pod, "route add 10.8.0.0/16 dev eth0");
		const check = () => run("CHECK", { config: conf(configured, { prevResult }), netns: netnsPath(pod) });
		return { pod, check };
	}

	it("passes where addresses and routes are there", async () => {
		using lab = new NetnsLab();
		expect((await attached(lab).check()).status).toBe(0);
	});

	it.each([
		["addr del 10.1.1.2/24 dev eth0", "address 10.1.1.2/24 is missing on eth0"],
		["route del 10.9.0.0/16", "route to 10.9.0.0/16 via 10.1.1.1 is missing on eth0"],
		["route del 10.8.0.0/16", "route to 10.8.0.0/16 is missing on eth0"],
	])("after ip %s: %s", async (change, msg) => {
		using lab = new NetnsLab();
		const { pod, check } = attached(lab);
		ip(pod, change);
		expect(await check()).toMatchObject({ status: 1, json: { code: 102, msg } });
	});
});

describe("the other verbs", () => {
	it("DEL and GC succeed, whatever the configuration", async () => {
		for (const verb of ["DEL", "GC"]) {
			expect(await run(verb, { config: conf({ addresses: 5 }), args: "nonsense" })).toMatchObject({
				status: 0,
				stdout: "",
			});
		}
	});
	it("STATUS says what ADD would", async () => {
		expect(await run("STATUS", { config: conf(configured) })).toMatchObject({ status: 0, stdout: "" });
		expect((await run("STATUS", { config: conf({ addresses: [{ address: "x" }] }) })).json).toMatchObject({ code: 7 });
	});
	it("says what it is without a command", async () => {
		const { status, stdout, stderr } = await run("", { config: "" });
		expect({ status, stdout }).toEqual({ status: 0, stdout: "" });
		expect(stderr).toMatch(/^CNI static plugin v\d+\.\d+\.\d+\n/);
	});
});
