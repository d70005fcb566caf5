/**
 * host-local's store from outside: when it cannot be written, when many want it at once, when the Go plugin writes it
 * too.
 */
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { addresses, held, network, range } from "../lab/host-local.ts";
import { type Answer, heldAddresses, modeOf, ours, storeFiles } from "../lab/ipam.ts";
import { peer } from "../lab/peers.ts";

describe("a store that cannot be written", () => {
	// In each of these the directory goes away with the namespace: the script lists it while it is there.
	const listing = (answer: Answer) => answer.stderr.split("\n").filter((line) => line !== "" && line !== "lock");
	const andList = (directory: string) => `"$1" && status=0 || status=$?; ls -A ${directory} >&2; exit $status`;

	it("full, of bytes: code 5 with path and errno, nothing left behind", async () => {
		const { run, dataDir, directory } = network({ ranges: [[range("10.1.2.0/24")], [range("10.1.3.0/24")]] });
		const script = `mount -t tmpfs -o size=4k tmpfs ${dataDir}; mkdir ${directory}; printf x > ${directory}/filler; ${andList(directory)}`;
		const answer = await run("ADD", { script });
		expect(answer).toMatchObject({ status: 1, json: { code: 5 } });
		expect(answer.json.msg).toContain(directory);
		expect(answer.json.msg).toContain("ENOSPC");
		expect(listing(answer)).toEqual(["filler"]);
		const status = await run("STATUS", { script });
		expect(status.json).toMatchObject({ code: 50 });
		expect(status.json.msg).toContain("ENOSPC");
		expect(listing(status)).toEqual(["filler"]);
	});

	it("full after the first of two addresses: that one is released", async () => {
		const { run, dataDir, directory } = network({ ranges: [[range("10.1.2.0/24")], [range("10.1.3.0/24")]] });
		// Five inodes: the directory's own, net, lock, 10.1.2.2, last_reserved_ip.0. The next file is one too many.
		const script = `mount -t tmpfs -o nr_inodes=5 tmpfs ${dataDir}; ${andList(directory)}`;
		const answer = await run("ADD", { script });
		expect(answer).toMatchObject({ status: 1, json: { code: 5 } });
		expect(answer.json.msg).toContain("ENOSPC");
		expect(listing(answer)).toEqual(["last_reserved_ip.0"]);
	});

	it("read-only: ADD, DEL and GC fail with code 5, STATUS with 50, and what is held stays held", async () => {
		const { run, config, directory } = network();
		await run("ADD");
		const script = `mount --bind ${directory} ${directory}; mount -o remount,bind,ro ${directory}; exec "$1"`;
		const codes: Record<string, unknown> = {};
		for (const verb of ["ADD", "DEL", "GC", "STATUS"]) {
			const id = verb === "ADD" ? "c2" : "c1";
			const answer = await run(verb, { id, script, config: { ...config, "cni.dev/valid-attachments": [] } });
			expect(answer.json.msg).toContain(directory);
			expect(answer.json.msg).toContain("EROFS");
			codes[verb] = answer.json.code;
		}
		expect(codes).toEqual({ ADD: 5, DEL: 5, GC: 5, STATUS: 50 });
		expect(heldAddresses(directory)).toEqual(["10.1.2.2"]);
	});

	it("a dataDir that is a file", async () => {
		const { run, config, dataDir } = network();
		const file = join(dataDir, "file");
		writeFileSync(file, "content");
		const { status, json } = await run("ADD", {
			config: { ...config, ipam: { subnet: "10.1.2.0/24", dataDir: file } },
		});
		expect({ status, code: json.code }).toEqual({ status: 1, code: 5 });
		expect(json.msg).toContain(`${file}/net`);
		expect(json.msg).toContain("ENOTDIR");
		expect(readFileSync(file, "utf8")).toBe("content");
	});

	it("a dataDir below which the kernel makes no directory, and says that there is none", async () => {
		const { run } = network({ ranges: [[range("10.1.2.0/24")]], dataDir: "/proc/self/task" });
		expect((await run("ADD")).json).toMatchObject({ code: 5, msg: expect.stringContaining("/proc/self/task/net") });
		expect(await run("DEL")).toMatchObject({ status: 0 });
	});

	it("another user's directory: EACCES", async () => {
		const { run, dataDir } = network();
		chmodSync(dataDir, 0o700);
		// Root without the right to override modes: as root sees it in a restricted container.
		const answer = await run("ADD", {
			script: `chown 65534 ${dataDir}; exec setpriv --bounding-set=-dac_override,-dac_read_search --inh-caps=-dac_override,-dac_read_search "$1"`,
		});
		expect(answer).toMatchObject({ status: 1, json: { code: 5 } });
		expect(answer.json.msg).toContain("EACCES");
		expect(answer.json.msg).toContain(join(dataDir, "net"));
	});
});

