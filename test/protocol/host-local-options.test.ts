/**
 * What ours has beyond the Go plugin, from outside: small networks, exclude, the delay before reuse, addresses of
 * before a reboot.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, test } from "vitest";
import { addresses, held, network, range } from "../lab/host-local.ts";
import { type Answer, heldAddresses, storeFiles } from "../lab/ipam.ts";

/** ADDs for c1, c2 and so on until one fails: the addresses, and the failure. */
async function drain(net: ReturnType<typeof network>): Promise<{ given: string[]; failure: Answer }> {
	const given: string[] = [];
	for (let i = 1; ; i++) {
		const answer = await net.run("ADD", { id: `c${i}` });
		if (answer.status !== 0) return { given, failure: answer };
		given.push(...addresses(answer));
	}
}

describe("small networks", () => {
	test.each<[string, object, string[]]>([
		["/31", range("10.1.2.0/31"), ["10.1.2.0/31", "10.1.2.1/31"]],
		["/32", range("10.1.2.7/32"), ["10.1.2.7/32"]],
		["/127", range("2001:db8::/127"), ["2001:db8::/127", "2001:db8::1/127"]],
		["/128", range("2001:db8::5/128"), ["2001:db8::5/128"]],
	])("all of a %s is handed out, without a gateway", async (_, only, all) => {
		const net = network({ ranges: [[only]] });
		const first = await net.run("ADD", { id: "c0" });
		expect(first.json.ips[0]).toEqual({ address: all[0] });
		expect((await net.run("DEL", { id: "c0" })).status).toBe(0);
		const { given, failure } = await drain(net);
		expect(given.sort()).toEqual(all);
		expect(failure.json).toMatchObject({ code: 11 });
		expect(failure.json.details).toContain(`${all.length} of ${all.length} addresses are held`);
	});
	it("a gateway that is configured for a /31 is kept back and told", async () => {
		const { given, failure } = await drain(network({ ranges: [[range("10.1.2.0/31", { gateway: "10.1.2.0" })]] }));
		expect(given).toEqual(["10.1.2.1/31"]);
		expect(failure.json.details).toContain("1 of 1 addresses");
	});
});

describe("exclude", () => {
	it("keeps addresses and blocks back, in each range by its own list", async () => {
		const net = network({
			ranges: [
				[
					range("10.1.2.0/29", { exclude: ["10.1.2.2", "10.1.2.4/31"] }),
					range("10.1.3.0/30", { exclude: ["10.1.3.0/24"] }),
					range("10.1.4.0/30"),
				],
			],
		});
		const { given, failure } = await drain(net);
		expect(given).toEqual(["10.1.2.3/29", "10.1.2.6/29", "10.1.4.2/30"]);
		expect(failure.json.details).toContain("3 of 3 addresses are held");
	});
	it("stands beside a single subnet, too", async () => {
		const { given } = await drain(network({ subnet: "2001:db8::/125", exclude: ["2001:db8::2", "2001:DB8::4/126"] }));
		expect(given).toEqual(["2001:db8::3/125"]);
	});
	it("passes half of a /64 in no time", async () => {
		const net = network({ ranges: [[range("2001:db8::/64", { exclude: ["2001:db8::/65"] })]] });
		expect(addresses(await net.run("ADD"))).toEqual(["2001:db8:0:0:8000::/64"]);
	});
	it("holds against requests", async () => {
		const { run } = network({ ranges: [[range("10.1.2.0/24", { exclude: ["10.1.2.128/25"] })]] });
		expect((await run("ADD", { args: "IP=10.1.2.200" })).json).toMatchObject({ code: 101 });
	});
});

it("a gateway outside of its subnet is a warning", async () => {
	const { run } = network({ ranges: [[range("10.1.2.0/24", { gateway: "10.9.9.9" })]] });
	const { json, stderr } = await run("ADD");
	expect(json.ips).toEqual([{ address: "10.1.2.1/24", gateway: "10.9.9.9" }]);
	expect(stderr).toContain("gateway 10.9.9.9 is not in subnet 10.1.2.0/24");
});

