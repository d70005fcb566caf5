/**
 * host-local from outside: what its verbs do, seen in its answers and in its store.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, test } from "vitest";
import { addresses, held, network, range } from "../lab/host-local.ts";
import { call, heldAddresses, modeOf, ours, scratchDirectory, storeFiles } from "../lab/ipam.ts";

describe("ADD", () => {
	it("gives an address of each range set, with mask and gateway, and what the configuration adds", async () => {
		const resolvConf = join(scratchDirectory(), "resolv.conf");
		writeFileSync(
			resolvConf,
			"# by hand\n; so\n\nnameserver 10.1.2.1\n nameserver\t10.1.2.2 extra\ndomain a.example\ndomain b.example\nsearch x.example y.example\nsearch z.example\noptions ndots:2 rotate\nsearch\nunknown 1\n",
		);
		const { run } = network({
			ranges: [[range("10.1.2.0/24")], [range("2001:db8::/64", { gateway: "2001:DB8::FFFF" })]],
			routes: [
				{ dst: "10.9.1.1/16", gw: "10.1.2.254", mtu: 1400, advmss: 1360, priority: 5, table: 0, scope: 0 },
				{ dst: "2001:DB8:1::/48", gw: "" },
			],
			resolvConf,
		});
		const answer = await run("ADD");
		expect(answer.status).toBe(0);
		expect(answer.json).toEqual({
			cniVersion: "1.1.0",
			ips: [
				{ address: "10.1.2.2/24", gateway: "10.1.2.1" },
				{ address: "2001:db8::1/64", gateway: "2001:db8::ffff" },
			],
			routes: [
				{ dst: "10.9.1.1/16", gw: "10.1.2.254", mtu: 1400, advmss: 1360, priority: 5, table: 0, scope: 0 },
				{ dst: "2001:db8:1::/48" },
			],
			dns: {
				nameservers: ["10.1.2.1", "10.1.2.2"],
				domain: "b.example",
				search: ["x.example", "y.example", "z.example"],
				options: ["ndots:2", "rotate"],
			},
		});
	});

	it("takes .. in dataDir by its text, as Go does, also behind a symbolic link", async () => {
		const directory = scratchDirectory();
		mkdirSync(join(directory, "elsewhere", "deep"), { recursive: true });
		symlinkSync("elsewhere/deep", join(directory, "link"));
		const { run } = network({ ranges: [[range("10.1.2.0/24")]], dataDir: `${directory}/link//../store/` });
		expect(addresses(await run("ADD"))).toEqual(["10.1.2.2/24"]);
		expect(heldAddresses(join(directory, "store", "net"))).toEqual(["10.1.2.2"]);
		expect(existsSync(join(directory, "elsewhere", "store"))).toBe(false);
		expect((await run("DEL")).status).toBe(0);
		expect(heldAddresses(join(directory, "store", "net"))).toEqual([]);
	});

	it("releases, and waits for no reader, where a FIFO is in place of the file that notes releases", async () => {
		const { run, dataDir, directory } = network({ ranges: [[range("10.1.2.0/24")]], reuseDelaySeconds: 60 });
		await run("ADD");
		mkdirSync(join(dataDir, ".berth", "net"), { recursive: true });
		execFileSync("mkfifo", [join(dataDir, ".berth", "net", "released")]);
		expect(await run("DEL")).toMatchObject({ status: 0, stderr: expect.stringContaining("released") });
		expect(heldAddresses(directory)).toEqual([]);
	});

	it("leaves the Go plugin's files, with its modes", async () => {
		const { run, directory } = network({ ranges: [[range("10.1.2.0/24")], [range("2001:db8::/64")]] });
		await run("ADD", { id: "dummy" });
		expect(storeFiles(directory)).toEqual({
			"10.1.2.2": "dummy\r\neth0",
			"2001:db8::2": "dummy\r\neth0",
			"last_reserved_ip.0": "10.1.2.2",
			"last_reserved_ip.1": "2001:db8::2",
		});
		expect(modeOf(directory)).toBe("0755");
		expect(modeOf(join(directory, "lock"))).toBe("0750");
		expect(modeOf(join(directory, "10.1.2.2"))).toBe("0600");
		expect(modeOf(join(directory, "last_reserved_ip.0"))).toBe("0600");
	});

	it("refuses a second address of a set to the same interface, and gives one to another", async () => {
		const { run, directory } = network();
		await run("ADD");
		const again = await run("ADD");
		expect(again).toMatchObject({ status: 1, json: { code: 101 } });
		expect(again.json.msg).toBe(
			"failed to allocate for range 0: 10.1.2.2 has been allocated to c1, duplicate allocation is not allowed",
		);
		expect(addresses(await run("ADD", { ifName: "net1" }))).toEqual(["10.1.2.3/24"]);
		expect(heldAddresses(directory)).toEqual(["10.1.2.2", "10.1.2.3"]);
	});

	it("says who has what when a range set is exhausted: try again", async () => {
		const { run } = network({ ranges: [[range("10.1.2.0/29", { rangeStart: "10.1.2.1", rangeEnd: "10.1.2.3" })]] });
		await run("ADD", { id: "a" });
		await run("ADD", { id: "a", ifName: "net1" });
		const { status, json } = await run("ADD", { id: "b" });
		expect(status).toBe(1);
		expect(json.code).toBe(11);
		expect(json.msg).toBe("failed to allocate for range 0: no IP addresses available in range set: 10.1.2.1-10.1.2.3");
		expect(json.details).toContain("2 of 2 addresses are held, for 1 containers");
	});

	it("undoes what it did, and only that, when a later range set has none left", async () => {
		const { run, put, directory } = network({ ranges: [[range("10.1.2.0/24")], [range("10.1.3.0/30")]] });
		// The Go plugin releases 10.1.9.9 too: it undoes by container and interface.
		const before = { "10.1.9.9": held("c1"), "10.1.3.2": held("other") };
		put(before);
		const { status, json } = await run("ADD");
		expect({ status, code: json.code }).toEqual({ status: 1, code: 11 });
		expect(json.msg).toBe("failed to allocate for range 1: no IP addresses available in range set: 10.1.3.1-10.1.3.2");
		expect(storeFiles(directory)).toEqual({ ...before, "last_reserved_ip.0": "10.1.2.2" });
	});

	it("takes over an address file that is empty when there is no other address, and none that names a container", async () => {
		const { run, put, directory } = network({ ranges: [[range("10.1.2.0/29")]] });
		put({ "10.1.2.2": "", "10.1.2.3": "old-id-only", "10.1.2.4": "\0\0\0\0", "10.1.2.5": " spaced\r\neth0\n" });
		expect(addresses(await run("ADD", { id: "c" }))).toEqual(["10.1.2.6/29"]);
		expect(addresses(await run("ADD", { id: "a" }))).toEqual(["10.1.2.2/29"]);
		expect(addresses(await run("ADD", { id: "b" }))).toEqual(["10.1.2.4/29"]);
		expect(storeFiles(directory)).toMatchObject({ "10.1.2.2": held("a"), "10.1.2.4": held("b") });
	});

	it("asks once for an address whose empty file somebody has locked", async () => {
		const { run, put, directory } = network({ ranges: [[range("10.1.2.0/30")]] });
		put({ "10.1.2.2": "" });
		const script = `exec 9<${directory}/10.1.2.2; flock -n 9; exec "$1"`;
		expect((await run("ADD", { script })).json).toMatchObject({ code: 11 });
		expect((await run("ADD", { script, args: "IP=10.1.2.2" })).json).toMatchObject({ code: 101 });
		expect(addresses(await run("ADD"))).toEqual(["10.1.2.2/30"]);
	});

	it("leaves a file alone that somebody wrote, says how many such there are, and reads back what it writes", async () => {
		const { run, put, directory } = network({ ranges: [[range("10.1.2.0/29")]] });
		put({ "10.1.2.2": "reserved for the printer", "10.1.2.4": "c1 but not quite" });
		const ifName = "\ufeffnet";
		for (const id of ["a", "b", "c"]) expect((await run("ADD", { id, ifName })).status).toBe(0);
		const refused = await run("ADD", { id: "d" });
		expect(refused.json).toMatchObject({ code: 11 });
		expect(refused.json.details).toMatch(
			/^5 of 5 addresses are held, for 3 containers and 2 by files that name none, in/,
		);
		expect((await run("STATUS")).json).toMatchObject({ code: 50, details: refused.json.details });
		expect((await run("ADD", { id: "a", ifName })).json).toMatchObject({ msg: expect.stringContaining("duplicate") });
		for (const id of ["a", "b", "c"]) expect((await run("DEL", { id, ifName })).status).toBe(0);
		expect((await run("GC", { config: { ...network().config, "cni.dev/valid-attachments": [] } })).status).toBe(0);
		expect(storeFiles(directory)).toMatchObject({
			"10.1.2.2": "reserved for the printer",
			"10.1.2.4": "c1 but not quite",
		});
		expect(heldAddresses(directory)).toEqual(["10.1.2.2", "10.1.2.4"]);
	});

	it("passes over what is no file", async () => {
		const { run, directory } = network({ ranges: [[range("10.1.2.0/29")]] });
		const made = `mkdir -p ${directory}/10.1.2.3 ${directory}/old; mkfifo ${directory}/10.1.2.2 ${directory}/pipe`;
		execFileSync("sh", ["-c", made]);
		expect(addresses(await run("ADD"))).toEqual(["10.1.2.4/29"]);
		expect((await run("STATUS")).status).toBe(0);
		expect((await run("DEL")).status).toBe(0);
		expect(readdirSync(directory)).not.toContain("10.1.2.4");
	});

	it("overwrites what a killed call left, and leaves nothing of its own", async () => {
		const { run, put, directory } = network();
		put({ ".berth.tmp": "of a killed call, and longer than what comes next" });
		await run("ADD");
		expect(storeFiles(directory)).toEqual({ "10.1.2.2": held("c1"), "last_reserved_ip.0": "10.1.2.2" });
	});

	it("takes 0.2.0's one address of each family, and not two", async () => {
		const both = network({ ranges: [[range("10.1.2.0/24")], [range("2001:db8::/64")]] }, { cniVersion: "0.2.0" });
		expect((await both.run("ADD")).json).toEqual({
			cniVersion: "0.2.0",
			ip4: { ip: "10.1.2.2/24", gateway: "10.1.2.1" },
			ip6: { ip: "2001:db8::2/64", gateway: "2001:db8::1" },
			dns: {},
		});
		const two = network({ ranges: [[range("10.1.2.0/24")], [range("10.1.3.0/24")]] }, { cniVersion: "0.2.0" });
		expect((await two.run("ADD")).json).toMatchObject({
			code: 7,
			msg: "CNI version 0.2.0 does not support more than 1 address per family",
		});
	});

	it("puts runtime ranges first, then the short form, then `ranges`", async () => {
		const { run } = network(
			{ subnet: "10.1.2.0/24", rangeStart: "10.1.2.50", ranges: [[range("10.1.3.0/24")]] },
			{ runtimeConfig: { ipRanges: [[range("10.1.1.0/24")]] } },
		);
		expect(addresses(await run("ADD"))).toEqual(["10.1.1.2/24", "10.1.2.50/24", "10.1.3.2/24"]);
	});

	it("accepts Go's spellings: keys in any case, null for not set", async () => {
		const { run, dataDir } = network();
		const config = {
			cniVersion: "1.1.0",
			name: "net",
			IPAM: { DataDir: dataDir, SUBNET: "10.1.2.0/24", gateway: null },
		};
		expect(addresses(await run("ADD", { config }))).toEqual(["10.1.2.2/24"]);
	});
});

describe("turns go round", () => {
	const pool29 = [range("10.1.2.0/29")];
	const pools = [range("10.1.2.0/30"), range("10.1.3.0/30", { gateway: "10.1.3.2" })];
	test.each<[string, object[], string[], string | undefined, string | undefined]>([
		["from the first that is not the gateway", pool29, [], undefined, "10.1.2.2"],
		["past those that are held", pool29, ["10.1.2.2", "10.1.2.3"], undefined, "10.1.2.4"],
		["after the last one handed out, held or not", pool29, [], "10.1.2.4", "10.1.2.5"],
		["from the end to the start, past the gateway", pool29, [], "10.1.2.6", "10.1.2.2"],
		["from the last in use to the start", pool29, ["10.1.2.6", "10.1.2.2"], "10.1.2.6", "10.1.2.3"],
		[
			"to the last one at the very end",
			pool29,
			["10.1.2.2", "10.1.2.3", "10.1.2.5", "10.1.2.6"],
			"10.1.2.4",
			"10.1.2.4",
		],
		["from the start where the last is out of range", pool29, [], "10.9.9.9", "10.1.2.2"],
		["from the start where the last is nonsense", pool29, [], "nonsense", "10.1.2.2"],
		["to the next range, whose own gateway is left out", pools, [], "10.1.2.2", "10.1.3.1"],
		["back to the first range", pools, [], "10.1.3.1", "10.1.2.2"],
		["to nothing", pools, ["10.1.2.2", "10.1.3.1"], "10.1.2.2", undefined],
		[
			"through IPv6, to the very last address",
			[range("2001:db8::/126")],
			["2001:db8::2"],
			"2001:db8::2",
			"2001:db8::3",
		],
	])("%s", async (_, set, busy, last, expected) => {
		const { run, put } = network({ ranges: [set] });
		put({
			...Object.fromEntries(busy.map((name) => [name, held("other")])),
			...(last !== undefined && { "last_reserved_ip.0": last }),
		});
		const { json } = await run("ADD");
		expect(json.ips?.[0].address.split("/")[0]).toBe(expected);
	});

	it("a released address comes again only when its turn comes", async () => {
		const { run } = network({ ranges: [[range("10.1.2.0/29")]] });
		const seen: string[] = [];
		for (let i = 0; i < 6; i++) {
			seen.push(...addresses(await run("ADD")));
			await run("DEL");
		}
		expect(seen.map((address) => address.split("/")[0])).toEqual([
			"10.1.2.2",
			"10.1.2.3",
			"10.1.2.4",
			"10.1.2.5",
			"10.1.2.6",
			"10.1.2.2",
		]);
	});
});

describe("requested addresses", () => {
	it("come from CNI_ARGS, args and runtimeConfig together, with or without a prefix", async () => {
		const { run } = network(
			{ ranges: [[range("10.1.1.0/24")], [range("10.1.2.0/24")], [range("2001:db8::/64")], [range("10.1.4.0/24")]] },
			{ args: { cni: { ips: ["10.1.2.20/8", "10.1.1.10"] } }, runtimeConfig: { ips: ["2001:db8::0:30"] } },
		);
		expect(addresses(await run("ADD", { args: "IgnoreUnknown=1;IP=10.1.1.10/24;K8S_POD_NAME=p" }))).toEqual([
			"10.1.1.10/24",
			"10.1.2.20/24",
			"2001:db8::30/64",
			"10.1.4.2/24",
		]);
	});
	it.each([
		["the gateway", "10.1.2.1", "failed to allocate for range 0: requested ip 10.1.2.1 is subnet's gateway"],
		[
			"one that is held",
			"10.1.2.9",
			"failed to allocate for range 0: requested IP address 10.1.2.9 is not available in range set 10.1.2.1-10.1.2.254",
		],
		["one of no range", "10.9.9.9", "failed to allocate all requested IPs: 10.9.9.9"],
	])("cannot be %s", async (_, ip, sentence) => {
		const { run, put, directory } = network();
		put({ "10.1.2.9": held("other") });
		const { status, json } = await run("ADD", { args: `IP=${ip}` });
		expect({ status, code: json.code, msg: json.msg }).toEqual({ status: 1, code: 101, msg: sentence });
		expect(heldAddresses(directory)).toEqual(["10.1.2.9"]);
	});
	it("name the holder of one that is not free", async () => {
		const { run, put } = network();
		put({ "10.1.2.9": held("the-holder") });
		expect((await run("ADD", { args: "IP=10.1.2.9" })).json.details).toContain("the-holder");
	});
	it("may be the network address of an explicit rangeStart, and an empty file's", async () => {
		const { run, put } = network({ ranges: [[range("10.1.2.0/29", { rangeStart: "10.1.2.0" })]] });
		put({ "10.1.2.0": "" });
		expect(addresses(await run("ADD", { args: "IP=10.1.2.0" }))).toEqual(["10.1.2.0/29"]);
	});
});

describe("DEL", () => {
	it("releases all addresses of its interface and no others, as often as it is called", async () => {
		const { run, put, directory } = network({ ranges: [[range("10.1.2.0/24")], [range("2001:db8::/64")]] });
		await run("ADD");
		await run("ADD", { ifName: "net1" });
		put({ "10.1.2.99": "c1", "10.1.2.98": held("c11") });
		expect(await run("DEL")).toMatchObject({ status: 0, stdout: "" });
		expect(heldAddresses(directory)).toEqual(["10.1.2.3", "10.1.2.98", "10.1.2.99", "2001:db8::3"]);
		expect(await run("DEL", { id: "unknown" })).toMatchObject({ status: 0, stdout: "" });
		expect(heldAddresses(directory)).toHaveLength(4);
	});
	it("releases files without an interface where there are no others", async () => {
		const { run, put, directory } = network();
		put({ "10.1.2.99": "c1", "10.1.2.98": " c1\n", "10.1.2.97": "c2" });
		expect((await run("DEL")).status).toBe(0);
		expect(heldAddresses(directory)).toEqual(["10.1.2.97"]);
	});
	it("makes nothing where there is no store, and no directory for one", async () => {
		const { run, dataDir, config, directory } = network();
		expect(await run("DEL")).toMatchObject({ status: 0, stdout: "" });
		expect(existsSync(directory)).toBe(false);
		const file = join(dataDir, "file");
		writeFileSync(file, "");
		expect(await run("DEL", { config: { ...config, ipam: { dataDir: file } } })).toMatchObject({ status: 0 });
	});
	it("works with ranges and CNI_ARGS that are no longer valid: it needs a name and a directory", async () => {
		const { run, config, directory, dataDir } = network();
		await run("ADD");
		const broken = { ...config, ipam: { dataDir, ranges: [[{ subnet: 7 }]], routes: "none" } };
		expect(await run("DEL", { config: broken, args: "nonsense" })).toMatchObject({ status: 0, stdout: "" });
		expect(heldAddresses(directory)).toEqual([]);
	});
	it("says which file it could not remove, and removes the others", async () => {
		const { run, directory } = network({
			ranges: [[range("10.1.2.0/24")], [range("10.1.3.0/24")], [range("10.1.4.0/24")]],
		});
		await run("ADD");
		// A mount point cannot be unlinked: EBUSY.
		const busy = join(directory, "10.1.3.2");
		const answer = await run("DEL", { script: `mount --bind ${busy} ${busy}; exec "$1"` });
		expect(answer).toMatchObject({ status: 1, json: { code: 5 } });
		expect(answer.json.msg).toContain(busy);
		expect(answer.json.msg).toContain("EBUSY");
		expect(heldAddresses(directory)).toEqual(["10.1.3.2"]);
	});
	it("removes what a killed ADD left", async () => {
		const { run, put, directory } = network();
		put({ ".berth.tmp": held("c1") });
		expect((await run("DEL")).status).toBe(0);
		expect(storeFiles(directory)).toEqual({});
	});
});

describe("CHECK", () => {
	const notFound = "host-local: Failed to find address added by container c1";
	it("finds what ADD made, with and without prevResult", async () => {
		const { run, config } = network({ ranges: [[range("10.1.2.0/24")], [range("2001:db8::/64")]] });
		const prevResult = (await run("ADD")).json;
		expect(await run("CHECK")).toMatchObject({ status: 0, stdout: "" });
		expect(await run("CHECK", { config: { ...config, prevResult } })).toMatchObject({ status: 0, stdout: "" });
	});
	it("finds nothing for another interface, after DEL, and where there is no store", async () => {
		const { run, directory } = network();
		expect((await run("CHECK")).json).toMatchObject({ code: 102, msg: notFound });
		expect(existsSync(directory)).toBe(false);
		await run("ADD");
		expect((await run("CHECK", { ifName: "net1" })).json).toMatchObject({ code: 102, msg: notFound });
		await run("DEL");
		expect((await run("CHECK")).json).toMatchObject({ code: 102, msg: notFound });
	});
	it("misses one of two addresses of prevResult", async () => {
		const { run, config, put } = network({ ranges: [[range("10.1.2.0/24")], [range("2001:db8::/64")]] });
		const prevResult = (await run("ADD")).json;
		put({ "2001:db8::2": held("other") });
		expect((await run("CHECK", { config: { ...config, prevResult } })).json).toMatchObject({
			code: 102,
			msg: "host-local: 2001:db8::2 of prevResult is not held for container c1",
		});
	});
	it("leaves addresses of other ranges to others, and accepts files without an interface", async () => {
		const { run, config, put } = network();
		put({ "10.1.2.7": "c1" });
		const prevResult = { cniVersion: "1.1.0", ips: [{ address: "192.0.2.1/24" }, { address: "10.1.2.7/24" }] };
		expect(await run("CHECK", { config: { ...config, prevResult } })).toMatchObject({ status: 0 });
		expect(await run("CHECK")).toMatchObject({ status: 0 });
	});
});

describe("GC", () => {
	const files = {
		"10.1.2.2": held("a"),
		"10.1.2.3": held("a", "net1"),
		"10.1.2.4": held("b"),
		"10.1.2.5": "a",
		"10.1.2.6": "gone",
		"10.1.2.7": "",
		"2001:db8::2": held("b", "net1"),
		"last_reserved_ip.0": "10.1.2.7",
		"last_reserved_ip.1": "a",
		"notes.txt": "not ours",
	};
	const others = ["last_reserved_ip.0", "last_reserved_ip.1", "notes.txt"];
	const gc = async (list: unknown) => {
		const { run, put, config, directory } = network(undefined, { ipam: undefined });
		const withList = { ...config, ipam: { dataDir: join(directory, "..") }, "cni.dev/valid-attachments": list };
		put(files);
		const answer = await run("GC", { config: withList });
		return { answer, left: Object.keys(storeFiles(directory)) };
	};
	it("keeps what is valid, by container and interface; by container where a file has no interface", async () => {
		const { answer, left } = await gc([
			{ containerID: "a", ifname: "eth0" },
			{ containerID: "b", ifname: "net1" },
			{ containerID: "unknown", ifname: "eth0" },
		]);
		expect(answer).toMatchObject({ status: 0, stdout: "" });
		expect(left).toEqual(["10.1.2.2", "10.1.2.5", "2001:db8::2", ...others]);
	});
	it("releases everything for an empty list", async () => {
		expect((await gc([])).left).toEqual(others);
	});
	it("releases nothing without a list", async () => {
		expect((await gc(undefined)).left).toEqual(Object.keys(files).sort());
		expect((await gc(null)).left).toEqual(Object.keys(files).sort());
	});
	it("makes nothing where there is no store", async () => {
		const { run, config, directory } = network();
		expect(await run("GC", { config: { ...config, "cni.dev/valid-attachments": [] } })).toMatchObject({ status: 0 });
		expect(existsSync(directory)).toBe(false);
	});
	it("goes on after a file that cannot be removed, and reports it", async () => {
		const { run, put, config, directory } = network();
		put({ "10.1.2.2": held("a"), "10.1.2.3": held("b"), "10.1.2.4": held("c") });
		const busy = join(directory, "10.1.2.3");
		const answer = await run("GC", {
			config: { ...config, "cni.dev/valid-attachments": [] },
			script: `mount --bind ${busy} ${busy}; exec "$1"`,
		});
		expect(answer).toMatchObject({ status: 1, json: { code: 5 } });
		expect(answer.json.msg).toContain(busy);
		expect(heldAddresses(directory)).toEqual(["10.1.2.3"]);
	});
});

describe("STATUS", () => {
	it("is ready while every range set has a free address, and leaves no file", async () => {
		const { run, put, directory } = network({ ranges: [[range("10.1.2.0/24")], [range("10.1.3.0/29")]] });
		put({ "10.1.3.2": held("a"), "10.1.3.3": held("a"), "10.1.3.4": held("a"), "10.1.3.5": held("a") });
		const before = storeFiles(directory);
		expect(await run("STATUS")).toMatchObject({ status: 0, stdout: "" });
		expect(storeFiles(directory)).toEqual(before);
	});
	it("is not when one has none: code 50", async () => {
		const { run, put } = network({ ranges: [[range("10.1.2.0/24")], [range("10.1.3.0/30")]] });
		put({ "10.1.3.2": held("a") });
		expect((await run("STATUS")).json).toMatchObject({
			code: 50,
			msg: "no IP addresses available in range set: 10.1.3.1-10.1.3.2",
		});
		put({ "10.1.3.2": "" });
		expect(await run("STATUS")).toMatchObject({ status: 0 });
	});
	it("does without ranges that the runtime passes only with ADD", async () => {
		const { run } = network({}, { capabilities: { ipRanges: true } });
		expect(await run("STATUS")).toMatchObject({ status: 0 });
	});
	it("is not with a configuration that ADD would refuse", async () => {
		const { run } = network({ subnet: "10.1.2.1/24" });
		expect((await run("STATUS")).json).toMatchObject({ code: 7 });
	});
});

it("says what it is without a command", async () => {
	const { status, stdout, stderr } = await call(ours("host-local"), "", { config: "" });
	expect({ status, stdout }).toEqual({ status: 0, stdout: "" });
	expect(stderr).toMatch(
		/^CNI host-local plugin v\d+\.\d+\.\d+\nCNI protocol versions supported: 0\.1\.0, .*1\.1\.0\n$/,
	);
});
