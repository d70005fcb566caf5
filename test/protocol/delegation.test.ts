/**
 * A plugin that delegates to another: in its own process where that is the same executable, else by running it.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
	chmodSync,
	closeSync,
	copyFileSync,
	existsSync,
	linkSync,
	mkdirSync,
	mkdtempSync,
	openSync,
	readFileSync,
	rmSync,
	symlinkSync,
	writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { fixtureExecutable } from "../lab/fixture-executable.ts";
import { until } from "../lab/until.ts";

const ROOT = join(import.meta.dirname, "../..");
const VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

interface Answer {
	status: number | null;
	// biome-ignore lint/suspicious/noExplicitAny: whatever JSON it is
	json: any;
	stdout: string;
	stderr: string;
}

let executable: string;
let directory: string;
/** Links to the executable: delegates in here run in process. */
let same: string;
/** Copies of it: delegates in here are run. */
let copied: string;
/** Scripts. */
let foreign: string;

beforeAll(async () => {
	executable = await fixtureExecutable("delegation");
});

beforeEach(() => {
	// Beside the executable: hard links do not go from one file system to another.
	directory = mkdtempSync(join(ROOT, "build/fixtures/delegation-"));
	// Some calls are made by another user than root.
	chmodSync(directory, 0o755);
	[same, copied, foreign] = ["same", "copied", "foreign"].map((name) => join(directory, name)) as [
		string,
		string,
		string,
	];
	for (const directory of [same, copied, foreign]) mkdirSync(directory);
	for (const name of ["static", "host-local", "no-plugin-of-ours"]) {
		linkSync(executable, join(same, name));
		copyFileSync(executable, join(copied, name));
	}
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

function start(verb: string, path: string, config: object, variables: Record<string, string> = {}): ChildProcess {
	const { wrapper = "", ...more } = variables;
	const command = [...wrapper.split(" ").filter(Boolean), executable, "delegator"];
	const child = spawn(command[0]!, command.slice(1), {
		env: {
			CNI_COMMAND: verb,
			CNI_CONTAINERID: "c1",
			CNI_NETNS: "/nowhere",
			CNI_IFNAME: "eth0",
			CNI_PATH: path,
			...more,
		},
	});
	child.stdin!.end(JSON.stringify(config));
	return child;
}

function finish(child: ChildProcess): Promise<Answer> {
	let stdout = "";
	let stderr = "";
	child.stdout!.on("data", (text) => {
		stdout += text;
	});
	child.stderr!.on("data", (text) => {
		stderr += text;
	});
	return new Promise((resolve) => {
		child.on("close", (status) => {
			resolve({ status, stdout, stderr, json: stdout === "" ? undefined : JSON.parse(stdout) });
		});
	});
}

const run = (...call: Parameters<typeof start>): Promise<Answer> => finish(start(...call));

function script(name: string, text: string): string {
	const path = join(foreign, name);
	writeFileSync(path, `#!/bin/sh\n${text}\n`);
	chmodSync(path, 0o755);
	return path;
}

const config = (type: string, ipam: object = {}, more: object = {}): object => ({
	cniVersion: "1.1.0",
	name: "net",
	ipam: { type, ...ipam },
	...more,
});
const dual = { addresses: [{ address: "10.1.2.3/24", gateway: "10.1.2.1" }, { address: "2001:db8::3/64" }] };

describe("a delegate that is this executable", () => {
	it("runs in the same process: no process can be made, and still it answers", async () => {
		// RLIMIT_NPROC of a user other than root makes fork fail.
		const wrapper = "setpriv --reuid=65534 --regid=65534 --clear-groups prlimit --nproc=0";
		const inProcess = await run("ADD", same, config("static", dual), { wrapper });
		expect(inProcess.status, inProcess.stdout).toBe(0);
		const executed = await run("ADD", copied, config("static", dual), { wrapper });
		expect(executed.json).toMatchObject({ code: 103, msg: expect.stringMatching(/"static" cannot be run: .*EAGAIN/) });
	});

	it("is found through a symbolic link too", async () => {
		symlinkSync(join(same, "static"), join(foreign, "static"));
		const wrapper = "setpriv --reuid=65534 --regid=65534 --clear-groups prlimit --nproc=0";
		expect((await run("ADD", foreign, config("static", dual), { wrapper })).status).toBe(0);
	});

	it.each(VERSIONS)("answers in version %s as when it is executed", async (cniVersion) => {
		const configs = [
			config("static", dual, { cniVersion }),
			config("static", { ...dual, routes: [{ dst: "0.0.0.0/0", mtu: 1400 }], dns: { domain: "d" } }, { cniVersion }),
			config("static", {}, { cniVersion }),
			config("static", { addresses: [{ address: "x" }] }, { cniVersion }),
			config("static", { addresses: 5 }, { cniVersion }),
		];
		for (const each of configs) {
			for (const verb of ["ADD", "CHECK", "DEL"]) {
				const inProcess = await run(verb, same, each);
				const executed = await run(verb, copied, each);
				expect({ ...inProcess, verb }).toEqual({ ...executed, verb });
			}
		}
	});

	it("does for host-local what it does when executed: ADD, CHECK, GC, STATUS, DEL", async () => {
		const seen = [];
		for (const path of [same, copied]) {
			const dataDir = join(directory, `store-${seen.length}`);
			const store = config("host-local", { dataDir, ranges: [[{ subnet: "10.1.2.0/24" }]] });
			const keep = { ...store, "cni.dev/valid-attachments": [] };
			const answers = [];
			for (const verb of ["ADD", "CHECK", "STATUS", "DEL", "CHECK", "ADD", "GC", "CHECK"]) {
				const { status, json } = await run(verb, path, verb === "GC" ? keep : store);
				answers.push([verb, status, JSON.stringify(json ?? "").replaceAll(dataDir, "STORE")]);
			}
			seen.push(answers);
		}
		expect(seen[0]).toEqual(seen[1]);
		expect(seen[0]!.map(([, status]) => status)).toEqual([0, 0, 0, 0, 1, 0, 0, 1]);
	});

	it("under a name that is no plugin of ours is executed, and fails as such", async () => {
		const { json } = await run("ADD", same, config("no-plugin-of-ours"));
		expect(json).toMatchObject({
			code: 4,
			msg: expect.stringMatching(/^"no-plugin-of-ours" is the name of no plugin: /),
		});
	});
});

describe("another delegate", () => {
	it("gets the same stdin and the whole environment, CNI_COMMAND apart", async () => {
		script("spy", `cat >"${foreign}/stdin"; env | sort >"${foreign}/env"; echo '{"cniVersion":"1.1.0"}'`);
		const given = config("spy", {}, { unknown: ["ä", 1.5], "cni.dev/valid-attachments": [] });
		await run("GC", foreign, given, { CNI_ARGS: "A=B", OTHER: "x y", PATH: "/usr/bin:/bin" });
		expect(readFileSync(join(foreign, "stdin"), "utf8")).toBe(JSON.stringify(given));
		const environment = readFileSync(join(foreign, "env"), "utf8").split("\n");
		expect(environment).toEqual(
			expect.arrayContaining([
				"CNI_COMMAND=GC",
				"CNI_ARGS=A=B",
				"OTHER=x y",
				"CNI_CONTAINERID=c1",
				`CNI_PATH=${foreign}`,
			]),
		);
	});

	it("of an older version has its result read as that version's", async () => {
		script("old", `echo '{"ip4":{"ip":"10.1.2.3/24","gateway":"10.1.2.1","routes":[{"dst":"0.0.0.0/0"}]},"dns":{}}'`);
		expect((await run("ADD", foreign, config("old", {}, { cniVersion: "0.2.0" }))).json.ip4.ip).toBe("10.1.2.3/24");
		script("older", `echo '{"cniVersion":"0.4.0","ips":[{"version":"4","address":"10.1.2.3/24"}]}'`);
		expect((await run("ADD", foreign, config("older"))).json).toEqual({
			cniVersion: "1.1.0",
			interfaces: [{ name: "eth0" }],
			ips: [{ address: "10.1.2.3/24" }],
		});
	});

	it("whose result no interface can have is told so", async () => {
		const answerOf = (route: object): string =>
			JSON.stringify({ cniVersion: "1.0.0", ips: [{ address: "10.1.2.3/24" }], routes: [route] });
		for (const [route, reason] of [
			[
				{ dst: "10.8.0.0/16", gw: "fd00::1" },
				"gateway fd00::1 of the route to 10.8.0.0/16 is of another address family",
			],
			[{ dst: "fd00::/64", gw: "10.1.2.1" }, "gateway 10.1.2.1 of the route to fd00::/64 is of another address family"],
			[{ dst: "10.8.0.0/16", table: -1 }, "routes[0].table must be at least 0, not -1"],
			[{ dst: "10.8.0.0/16", mtu: 4294967296 }, "routes[0].mtu must be at most 4294967295, not 4294967296"],
		] as const) {
			script("odd", `echo '${answerOf(route)}'`);
			const { json } = await run("ADD", foreign, config("odd"));
			expect(json).toMatchObject({ code: 103, msg: `plugin "odd": ${reason}` });
		}
	});

	it("has its error passed on, and its stderr", async () => {
		script("busy", `echo why >&2; echo '{"code":11,"msg":"busy","details":"later"}'; exit 3`);
		for (const verb of ["ADD", "DEL", "CHECK", "STATUS", "GC"]) {
			const given = config("busy", {}, { "cni.dev/valid-attachments": [] });
			expect(await run(verb, foreign, given)).toMatchObject({
				status: 1,
				stderr: "why\n",
				json: { code: 11, msg: "busy", details: "later" },
			});
		}
	});

	it.each([
		["garbage", "echo oops; exit 1", "it failed and its error message is not JSON"],
		["silent", "exit 4", 'plugin "silent" failed with exit status 4 and no error message'],
		["empty", "true", "failed to unmarshal raw result: unexpected end of JSON input"],
		["killed", "kill -9 $$", 'plugin "killed" was stopped by signal 9'],
		["wrong", `echo '{"ips":[{"address":5}]}'`, "ips[0].address must be a string, not 5"],
		["endless", "cat /dev/zero", "cannot be run: "],
	])("that is %s fails ADD with code 103 and a sentence", async (name, text, message) => {
		script(name, text);
		const { status, json } = await run("ADD", foreign, config(name), { PATH: "/usr/bin:/bin" });
		expect(status).toBe(1);
		expect(json).toMatchObject({ code: 103, msg: expect.stringContaining(message) });
	});

	it("that is found nowhere fails, directories and the current directory do not count", async () => {
		mkdirSync(join(foreign, "static"));
		const { json } = await run("ADD", `:${foreign}:/nowhere`, config("static"));
		expect(json).toMatchObject({ code: 103, msg: `failed to find plugin "static" in path [ ${foreign} /nowhere]` });
		expect((await run("ADD", same, config("../same/static"))).json.msg).toBe("invalid plugin name: ../same/static");
	});

	it("that is not executable is told with errno", async () => {
		chmodSync(script("plain", "true"), 0o644);
		expect((await run("ADD", foreign, config("plain"))).json.msg).toMatch(/^plugin "plain" cannot be run: .*EACCES/);
	});

	it("that is being written is tried again until it is whole", async () => {
		const path = join(foreign, "busy-file");
		copyFileSync(join(copied, "static"), path);
		chmodSync(path, 0o755);
		const writer = openSync(path, "r+");
		const child = start("ADD", foreign, config("busy-file", dual));
		const answer = finish(child);
		await sleeping(child.pid!);
		closeSync(writer);
		// Under this name it is no applet: that it ran at all is what counts.
		expect((await answer).json.msg).toMatch(/^"busy-file" is the name of no plugin: /);
	});

	it("ends with us: killed while it works, we leave none behind that goes on when DEL has come and gone", async () => {
		const [fifo, went, pidFile] = ["go-on", "went-on", "pid"].map((name) => join(foreign, name)) as [
			string,
			string,
			string,
		];
		execFileSync("mkfifo", [fifo]);
		script("patient", `echo $$ >"${pidFile}"; read -r _ <"${fifo}"; echo >"${went}"`);
		const parent = start("ADD", foreign, config("patient"));
		await until("the delegate says who it is", () => readTextOrNothing(pidFile).endsWith("\n"));
		const delegate = Number(readFileSync(pidFile, "utf8"));
		parent.kill("SIGKILL");
		await once(parent, "exit");
		// From here on a runtime may call DEL. With both ends open, this waits for nobody who reads.
		const both = openSync(fifo, "r+");
		writeFileSync(both, "go on\n");
		await until("the delegate is gone", () => isGone(delegate));
		closeSync(both);
		expect(existsSync(went)).toBe(false);
	});

	it("does not begin to work where we have been killed before it was ours to take along", async () => {
		const went = join(foreign, "went-on");
		script("late", `echo >"${went}"`);
		// Before its execve the delegate calls dup2 for its stdin, and we never do: it stops there, and we are killed
		// meanwhile.
		const trace = join(directory, "trace");
		const wrapper = `strace -f -qq -o ${trace} -e trace=/^dup[23]$ -e inject=/^dup[23]$:signal=STOP:when=1`;
		const tracer = start("ADD", foreign, config("late"), { wrapper });
		await until("the delegate stops", () => readTextOrNothing(trace).includes("stopped by SIGSTOP"));
		const parent = onlyChildOf(tracer.pid!);
		const delegate = onlyChildOf(parent);
		process.kill(parent, "SIGKILL");
		await until("we are gone", () => isGone(parent));
		process.kill(delegate, "SIGCONT");
		await once(tracer, "exit");
		expect(existsSync(went)).toBe(false);
	});
});

/** Resolves when the process waits for a time to pass. */
const sleeping = (pid: number): Promise<unknown> =>
	until(`process ${pid} sleeps`, () => readFileSync(`/proc/${pid}/wchan`, "utf8").includes("nanosleep"));

const readTextOrNothing = (path: string): string => (existsSync(path) ? readFileSync(path, "utf8") : "");

/** Whether the process has ended; whoever inherited it may have left it as a zombie. */
function isGone(pid: number): boolean {
	try {
		return /^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
	} catch (error) {
		if (["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code!)) return true;
		throw error;
	}
}

function onlyChildOf(pid: number): number {
	const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
	expect(children).toHaveLength(1);
	return Number(children[0]);
}