describe("16 processes at once", () => {
	it("get 16 addresses, and give all back", async () => {
		const { run, directory } = network({ ranges: [[range("10.1.2.0/27")], [range("2001:db8::/64")]] });
		const ids = Array.from({ length: 16 }, (_, i) => `c${i}`);
		const answers = await Promise.all(ids.map((id) => run("ADD", { id })));
		expect(new Set(answers.flatMap(addresses)).size).toBe(32);
		const files = storeFiles(directory);
		for (const [i, answer] of answers.entries()) {
			for (const address of addresses(answer)) expect(files[address.split("/")[0]!]).toBe(held(`c${i}`));
		}
		const deletions = await Promise.all(ids.map((id) => run("DEL", { id })));
		expect(deletions.map(({ status }) => status)).toEqual(ids.map(() => 0));
		expect(heldAddresses(directory)).toEqual([]);
	});
	it("that are too many get what there is, and the rest are told to try again", async () => {
		const { run, directory } = network({ ranges: [[range("10.1.2.0/29")]] });
		const answers = await Promise.all(Array.from({ length: 16 }, (_, i) => run("ADD", { id: `c${i}` })));
		expect(answers.filter(({ status }) => status === 0)).toHaveLength(5);
		expect(answers.filter(({ json }) => json.code === 11)).toHaveLength(11);
		expect(heldAddresses(directory)).toHaveLength(5);
	});
	it("wait for the lock's holder, whoever that is", async () => {
		const { run, put, dataDir, directory } = network();
		put({ lock: "" });
		// While ADD waits (/proc/locks says so), the lock's holder takes an address, as the Go plugin does; then it
		// lets go.
		const script = `
			exec 8<&0 9<${directory}/lock; flock 9
			"$1" <&8 9<&- >${dataDir}/answer & add=$!
			until grep -q -e "-> FLOCK .* $add " /proc/locks; do kill -0 $add; done
			printf 'other\\r\\neth0' >${directory}/10.1.2.2
			flock -u 9; wait $add; cat ${dataDir}/answer`;
		expect(addresses(await run("ADD", { script }))).toEqual(["10.1.2.3/24"]);
	});
});

describe("the Go plugin on the same store", () => {
	let go: string;
	beforeAll(async () => {
		go = await peer("host-local");
	});
	const mine = ours("host-local");
	const sets = { ranges: [[range("10.1.2.0/29")], [range("2001:db8::/64")]] };
	it("releases what ours holds, checks it, refuses to double it, and the other way round", async () => {
		for (const [first, second] of [
			[go, mine],
			[mine, go],
		] as const) {
			const { runWith, directory } = network(sets);
			expect(addresses(await runWith(first, "ADD"))).toEqual(["10.1.2.2/29", "2001:db8::2/64"]);
			expect((await runWith(second, "CHECK")).status).toBe(0);
			expect((await runWith(second, "ADD")).json.msg).toBe(
				"failed to allocate for range 0: 10.1.2.2 has been allocated to c1, duplicate allocation is not allowed",
			);
			expect(addresses(await runWith(second, "ADD", { id: "c2" }))).toEqual(["10.1.2.3/29", "2001:db8::3/64"]);
			expect((await runWith(second, "DEL")).status).toBe(0);
			expect(heldAddresses(directory)).toEqual(["10.1.2.3", "2001:db8::3"]);
		}
	});

	it("writes the same files with the same modes", async () => {
		const stores = [];
		for (const executable of [go, mine]) {
			const { runWith, directory } = network(sets);
			await runWith(executable, "ADD");
			await runWith(executable, "ADD", { id: "c2", args: "IP=10.1.2.5" });
			const files = storeFiles(directory);
			const modes = ["lock", ...Object.keys(files)].map((name) => `${name} ${modeOf(join(directory, name))}`);
			stores.push({ files, modes, directory: modeOf(directory) });
		}
		expect(stores[1]).toEqual(stores[0]);
	});

	it("takes turns with ours over 32 calls at once: no address twice, none lost", async () => {
		const { runWith, directory } = network({ ranges: [[range("10.1.2.0/26")], [range("2001:db8::/64")]] });
		const calls = Array.from({ length: 32 }, (_, i) => ({ id: `c${i}`, executable: i % 2 === 0 ? go : mine }));
		const answers = await Promise.all(calls.map(({ id, executable }) => runWith(executable, "ADD", { id })));
		expect(new Set(answers.flatMap(addresses)).size).toBe(64);
		const files = storeFiles(directory);
		for (const [i, answer] of answers.entries()) {
			for (const address of addresses(answer)) expect(files[address.split("/")[0]!]).toBe(held(`c${i}`));
		}
		// Each releases what the other holds.
		const releases = calls.map(({ id }, i) => runWith(i % 2 === 0 ? mine : go, "DEL", { id }));
		expect((await Promise.all(releases)).map(({ status }) => status)).toEqual(calls.map(() => 0));
		expect(heldAddresses(directory)).toEqual([]);
	});

	it("never hands out what ours left half-written", async () => {
		const { runWith, put, directory } = network(sets);
		put({ ".berth.tmp": held("c9") });
		expect(addresses(await runWith(go, "ADD", { id: "c8" }))).toEqual(["10.1.2.2/29", "2001:db8::2/64"]);
		expect((await runWith(go, "DEL", { id: "c9" })).status).toBe(0);
		expect(heldAddresses(directory)).toEqual(["10.1.2.2", "2001:db8::2"]);
	});
});
