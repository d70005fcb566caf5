/**
 * host-local's index from outside: how many files a call looks at, and what it answers when the index is not what it
 * should be.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it, test } from "vitest";
import { addresses, held, network, range } from "../lab/host-local.ts";
import { heldAddresses, scratchDirectory, storeFiles } from "../lab/ipam.ts";
import { peer } from "../lab/peers.ts";

/** A network that holds 10.1.0.2 to 10.1.0.<count + 1>, for containers p2 and so on. */
function crowded(count = 100, ipam: object = {}) {
	const net = network({ ranges: [[range("10.1.0.0/16")]], ...ipam });
	const files: Record<string, string> = { "last_reserved_ip.0": `10.1.0.${count + 1}` };
	for (let host = 2; host < count + 2; host++) files[`10.1.0.${host}`] = held(`p${host}`);
	net.put(files);
	return { ...net, index: join(net.dataDir, ".berth/net") };
}

const boot = () => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();

let go: string;
beforeAll(async () => {
	go = await peer("host-local");
});

describe("with 100 addresses held", () => {
	/** The store's files that a call opens, and whether it lists the store. */
	async function looksAt(net: ReturnType<typeof crowded>, verb: string, options: object = {}) {
		const log = join(scratchDirectory(), "trace");
		const script = `exec strace -f -o ${log} -e trace=open,openat,getdents64 "$@"`;
		const answer = await net.run(verb, { ...options, script });
		const lines = readFileSync(log, "utf8").split("\n");
		const opened = lines.flatMap((line) => new RegExp(`"${net.directory}/([0-9][^"]*)"`).exec(line)?.[1] ?? []);
		return { answer, opened, lists: lines.some((line) => line.includes("getdents64")) };
	}

	it("ADD, CHECK and DEL open the files of their own addresses, once the first call has read all", async () => {
		const net = crowded();
		const first = await looksAt(net, "ADD");
		expect({ count: first.opened.length > 100, lists: first.lists }).toEqual({ count: true, lists: true });
		expect(addresses(first.answer)).toEqual(["10.1.0.102/16"]);
		const add = await looksAt(net, "ADD", { id: "c2" });
		expect(addresses(add.answer)).toEqual(["10.1.0.103/16"]);
		expect(add).toMatchObject({ lists: false, opened: ["10.1.0.103"] });
		for (const verb of ["CHECK", "DEL"]) {
			const { answer, opened, lists } = await looksAt(net, verb, { id: "c2" });
			expect(answer).toMatchObject({ status: 0, stdout: "" });
			expect({ lists, opened }).toEqual({ lists: false, opened: ["10.1.0.103"] });
		}
		expect(await looksAt(net, "DEL", { id: "c2" })).toMatchObject({ lists: false, opened: [] });
		const again = await looksAt(net, "ADD", { id: "c1" });
		expect(again.answer.json.msg).toContain("10.1.0.102 has been allocated to c1");
		expect(again).toMatchObject({ lists: false, opened: ["10.1.0.102"] });
	});

	it("the Go plugin sees nothing of the index", async () => {
		const net = crowded();
		await net.run("ADD");
		expect(Object.keys(storeFiles(net.directory))).toHaveLength(102);
		expect(readdirSync(net.dataDir).sort()).toEqual([".berth", "net"]);
		expect((await net.runWith(go, "CHECK")).status).toBe(0);
		expect((await net.runWith(go, "DEL")).status).toBe(0);
		expect(heldAddresses(net.directory)).toHaveLength(100);
	});

	it("what the Go plugin takes and releases in between is seen, and read once", async () => {
		const net = crowded();
		await net.run("ADD");
		expect(addresses(await net.runWith(go, "ADD", { id: "g" }))).toEqual(["10.1.0.103/16"]);
		expect((await net.run("ADD", { id: "g" })).json.msg).toContain("10.1.0.103 has been allocated to g");
		expect((await looksAt(net, "CHECK", { id: "g" })).opened).toEqual(["10.1.0.103"]);
		expect((await net.runWith(go, "DEL")).status).toBe(0);
		expect(await net.run("CHECK")).toMatchObject({ status: 1, json: { code: 102 } });
		expect(addresses(await net.run("ADD"))).toEqual(["10.1.0.104/16"]);
		expect((await net.run("DEL", { id: "g" })).status).toBe(0);
		expect(heldAddresses(net.directory)).not.toContain("10.1.0.103");
	});

	it("a call that is killed after it changed the store leaves an index that is not believed", async () => {
		const net = crowded();
		await net.run("ADD");
		// As if killed between the store and the index: a file is there or gone, and the index does not know.
		const index = join(net.index, boot());
		const saved = join(scratchDirectory(), "saved");
		execFileSync("cp", ["-a", index, saved]);
		await net.run("ADD", { id: "c2" });
		await net.run("DEL", { id: "c1" });
		execFileSync("sh", ["-c", `rm -r ${index} && cp -a ${saved} ${index}`]);
		expect(await net.run("CHECK", { id: "c2" })).toMatchObject({ status: 0 });
		expect(await net.run("CHECK", { id: "c1" })).toMatchObject({ status: 1 });
	});

	it("GC keeps the index: what it released is free for all", async () => {
		const net = crowded();
		await net.run("ADD");
		const valid = [...Array(50).keys()].map((i) => ({ containerID: `p${i + 2}`, ifname: "eth0" }));
		await net.run("GC", { config: { ...net.config, "cni.dev/valid-attachments": valid } });
		expect(heldAddresses(net.directory)).toHaveLength(50);
		expect(await looksAt(net, "CHECK", { id: "c1" })).toMatchObject({
			lists: false,
			opened: [],
			answer: { status: 1 },
		});
		expect(addresses(await net.run("ADD", { args: "IP=10.1.0.102" }))).toEqual(["10.1.0.102/16"]);
	});

	it("files without an interface are found", async () => {
		const net = crowded();
		net.put({ "10.1.0.200": "old", "10.1.0.201": held("old", "net1") });
		await net.run("ADD");
		expect((await looksAt(net, "DEL", { id: "old" })).lists).toBe(false);
		expect(heldAddresses(net.directory)).not.toContain("10.1.0.200");
		expect(heldAddresses(net.directory)).toContain("10.1.0.201");
	});
});

