/**
 * The protocol as the executable speaks it, where a comparison with Go's plugins (test/peers/protocol.test.ts) does not
 * reach: its descriptors, its limits, its own network namespace.
 */
import { type SpawnOptions, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { binaries, plugins } from "../lab/executables.ts";
import { ENV } from "../lab/ipam.ts";
import { NetnsLab, netnsPath } from "../lab/netns-lab.ts";

let store: string;
beforeEach(() => {
	store = mkdtempSync(join(tmpdir(), "berth-cni-"));
});
afterEach(() => rmSync(store, { recursive: true, force: true }));

const staticConfig = (more: object = {}): string =>
	JSON.stringify({
		cniVersion: "1.1.0",
		name: "net",
		ipam: { type: "static", addresses: [{ address: "10.1.2.3/24" }] },
		...more,
	});
const storeConfig = (): string =>
	JSON.stringify({
		cniVersion: "1.1.0",
		name: "net",
		ipam: { type: "host-local", dataDir: store, ranges: [[{ subnet: "10.1.2.0/24" }]] },
	});

interface Answer {
	status: number | null;
	stdout: string;
	stderr: string;
}

interface Options {
	env?: Record<string, string>;
	input?: string | Uint8Array;
	stdio?: SpawnOptions["stdio"];
	/** Shell redirections: `<&-` closes stdin. */
	redirect?: string;
	/** A command that starts it with less: `prlimit --nofile=3`. */
	limit?: string;
}

function call(plugin: string, { env = {}, input = "", stdio, redirect = "", limit = "" }: Options): Answer {
	const variables = { ...ENV, ...env };
	// dash's exec leaves a closed descriptor closed.
	const { status, stdout, stderr } = spawnSync(
		"/bin/sh",
		["-c", `exec ${limit} "$0" ${redirect}`, join(binaries, plugin)],
		{
			env: variables,
			input,
			...(stdio && { stdio }),
			timeout: 30_000,
		},
	);
	return { status, stdout: stdout?.toString() ?? "", stderr: stderr?.toString() ?? "" };
}

function errorOf({ status, stdout }: Answer): { code: number; msg: string; details?: string } {
	expect(status).toBe(1);
	return JSON.parse(stdout);
}

describe.each(plugins)("%s", (plugin) => {
	it("VERSION answers without reading stdin", async () => {
		// A stdin that stays open and silent: whoever reads it waits for ever.
		const child = spawn(join(binaries, plugin), {
			env: { CNI_COMMAND: "VERSION" },
			stdio: ["pipe", "pipe", "inherit"],
		});
		let stdout = "";
		child.stdout!.on("data", (text) => {
			stdout += text;
		});
		const status = await new Promise((resolve) => child.on("close", resolve));
		child.stdin!.destroy();
		expect(status).toBe(0);
		expect(stdout).toBe(
			'{"cniVersion":"1.1.0","supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}\n',
		);
	});

	it("VERSION needs no /proc, no descriptors but stdout, and does not mind an unreadable stdin", () => {
		for (const redirect of ["<&- 2>&-", "</", "</dev/null"]) {
			expect(call(plugin, { env: { CNI_COMMAND: "VERSION" }, redirect })).toMatchObject({ status: 0, stderr: "" });
		}
	});

	it("without any variable tells what it is, or that CNI_COMMAND is missing", () => {
		const { status, stdout, stderr } = spawnSync(join(binaries, plugin), { env: {} });
		const line = `CNI ${plugin} plugin v0.1.0\nCNI protocol versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0\n`;
		if (status === 0) expect([stdout.toString(), stderr.toString()]).toEqual(["", line]);
		else
			expect(JSON.parse(stdout.toString())).toEqual({ code: 4, msg: "required env variables [CNI_COMMAND] missing" });
	});

	it.each(["ADD", "DEL", "CHECK", "GC", "STATUS"])(
		"%s prints one JSON error for a stdin that is no configuration",
		(verb) => {
			const env = { CNI_COMMAND: verb };
			expect(errorOf(call(plugin, { env, input: "" })).msg).toBe(
				"error unmarshall network config: unexpected end of JSON input",
			);
			expect(errorOf(call(plugin, { env, redirect: "</dev/null" })).code).toBe(6);
			expect(errorOf(call(plugin, { env, redirect: "<&-" })).code).toBe(6);
			expect(errorOf(call(plugin, { env, input: '{"name":"n"} {"name":"n"}' })).msg).toContain("after top-level value");
			expect(errorOf(call(plugin, { env, input: "{}" }))).toEqual({ code: 7, msg: "missing network name" });
			const directory = errorOf(call(plugin, { env, redirect: "</" }));
			expect(directory.code).toBe(5);
			expect(directory.msg).toMatch(/^error reading from stdin: .*is a directory \(EISDIR\)$/);
		},
	);

	it("refuses more than 16 MiB on stdin, and says so", () => {
		const error = errorOf(call(plugin, { input: " ".repeat(16 * 1024 * 1024 + 1) }));
		expect(error.code).toBe(5);
		expect(error.msg).toMatch(/^error reading from stdin: .*EFBIG/);
	});

	it("ends with one JSON error whatever bytes come on stdin", () => {
		for (const input of [
			Uint8Array.of(0xff, 0xfe, 0x00),
			new Uint8Array(4096),
			"[".repeat(1_000_000),
			`{"name":"n","ipam":${"[".repeat(9000)}${"]".repeat(9000)}}`,
			`{"name":${'{"a":'.repeat(5000)}1${"}".repeat(5000)}}`,
			`{"name":"n","cniVersion":"1.0.0","prevResult":${"[".repeat(400)}${"]".repeat(400)}}`,
		]) {
			const error = errorOf(call(plugin, { env: { CNI_COMMAND: "CHECK" }, input }));
			expect([1, 6, 7], JSON.stringify(error).slice(0, 300)).toContain(error.code);
		}
	});
});

describe("a configuration", () => {
	it("of 10 MB is read", () => {
		const input = staticConfig({ padding: "x".repeat(10_000_000) });
		expect(JSON.parse(call("static", { input }).stdout).ips).toEqual([{ address: "10.1.2.3/24" }]);
	});

	it("may come in pieces", async () => {
		const child = spawn(join(binaries, "static"), { env: ENV, stdio: ["pipe", "pipe", "inherit"] });
		let stdout = "";
		child.stdout!.on("data", (text) => {
			stdout += text;
		});
		for (const character of staticConfig()) {
			await new Promise((written) => child.stdin!.write(character, written));
		}
		child.stdin!.end();
		await new Promise((resolve) => child.on("close", resolve));
		expect(JSON.parse(stdout).cniVersion).toBe("1.1.0");
	});
});

describe("standard descriptors that are closed", () => {
	it.each(["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])("%s: what is written to them reaches no file of ours", (redirect) => {
		const add = call("host-local", { input: storeConfig(), redirect });
		// Without stdin there is no configuration; without stdout the answer cannot be given.
		expect(add.status).toBe(redirect === "2>&-" ? 0 : 1);
		const directory = join(store, "net");
		if (!existsSync(directory)) return;
		const file = join(directory, "10.1.2.2");
		// An ADD whose answer cannot be given is undone.
		if (redirect === ">&-") expect(existsSync(file)).toBe(false);
		else expect(readFileSync(file, "utf8")).toBe("c1\r\neth0");
		expect(readFileSync(join(directory, "last_reserved_ip.0"), "utf8")).toBe("10.1.2.2");
		expect(readFileSync(join(directory, "lock"), "utf8")).toBe("");
	});
});

describe("an answer that cannot be written", () => {
	it("fails the call, and the reason is on stderr", () => {
		const full = openSync("/dev/full", "w");
		const { status, stderr } = call("static", { input: staticConfig(), stdio: ["pipe", full, "pipe"] });
		expect(status).toBe(1);
		expect(stderr).toMatch(/^static: the answer cannot be written to stdout: .*\(ENOSPC\)\n$/);
	});

	it("to a reader that has gone is no crash", () => {
		const { status, stdout } = spawnSync(
			"/bin/sh",
			["-c", 'printf %s "$1" | { "$0"; echo "exit $?" >&2; } | true', join(binaries, "static"), staticConfig()],
			{
				env: { ...ENV, PATH: "/usr/bin:/bin" },
			},
		);
		expect({ status, stdout: stdout.toString() }).toEqual({ status: 0, stdout: "" });
	});
});

describe("the plugin's own network namespace", () => {
	const own = { CNI_NETNS: "/proc/self/ns/net" };

	it("as CNI_NETNS is refused by ADD before anything is done", () => {
		const answer = call("host-local", { env: { ...own, CNI_COMMAND: "ADD" }, input: storeConfig() });
		expect(errorOf(answer)).toEqual({
			code: 8,
			msg: "plugin's netns and netns from CNI_NETNS should not be the same",
		});
		expect(readdirSync(store)).toEqual([]);
	});

	it("as CNI_NETNS is for DEL a sandbox that is gone: the address is released", () => {
		expect(call("host-local", { env: { CNI_COMMAND: "ADD" }, input: storeConfig() }).status).toBe(0);
		expect(call("host-local", { env: { ...own, CNI_COMMAND: "DEL" }, input: storeConfig() }).status).toBe(0);
		expect(call("host-local", { env: { CNI_COMMAND: "CHECK" }, input: storeConfig() }).status).toBe(1);
	});

	it("under another path is found out too, another namespace is not taken for it", () => {
		using lab = new NetnsLab();
		const CNI_NETNS = netnsPath(lab.add());
		expect(call("static", { env: { CNI_NETNS }, input: staticConfig() }).status).toBe(0);
		const inside = spawnSync("nsenter", [`--net=${CNI_NETNS}`, join(binaries, "static")], {
			env: { ...ENV, CNI_NETNS, PATH: "/usr/bin:/bin:/usr/sbin:/sbin" },
			input: staticConfig(),
		});
		expect(JSON.parse(inside.stdout.toString()).code).toBe(8);
	});

	it("is found out where no descriptor is left to open it", () => {
		const env = { CNI_NETNS: "/proc/self/ns/net" };
		const answer = call("static", { env, input: staticConfig(), limit: "prlimit --nofile=3" });
		expect(errorOf(answer)).toMatchObject({ code: 8 });
	});

	it("is allowed by CNI_NETNS_OVERRIDE", () => {
		const env = { CNI_NETNS: "/proc/self/ns/net", CNI_NETNS_OVERRIDE: "true" };
		expect(call("static", { env, input: staticConfig() }).status).toBe(0);
	});
});

describe("every combination of variables", () => {
	const names = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"] as const;
	const needed: Record<string, readonly string[]> = {
		ADD: names,
		CHECK: names,
		DEL: ["CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"],
		GC: ["CNI_PATH"],
		STATUS: ["CNI_PATH"],
		VERSION: [],
	};

	it.each(Object.keys(needed))("%s names exactly what is missing", (verb) => {
		for (let mask = 0; mask < 1 << names.length; mask++) {
			const given = names.filter((_, bit) => mask & (1 << bit));
			const env: Record<string, string> = { CNI_COMMAND: verb };
			for (const name of given) env[name] = ENV[name];
			const { status, stdout } = spawnSync(join(binaries, "static"), { env, input: "" });
			const missing = needed[verb]!.filter((name) => !given.includes(name as (typeof names)[number]));
			if (verb === "VERSION") expect(status).toBe(0);
			else if (missing.length > 0) {
				expect(JSON.parse(stdout.toString())).toEqual({
					code: 4,
					msg: `required env variables [${missing.join(",")}] missing`,
				});
			} else expect(JSON.parse(stdout.toString()).code).toBe(6);
		}
	});
});