describe("reuseDelaySeconds", () => {
	const delayed = (more: object = {}) => network({ ranges: [[range("10.1.2.0/30")]], reuseDelaySeconds: 60, ...more });
	const releases = (net: ReturnType<typeof network>) => join(net.dataDir, ".berth/net/released");

	it("keeps a released address back: try again, and when", async () => {
		const net = delayed();
		await net.run("ADD");
		await net.run("DEL");
		const { json } = await net.run("ADD", { id: "c2" });
		expect(json).toMatchObject({
			code: 11,
			msg: "failed to allocate for range 0: no IP addresses available in range set: 10.1.2.1-10.1.2.2",
		});
		expect(json.details).toMatch(
			/0 of 1 addresses are held.*; 1 more wait for reuseDelaySeconds, the first, 10\.1\.2\.2, is free in (60|5\d) s$/,
		);
		const asked = await net.run("ADD", { id: "c2", args: "IP=10.1.2.2" });
		expect(asked.json).toMatchObject({ code: 11 });
		expect((await net.run("STATUS")).json).toMatchObject({ code: 50 });
		expect(heldAddresses(net.directory)).toEqual([]);
	});
	/** So many seconds later, by the clock that begins at the boot; or another boot, so many seconds after it. */
	const later = (seconds: number) => `exec unshare -T --boottime ${seconds} "$1"`;
	const rebooted = (net: ReturnType<typeof network>, seconds: number) =>
		`echo 22222222-0000-0000-0000-000000000000 >${net.dataDir}/boot
mount --bind ${net.dataDir}/boot /proc/sys/kernel/random/boot_id
exec unshare -T --boottime $((${seconds} - $(cut -d. -f1 /proc/uptime))) "$1"`;

	it("ends", async () => {
		const net = delayed();
		await net.run("ADD");
		await net.run("DEL");
		expect((await net.run("ADD", { id: "c2", script: later(50) })).json.details).toMatch(/is free in (10|\d) s$/);
		expect(addresses(await net.run("ADD", { id: "c2", script: later(61) }))).toEqual(["10.1.2.2/30"]);
	});
	it("counts from the boot where the address was released before that", async () => {
		const net = delayed();
		await net.run("ADD");
		await net.run("DEL");
		const early = await net.run("ADD", { id: "c2", script: rebooted(net, 20) });
		expect(early.json.details).toMatch(/is free in (40|3\d) s$/);
		expect(addresses(await net.run("ADD", { id: "c2", script: rebooted(net, 61) }))).toEqual(["10.1.2.2/30"]);
	});
	it.each([
		["an older version, which went by the wall clock", `${Date.now() - 61_000} 10.1.2.2\n`],
		["a time that has not come yet", `99999999999 10.1.2.2 ${readFileSync("/proc/sys/kernel/random/boot_id", "utf8")}`],
	])("counts from now where the release is of %s", async (_, line) => {
		const net = delayed();
		mkdirSync(join(net.dataDir, ".berth/net"), { recursive: true });
		writeFileSync(releases(net), line);
		expect((await net.run("ADD")).json.details).toMatch(/is free in (60|5\d) s$/);
		expect(addresses(await net.run("ADD", { id: "c2", script: later(61) }))).toEqual(["10.1.2.2/30"]);
	});
	it("holds for what GC releases, not for what a failed ADD gives back", async () => {
		const net = delayed({ ranges: [[range("10.1.2.0/30")], [range("10.1.3.0/30")]] });
		net.put({ "10.1.3.2": held("other") });
		expect((await net.run("ADD")).json.code).toBe(11);
		await net.run("GC", { config: { ...net.config, "cni.dev/valid-attachments": [] } });
		expect((await net.run("ADD")).json.msg).toContain("range 1: no IP addresses available");
	});
	it("forgets what is over, so that the file stays small", async () => {
		const net = delayed({ ranges: [[range("10.1.2.0/24")]] });
		mkdirSync(join(net.dataDir, ".berth/net"), { recursive: true });
		const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8");
		writeFileSync(releases(net), `1 10.1.2.9 ${boot}`.repeat(500));
		expect(addresses(await net.run("ADD", { script: later(61) }))).toEqual(["10.1.2.2/24"]);
		expect(readFileSync(releases(net), "utf8")).toBe("");
	});
	it("does not keep DEL from releasing when the time cannot be noted", async () => {
		const net = delayed();
		await net.run("ADD");
		const answer = await net.run("DEL", { script: `touch ${net.dataDir}/.berth; exec "$1"` });
		expect(answer.status).toBe(0);
		expect(answer.stderr).toContain("reuseDelaySeconds will not hold for 10.1.2.2");
		expect(heldAddresses(net.directory)).toEqual([]);
	});
});