describe("an index that is not as it should be", () => {
	test.each<[string, (index: string, net: ReturnType<typeof crowded>) => void]>([
		["removed", (index) => rmSync(index, { recursive: true })],
		["a file in place of its directory", (index) => execFileSync("sh", ["-c", `rm -r ${index}; touch ${index}`])],
		["without its pages", (index) => remove(index, /^held/)],
		["with pages of another length", (index) => rewrite(index, /^held/, "x")],
		["with pages that say all is free", (index) => rewrite(index, /^held/, "\0".repeat(512))],
		[
			"of an earlier boot",
			(index) => execFileSync("mv", [index, join(index, "../00000000-0000-0000-0000-000000000000")]),
		],
		["older than the store", (_, net) => utimesSync(net.directory, new Date(), new Date())],
		["with lines of addresses that somebody else holds", (index) => rewrite(index, /^c/, "10.1.0.5 c1 eth0\n")],
		["without the lines of its containers", (index) => remove(index, /^c/)],
		["with the lines of its containers cut short", (index) => rewrite(index, /^c/, "")],
		["full of nonsense lines", (index) => rewrite(index, /^c/, " c1 \n\0\n10.1.0.2\n")],
	])("%s: no address twice, and the next one in turn", async (_, damage) => {
		const net = crowded();
		await net.run("ADD", { id: "c0" });
		damage(join(net.index, boot()), net);
		expect(addresses(await net.run("ADD"))).toEqual(["10.1.0.103/16"]);
		expect(addresses(await net.run("ADD", { id: "c2" }))).toEqual(["10.1.0.104/16"]);
		expect((await net.run("DEL")).status).toBe(0);
		expect((await net.run("DEL", { id: "c2" })).status).toBe(0);
		expect(heldAddresses(net.directory)).toHaveLength(101);
		expect(storeFiles(net.directory)["10.1.0.2"]).toBe(held("p2"));
	});

	it.each([
		["some of it gone", (index: string) => remove(index, /^c/)],
		["some of it of before", (index: string, old: string) => execFileSync("sh", ["-c", `cp -a ${old}/c* ${index}`])],
		[
			"all of it of before, and the time of the store, too",
			(index: string, old: string, store: string) =>
				execFileSync("sh", ["-c", `rm -r ${index}; cp -a ${old} ${index}; touch -r ${old}.store ${store}`]),
		],
	])("with %s: what is held is found, and no attachment gets a second address", async (_, damage) => {
		const net = crowded();
		await net.run("ADD", { id: "before" });
		const index = join(net.index, boot());
		const old = join(net.dataDir, "old");
		execFileSync("sh", ["-c", `cp -a ${index} ${old}; touch -r ${net.directory} ${old}.store`]);
		const ids = Array.from({ length: 20 }, (_, number) => `x${number}`);
		for (const id of ids) expect((await net.run("ADD", { id })).status).toBe(0);
		damage(index, old, net.directory);
		expect((await net.run("ADD", { id: "x0" })).json).toMatchObject({ msg: expect.stringContaining("duplicate") });
		for (const id of [...ids, "before"]) {
			expect((await net.run("DEL", { id })).status).toBe(0);
			if (id === "x9") damage(index, old, net.directory);
		}
		expect(heldAddresses(net.directory)).toHaveLength(100);
	});

	it("that cannot be written is done without", async () => {
		const net = crowded();
		mkdirSync(net.index, { recursive: true });
		const script = (options: string) => `mount -t tmpfs -o ${options} tmpfs ${net.index}; exec "$1"`;
		expect(addresses(await net.run("ADD", { script: script("ro") }))).toEqual(["10.1.0.102/16"]);
		expect(addresses(await net.run("ADD", { id: "c2", script: script("nr_inodes=20") }))).toEqual(["10.1.0.103/16"]);
		expect((await net.run("DEL", { script: script("size=4k") })).status).toBe(0);
		expect(heldAddresses(net.directory)).toHaveLength(101);
	});

	it("is not made for a few addresses", async () => {
		const net = crowded(5);
		await net.run("ADD");
		expect(existsSync(net.index)).toBe(false);
	});

	it("is made anew with every boot, and the old one removed", async () => {
		const net = crowded();
		await net.run("ADD");
		const script = `echo 11111111-2222-3333-4444-555555555555 >${net.dataDir}/boot; mount --bind ${net.dataDir}/boot /proc/sys/kernel/random/boot_id; exec "$1"`;
		await net.run("ADD", { id: "c2", script });
		expect(readdirSync(net.index)).toEqual(["11111111-2222-3333-4444-555555555555"]);
		expect(statSync(net.directory).mtimeMs).toBeLessThan(Date.now() - 300_000);
	});
});

function matching(index: string, pattern: RegExp): string[] {
	return readdirSync(index)
		.filter((name) => pattern.test(name))
		.map((name) => join(index, name));
}

function remove(index: string, pattern: RegExp): void {
	for (const path of matching(index, pattern)) rmSync(path);
}

function rewrite(index: string, pattern: RegExp, content: string | Buffer): void {
	for (const path of matching(index, pattern)) writeFileSync(path, content);
}