describe("reclaimAfterReboot", () => {
	const reclaiming = (count = 3) => {
		const net = network({ ranges: [[range("10.1.2.0/24", { rangeEnd: "10.1.2.4" })]], reclaimAfterReboot: true });
		return { ...net, fill: async () => expect((await drain(net)).given).toHaveLength(count) };
	};
	/** Runs the plugin as after a reboot: the kernel's name of the boot is another one. */
	const rebooted = (net: { dataDir: string }, boot = "1") => ({
		script: `echo ${boot.repeat(8)}-0000-0000-0000-000000000000 >${net.dataDir}/boot; mount --bind ${net.dataDir}/boot /proc/sys/kernel/random/boot_id; exec "$1"`,
	});

	it("releases what was held before, and says what", async () => {
		const net = reclaiming();
		await net.fill();
		expect((await net.run("STATUS")).json).toMatchObject({ code: 50 });
		expect(await net.run("STATUS", rebooted(net))).toMatchObject({ status: 0 });
		const answer = await net.run("ADD", { id: "n1", ...rebooted(net) });
		expect(addresses(answer)).toEqual(["10.1.2.2/24"]);
		expect(answer.stderr).toContain("released what was held since before the last reboot: ");
		expect(storeFiles(net.directory)).toEqual({ "10.1.2.2": held("n1"), "last_reserved_ip.0": "10.1.2.2" });
		const next = await net.run("ADD", { id: "n2", ...rebooted(net) });
		expect({ given: addresses(next), stderr: next.stderr }).toEqual({ given: ["10.1.2.3/24"], stderr: "" });
	});
	it("does nothing without being asked, but remembers", async () => {
		const net = reclaiming();
		await net.fill();
		const { reclaimAfterReboot, ...ipam } = net.config.ipam as Record<string, unknown>;
		const config = { ...net.config, ipam };
		expect((await net.run("ADD", { id: "n1", config, ...rebooted(net) })).json).toMatchObject({ code: 11 });
		expect(heldAddresses(net.directory)).toHaveLength(3);
		expect(addresses(await net.run("ADD", { id: "n1", ...rebooted(net) }))).toEqual(["10.1.2.2/24"]);
		expect(heldAddresses(net.directory)).toEqual(["10.1.2.2"]);
	});
	it("leaves alone what it has no record of: who knows when that was made", async () => {
		const net = reclaiming();
		net.put({ "10.1.2.2": held("by-go"), "10.1.2.3": held("by-go", "net1"), "10.1.2.4": "old" });
		expect((await net.run("ADD", rebooted(net))).json).toMatchObject({ code: 11 });
		expect(heldAddresses(net.directory)).toHaveLength(3);
		// They have been seen in that boot, so in the next one they are of before.
		expect(addresses(await net.run("ADD", rebooted(net, "2")))).toEqual(["10.1.2.2/24"]);
		expect(heldAddresses(net.directory)).toEqual(["10.1.2.2"]);
	});
	it("leaves alone what was released and taken again since", async () => {
		const net = reclaiming();
		await net.fill();
		await net.run("DEL", { id: "c2", ...rebooted(net) });
		net.put({ "10.1.2.3": held("by-go") });
		const answer = await net.run("ADD", { id: "n1", ...rebooted(net) });
		expect(addresses(answer)).toEqual(["10.1.2.2/24"]);
		expect(storeFiles(net.directory)).toMatchObject({ "10.1.2.2": held("n1"), "10.1.2.3": held("by-go") });
		expect(heldAddresses(net.directory)).toHaveLength(2);
	});
	it("an address of before that is released and given to the same container again is of this boot", async () => {
		const net = reclaiming();
		await net.fill();
		// The first call after the reboot is a DEL, so nothing is reclaimed yet.
		await net.run("DEL", { id: "c1", ...rebooted(net) });
		const without = { ...net.config, ipam: { ...net.config.ipam, reclaimAfterReboot: false } };
		net.put({
			"10.1.2.9": held("x"),
			...Object.fromEntries([...Array(20).keys()].map((i) => [`10.9.9.${i}`, held("x")])),
		});
		expect(addresses(await net.run("ADD", { id: "c1", config: without, ...rebooted(net) }))).toEqual(["10.1.2.2/24"]);
		await net.run("ADD", { id: "n1", ...rebooted(net) });
		expect(storeFiles(net.directory)["10.1.2.2"]).toBe(held("c1"));
		expect(readdirSync(join(net.dataDir, ".berth/net"))).toEqual(["11111111-0000-0000-0000-000000000000"]);
	});
});
