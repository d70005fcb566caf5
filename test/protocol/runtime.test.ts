/**
 * The host and its native module, through an executable of its own that embeds the modules in test/fixtures/runtime.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import {
	closeSync,
	constants,
	copyFileSync,
	mkdtempSync,
	openSync,
	readFileSync,
	rmSync,
	statSync,
	symlinkSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bundle } from "../../scripts/build/bundle.ts";
import { compileHost, hostTarget } from "../../scripts/build/host.ts";
import { start } from "../lab/executables.ts";
import { randomNumbers, SEED } from "../lab/random.ts";
import { until } from "../lab/until.ts";

const ROOT = join(import.meta.dirname, "../..");

let directory: string;
let executable: string;

beforeAll(async () => {
	directory = mkdtempSync(join(tmpdir(), "berth-runtime-"));
	executable = join(directory, "berth");
	const modules = join(directory, "modules");
	await bundle(ROOT, "test/fixtures/runtime/main.js", modules);
	compileHost(ROOT, hostTarget(ROOT), modules, executable, { bytecode: start === "bytecode" });
});

afterAll(() => rmSync(directory, { recursive: true }));

// biome-ignore lint/suspicious/noExplicitAny: what native functions return, as JSON
type Result = any;

/** Runs an applet to its end. */
function run(args: string[], options: { input?: string; env?: NodeJS.ProcessEnv; stdio?: "pipe" } = {}) {
	return spawnSync(executable, args, { encoding: "utf8", timeout: 50_000, ...options });
}

/** Makes native calls in one process; see test/fixtures/runtime/applet/probe.js. */
function probe(...calls: unknown[][]): Result[] {
	const ended = run(["probe", JSON.stringify(calls)]);
	if (ended.status !== 0) throw new Error(`the probe ended with ${ended.status ?? ended.signal}: ${ended.stderr}`);
	return JSON.parse(ended.stdout);
}

/** The same, without waiting for its end. */
function probeLater(...calls: unknown[][]): { process: ChildProcess; results: Promise<Result[]> } {
	const child = spawn(executable, ["probe", JSON.stringify(calls)], { stdio: ["pipe", "pipe", "inherit"] });
	const results = new Promise<Result[]>((resolve, reject) => {
		let output = "";
		child.stdout.setEncoding("utf8").on("data", (text) => {
			output += text;
		});
		child.on("error", reject).on("close", () => resolve(JSON.parse(output)));
	});
	return { process: child, results };
}

const hex = (text: string) => ({ hex: Buffer.from(text).toString("hex") });
const text = (result: Result) => Buffer.from(result.hex, "hex").toString();
const result = (index: number, key?: string) => (key === undefined ? { result: index } : { result: index, key });

const AT_FDCWD = -100;
const O_RDONLY = 0;
const O_RDWR_CREAT = 0o102;
const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_UN = 8;

describe("the executable", () => {
	test("without a known name it says which there are, and exits 2", () => {
		for (const args of [[], ["absent"]]) {
			const ended = run(args);
			expect(ended.status).toBe(2);
			expect(ended.stdout).toBe("");
			expect(ended.stderr).toContain("plugins: end probe stdin using\n");
		}
	});

	test("says its version and the engine's", () => {
		const version = /^berth \d+\.\d+\.\d+ \(QuickJS-ng \d+\.\d+\.\d+, (\w+)\)\n$/;
		expect(version.exec(run(["--version"]).stdout)?.[1]).toBe(start);
	});

	test("a link named after an applet runs that applet", () => {
		const link = join(directory, "probe");
		symlinkSync("berth", link);
		const ended = spawnSync(link, ['[["args"]]'], { encoding: "utf8" });
		expect(JSON.parse(ended.stdout)).toEqual([[link, '[["args"]]']]);
	});

	test("exit status: 0 at the end of the module, or the one of exit()", () => {
		expect(run(["end", "return"]).status).toBe(0);
		expect(run(["end", "exit"]).status).toBe(7);
	});

	test("an uncaught exception is exit status 70, with message and stack on stderr", () => {
		const ended = run(["end", "throw"]);
		expect(ended.status).toBe(70);
		expect(ended.stdout).toBe("");
		expect(ended.stderr).toMatch(/^berth: uncaught: nobody caught this\n {4}at throw\n/);
	});

	test.each(["memory", "nesting", "recursion"])("too much %s is an exception, not a crash", (what) => {
		expect(run(["end", what]).status).toBe(70);
	});

	test("takes 10 MB on standard input", () => {
		const count = 350_000;
		const input = JSON.stringify(Array.from({ length: count }, (_, n) => ({ address: `10.0.0.${n}/8` })));
		expect(input.length).toBeGreaterThan(10_000_000);
		expect(run(["stdin"], { input }).stdout).toBe(`${count}\n`);
	});

	test("arguments and environment arrive as they are", () => {
		const program = JSON.stringify([["args"], ...["EMPTY", "A", "ÄÖ", "Ä"].map((name) => ["variable", name])]);
		const ended = run(["probe", program], { env: { EMPTY: "", A: "b=c", ÄÖ: "ü\n" } });
		expect(JSON.parse(ended.stdout)).toEqual([[executable, "probe", program], "", "b=c", "ü\n", null]);
	});

	test("opens no descriptor under the number of a closed standard one", () => {
		const program = '[["openat",-100,"/etc/passwd",0,0]]';
		const shell = spawnSync("sh", ["-c", `exec "$0" probe '${program}' 0<&- 2>&-`, executable], { encoding: "utf8" });
		expect(JSON.parse(shell.stdout)[0]).toBeGreaterThan(2);
	});
});

test("the engine's own `using` gives back in reverse order, whichever way is left, and loses no error", () => {
	expect(JSON.parse(run(["using"]).stdout)).toEqual({
		end: [null, "ab", "-b", "-a"],
		return: ["a", "-a"],
		loop: ["f", "-a", "-b", "-e", "-f"],
		throw: ["Error", "body", "-b", "-a"],
		dispose: ["Error", "dispose b", "-b", "-a"],
		both: ["SuppressedError", "dispose a", "body", "-a"],
		caught: ["after", "-a", "caught body", "-b"],
		no: ["TypeError", "value is not disposable", "-a"],
	});
});

describe("errors", () => {
	test("that come by netlink have the same names", () => {
		expect(probe(["describeErrno", 2], ["describeErrno", 250], ["describeErrno", "2"])).toMatchObject([
			["ENOENT", "no such file or directory"],
			["E250", "error 250"],
			{ error: { name: "TypeError" } },
		]);
	});

	test("carry errno, code, call and path", () => {
		expect(probe(["openat", AT_FDCWD, "/nowhere/x", O_RDONLY, 0])).toEqual([
			{
				error: {
					name: "Error",
					message: "openat /nowhere/x: no such file or directory (ENOENT)",
					errno: 2,
					code: "ENOENT",
					call: "openat",
					path: "/nowhere/x",
				},
			},
		]);
		expect(probe(["fsync", 99])).toEqual([
			{
				error: { name: "Error", message: "fsync: bad file descriptor (EBADF)", errno: 9, code: "EBADF", call: "fsync" },
			},
		]);
	});

	test("a NUL in a path or in what a program gets is EINVAL", () => {
		const program = { path: "/bin/true", args: ["true"], variables: {}, stdin: hex(""), deadlineMs: 1, maxOutput: 0 };
		const results = probe(
			["openat", AT_FDCWD, "/etc/passwd\0.bak", O_RDONLY, 0],
			["spawn", { ...program, args: ["a\0b"] }],
			["spawn", { ...program, variables: { "A=B": "" } }],
		);
		expect(results.map((each) => each.error.code)).toEqual(["EINVAL", "EINVAL", "EINVAL"]);
	});

	test("arguments of the wrong type or range are TypeErrors", () => {
		const calls: unknown[][] = [
			["openat", "x", "/", 0, 0],
			["openat", AT_FDCWD, 1, 0, 0],
			["openat", AT_FDCWD, "/", 0.5, 0],
			["read", 0, -1],
			["read", 0],
			["readFile", null, 1],
			["write", 1, [1, 2]],
			["decodeUtf8", "text"],
			["encodeUtf8", 7],
			["formatJson", {}, 11],
			["formatJson", { result: 0, key: "none" }, 0],
			["formatJson", [{ result: 0, key: "none" }], 0],
			["formatJson", JSON.parse(`${"[".repeat(101)}${"]".repeat(101)}`), 0],
			["random", 1e9],
			["poll", {}, 0],
			["poll", [1], 0],
			["receive", 0, 1e12, 0],
			["spawn"],
			["spawn", { path: "/bin/true" }],
			["statat", AT_FDCWD, "/", 1],
		];
		const results = probe(...calls);
		expect(results.map((each) => each?.error?.name)).toEqual(calls.map(() => "TypeError"));
	});

	test("a negative descriptor is EBADF", () => {
		const results = probe(["close", -1], ["fstat", -1], ["poll", [{ fd: -5, events: 1 }], 0], ["setns", -1, 0]);
		expect(results.map((each) => each.error.code)).toEqual(["EBADF", "EBADF", "EBADF", "EBADF"]);
	});
});

describe("text", () => {
	test("is UTF-8 outside; a lone surrogate becomes U+FFFD", () => {
		const results = probe(["encodeUtf8", "aä€😀"], ["encodeUtf8", "x\ud800y"]);
		expect(results.map(text)).toEqual(["aä€😀", "x\ufffdy"]);
	});

	test("every byte that belongs to no character becomes U+FFFD, as in Go", () => {
		// A cut-off euro sign, an encoded surrogate, an overlong slash, a lone continuation byte.
		const cases = { "61e28262": "a\ufffd\ufffdb", eda080: "\ufffd\ufffd\ufffd", c0af: "\ufffd\ufffd", "80": "\ufffd" };
		const results = probe(...Object.keys(cases).map((bytes) => ["decodeUtf8", { hex: bytes }]));
		expect(results).toEqual(Object.values(cases));
		expect(probe(["decodeUtf8", hex("aä€😀\0b")], ["decodeUtf8", hex("")])).toEqual(["aä€😀\0b", ""]);
	});
});

describe("formatJson", () => {
	const odd = '"\\/\b\f\n\r\t\v\0\u001f \x7f\x80é€\u2028\u2029\ufeff\uffff😀\ud800a\udc00\udfff';
	const values = [
		...[null, true, false, 0, -1, 2 ** 31, -(2 ** 53), 1.5, 1e21, 1e-7, "", odd, {}, [], [[], {}], { "": [{}] }],
		{ b: 1, a: { [odd]: odd, 10: "ten", 9: "nine", "-1": null }, list: [odd, [1, { x: [2] }], false] },
		JSON.parse(`{"__proto__": {"toJSON": 1, "constructor": "x"}, "length": 3}`),
		JSON.parse(`${"[".repeat(100)}${"]".repeat(100)}`),
		...fc.sample(fc.jsonValue({ stringUnit: "binary" }), { numRuns: 200, seed: SEED }),
	];

	test.each([0, 1, 4, 10])("writes what JSON.stringify does, indented by %d", (indent) => {
		const texts = probe(...values.map((value) => ["formatJson", value, indent]));
		expect(texts).toEqual(values.map((value) => JSON.stringify(value, null, indent)));
	});

	test("leaves out what is undefined", () => {
		const missing = { result: 0, key: "none" };
		const [, text, none] = probe(
			["pid"],
			["formatJson", { a: missing, b: 1, c: missing, d: [] }, 0],
			["formatJson", { a: missing }, 4],
		);
		expect([text, none]).toEqual(['{"b":1,"d":[]}', "{}"]);
	});
});

describe("netlink attributes", () => {
	/** A message of these attributes after a struct of four bytes. */
	function message(type: number, sequence: number, ...attributes: [type: number, payload: number[]][]): Buffer {
		const list = attributes.map(([type, payload]) => {
			const bytes = Buffer.alloc(4 + ((payload.length + 3) & ~3));
			bytes.writeUInt16LE(4 + payload.length, 0);
			bytes.writeUInt16LE(type, 2);
			bytes.set(payload, 4);
			return bytes;
		});
		const bytes = Buffer.concat([Buffer.alloc(20), ...list]);
		bytes.writeUInt32LE(bytes.length, 0);
		bytes.writeUInt16LE(type, 4);
		bytes.writeUInt32LE(sequence, 8);
		return bytes;
	}
	/** Type 1 as an address, 2 as a number, 3 as a place. */
	const wanted = { hex: "010102000302" };
	const rows = (bytes: Buffer, at = 0) => ["attributeRows", { hex: bytes.toString("hex") }, at, 4, wanted];

	test("of a run of messages, up to another type, request or family", () => {
		const first = message(24, 7, [1, [10, 1, 2, 3]], [2, [1, 0, 0, 0]], [9, []]);
		const second = message(24, 7, [0x4003, [5]], [1, [10, 1, 2, 4]], [1, [10, 1, 2, 5]]);
		const otherFamily = Buffer.from(message(24, 7));
		otherFamily[16] = 10;
		const start = first.length + second.length;
		const expected = [16, "10.1.2.3", 1, null, first.length + 16, "10.1.2.5", null, 8, start];
		for (const after of [message(3, 7), message(24, 8), otherFamily, Buffer.from([200, 0, 0, 0]), Buffer.alloc(0)]) {
			expect(probe(rows(Buffer.concat([first, second, after])))).toEqual([expected]);
		}
	});

	test("of a wrong length are EINVAL", () => {
		const results = probe(
			rows(message(24, 7, [1, [10, 1, 2]])),
			rows(message(24, 7, [2, [1, 0]])),
			["formatAddress", { hex: "0a010203" }, 1, 3],
			["formatAddress", { hex: "00".repeat(20) }, 0, 20],
		);
		expect(results.map((each) => each.error?.code)).toEqual(["EINVAL", "EINVAL", "EINVAL", "EINVAL"]);
	});

	test("of any bytes at all give an answer", () => {
		const chance = randomNumbers(20_261_126);
		const bytes = Array.from({ length: 2000 }, () => {
			const whole = message(
				chance(3),
				7,
				[chance(5), [chance(256), 1, 2, 3]],
				[chance(5), Array(chance(20)).fill(255)],
			);
			const cut = Buffer.concat([whole, whole]).subarray(0, chance(2 * whole.length));
			for (let times = chance(4); times > 0 && cut.length > 0; times--) cut[chance(cut.length)] = chance(256);
			return cut;
		});
		const calls = bytes.map((each) => rows(each, chance(2) === 0 ? 0 : chance(each.length + 1)));
		// The calls are one argument of the process.
		const answers = Array.from({ length: 8 }, (_, part) => probe(...calls.slice(part * 250, part * 250 + 250))).flat();
		// A TypeError where there are fewer bytes than the struct has.
		const isRefusal = ({ error }: Result) => error?.code === "EINVAL" || error?.name === "TypeError";
		expect(answers.filter((each) => !Array.isArray(each) && !isRefusal(each))).toEqual([]);
		expect(answers.some((each) => Array.isArray(each) && each.length >= 5)).toBe(true);
	});
});

describe("files", () => {
	test("are written and read whole, however large", () => {
		const path = join(directory, "large");
		const size = 5_000_000;
		const results = probe(
			["openat", AT_FDCWD, path, O_RDWR_CREAT, 0o640],
			["write", result(0), { repeat: "01234", times: size / 5 }],
			["write", result(0), "ä"],
			["fsync", result(0)],
			["fchmod", result(0), 0o600],
			["fstat", result(0)],
			["readFile", path, size + 2],
			["readFile", path, size],
			["openat", AT_FDCWD, path, O_RDONLY, 0],
			["read", result(8), 7],
			["readAll", result(8), size],
			["read", result(8), 10],
		);
		expect(readFileSync(path, "utf8")).toBe(`${"01234".repeat(size / 5)}ä`);
		expect(results[5]).toMatchObject({ size: size + 2, mode: 0o100600 });
		expect(results[6].length).toBe(size + 2);
		expect(results[7].error).toMatchObject({ code: "EFBIG", path });
		expect(text(results[9])).toBe("0123401");
		expect(results[10].length).toBe(size + 2 - 7);
		expect(results[11].length).toBe(0);
	});

	test("are read without waiting: what is no file is an error, also where somebody might write", () => {
		const [silent, open] = [join(directory, "silent"), join(directory, "open")];
		for (const path of [silent, open]) execFileSync("mkfifo", [path]);
		const writer = openSync(open, constants.O_RDWR);
		try {
			const results = probe(
				["readFile", silent, 10],
				["readFileIfPresent", silent, 10],
				["readFile", open, 10],
				["readFile", directory, 10],
				["readFile", "/dev/zero", 16 << 20],
				["readFile", "/proc/sys/kernel/random/boot_id", 100],
			);
			expect(results.pop().length).toBe(37);
			expect(results.map(({ error }: { error: { code: string } }) => error.code)).toEqual([
				"ENXIO",
				"ENXIO",
				"ENXIO",
				"EISDIR",
				"EFBIG",
			]);
			expect(results[2].error).toMatchObject({ call: "read", path: open });
		} finally {
			closeSync(writer);
		}
	});

	test("get a new name that no other has", () => {
		const at = (name: string) => join(directory, name);
		for (const name of ["first", "second"]) writeFileSync(at(name), name);
		const results = probe(
			["renameNew", AT_FDCWD, at("first"), AT_FDCWD, at("new")],
			["renameNew", AT_FDCWD, at("second"), AT_FDCWD, at("new")],
			["renameNew", AT_FDCWD, at("missing"), AT_FDCWD, at("newer")],
		);
		expect(results.slice(0, 2)).toEqual([true, false]);
		expect(results[2].error).toMatchObject({ code: "ENOENT" });
		expect([readFileSync(at("new"), "utf8"), readFileSync(at("second"), "utf8")]).toEqual(["first", "second"]);
	});

	test("take the time of change that they are given, to the millisecond, and keep that of access", () => {
		const path = join(directory, "dated");
		writeFileSync(path, "");
		const access = statSync(path).atimeMs;
		const results = probe(
			["setModified", AT_FDCWD, path, 1_234_567_890_123],
			["statat", AT_FDCWD, path, true],
			["setModified", AT_FDCWD, join(directory, "missing"), 0],
			["setModified", AT_FDCWD, path, 0.5],
		);
		expect(results[1].mtimeMs).toBe(1_234_567_890_123);
		expect(statSync(path).atimeMs).toBe(access);
		expect(results[2].error).toMatchObject({ code: "ENOENT", call: "utimensat" });
		expect(results[3].error.message).toContain("argument 3 must be an integer");
	});

	test("are told apart by what they are, not by their names", () => {
		const [path, link, other] = ["same", "same-link", "same-other"].map((name) => join(directory, name)) as [
			string,
			string,
			string,
		];
		for (const each of [path, other]) writeFileSync(each, "");
		symlinkSync(path, link);
		const opened = ["openat", AT_FDCWD, path, O_RDONLY, 0];
		const same = probe(
			opened,
			opened,
			["isSameFile", result(0), result(1)],
			["isSameFile", result(0), link],
			["isSameFile", path, link],
		);
		expect(same.slice(2)).toEqual([true, true, true]);
		const different = probe(
			opened,
			["isSameFile", result(0), other],
			["isSameFile", path, join(directory, "missing")],
			["isSameFile", join(path, "below"), join(path, "below")],
			["isSameFile", path, `${directory}/${"n".repeat(256)}`],
			["isSameFile", -1, path],
		);
		expect(different.slice(1, 4)).toEqual([false, false, false]);
		expect(different[4].error).toMatchObject({ code: "ENAMETOOLONG", call: "stat" });
		expect(different[5].error).toMatchObject({ code: "EBADF" });
	});

	test("of size zero that have content, as in procfs, are read to their end", () => {
		const [file] = probe(["readFile", "/proc/self/cmdline", 100_000]);
		expect(text(file)).toContain(executable);
	});

	test("names are made, moved, linked, listed and removed", () => {
		const at = (name: string) => join(directory, name);
		const results = probe(
			["mkdirat", AT_FDCWD, at("d"), 0o755],
			["openat", AT_FDCWD, at("d"), O_RDONLY, 0],
			["openat", result(1), "a", O_RDWR_CREAT, 0o600],
			["linkat", result(1), "a", result(1), "b"],
			["renameat", result(1), "a", AT_FDCWD, at("d/c")],
			["readDirectory", at("d")],
			["statat", result(1), "b", false],
			["fstat", result(2)],
			["unlinkat", result(1), "b", 0],
			["unlinkat", result(1), "c", 0],
			["readDirectory", at("d")],
			["unlinkat", AT_FDCWD, at("d"), 0x200],
			["readDirectory", at("d")],
			["unlinkat", AT_FDCWD, at("d"), 0x200],
			["statat", AT_FDCWD, at("d"), true],
			["statat", AT_FDCWD, "/proc/self/exe/below", true],
			["readDirectoryIfPresent", at("d")],
			["readDirectoryIfPresent", "/proc/self/exe"],
			["readlinkIfPresent", AT_FDCWD, at("d")],
		);
		expect(results[5].sort()).toEqual(["b", "c"]);
		expect(results[6]).toMatchObject({ ino: results[7].ino, dev: results[7].dev });
		expect(results[10]).toEqual([]);
		expect(results[12].error).toMatchObject({ code: "ENOENT", path: at("d") });
		// What is not there is an answer, not a failure.
		expect([results[8], results[11], results[13]]).toEqual([true, true, false]);
		expect(results.slice(14)).toEqual([null, null, null, null, null]);
	});

	test("links are read, or followed where asked", () => {
		symlinkSync("/proc/self/ns/net", join(directory, "link"));
		const results = probe(
			["readlinkat", AT_FDCWD, join(directory, "link")],
			["statat", AT_FDCWD, join(directory, "link"), false],
			["statat", AT_FDCWD, join(directory, "link"), true],
			["openat", AT_FDCWD, join(directory, "link"), O_RDONLY, 0],
			["fileSystemType", result(3)],
			["readlinkIfPresent", AT_FDCWD, join(directory, "link")],
		);
		expect(results[0]).toBe("/proc/self/ns/net");
		expect(results[1].mode & 0o170000).toBe(0o120000);
		expect(results[2].mode & 0o170000).toBe(0o100000);
		expect(results[4]).toBe(0x6e736673);
		expect(results[5]).toBe(results[0]);
	});

	test("a large directory is listed whole", () => {
		const names = Array.from({ length: 2000 }, (_, n) => `a-name-that-takes-some-room-${n}`);
		const many = mkdtempSync(join(directory, "many-"));
		for (const name of names) writeFileSync(join(many, name), "");
		expect(probe(["readDirectory", many])[0].sort()).toEqual(names.sort());
	});
});

describe("flock", () => {
	const open = (path: string) => ["openat", AT_FDCWD, path, O_RDWR_CREAT, 0o600];
	/** The steps with a file that is open twice: results 0 and 1. */
	const probeTwo = (name: string, ...steps: Parameters<typeof probe>) =>
		probe(open(join(directory, name)), open(join(directory, name)), ...steps);

	test("takes a free lock, shares a shared one, and tries once when the deadline is 0", () => {
		const results = probeTwo(
			"lock",
			["flock", result(0), LOCK_SH, 0],
			["flock", result(1), LOCK_SH, 0],
			["flock", result(1), LOCK_EX, 0],
			["flock", result(0), LOCK_UN, 0],
			["flock", result(1), LOCK_EX, 0],
			["flock", result(1), 77, 0],
		);
		expect(results.slice(2, 7)).toEqual([true, true, false, true, true]);
		expect(results[7].error.code).toBe("EINVAL");
	});

	test("gives up after the deadline, not before", () => {
		const results = probeTwo(
			"busy",
			["flock", result(0), LOCK_EX, 0],
			["monotonicMs"],
			["flock", result(1), LOCK_EX, 120],
			["monotonicMs"],
			// The timer is gone: nothing interrupts (or ends) what comes after.
			["sleepMs", 30],
			["flock", result(1), LOCK_EX, 0],
		);
		expect(results[4]).toBe(false);
		expect(results[5] - results[3]).toBeGreaterThanOrEqual(120);
		expect(results[7]).toBe(false);
	});

	test("waits in the kernel's queue and gets the lock when it is free", async () => {
		const path = join(directory, "queue");
		const holder = spawn("flock", [path, "cat"], { stdio: ["pipe", "ignore", "inherit"] });
		const taken = () => probe(open(path), ["flock", result(0), LOCK_EX, 0])[1] === false;
		await until("the other program holds the lock", taken);
		const waiter = probeLater(open(path), ["flock", result(0), LOCK_EX, 40_000]);
		const queued = () => new RegExp(`-> FLOCK .* ${waiter.process.pid} `).test(readFileSync("/proc/locks", "utf8"));
		await until("the probe is queued in /proc/locks", queued);
		holder.stdin.end();
		expect((await waiter.results)[1]).toBe(true);
	});
});

describe("spawn", () => {
	const program = (path: string, args: string[], more: object = {}) => [
		"spawn",
		{ path, args, variables: {}, stdin: hex(""), deadlineMs: 40_000, maxOutput: 100_000_000, ...more },
	];
	const shell = (script: string, more: object = {}) => program("/bin/sh", ["sh", "-c", script], more);

	test("gives arguments, our environment with other variables in it, and returns stdout and status", () => {
		const calls = [
			program("/bin/sh", ["name", "-c", 'echo "$0 $1 $A"; env | grep -v PWD; exit 3', "zero", "one"], {
				variables: { A: "b c" },
			}),
		];
		const env = { PATH: "/usr/bin:/bin", A: "x", AB: "y" };
		const [ended] = JSON.parse(run(["probe", JSON.stringify(calls)], { env }).stdout);
		expect(ended).toMatchObject({ status: 3, signal: null, timedOut: false });
		expect(
			text(ended.stdout)
				.split("\n")
				.filter((line) => !line.startsWith("_="))
				.sort(),
		).toEqual(["", "A=b c", "AB=y", "PATH=/usr/bin:/bin", "zero one b c"]);
	});

	test("passes megabytes through a program that reads and writes at the same time", () => {
		const [ended] = probe(program("/bin/cat", ["cat"], { stdin: { repeat: "0123456789", times: 400_000 } }));
		expect(ended).toMatchObject({ status: 0, stdout: { length: 4_000_000 } });
	});

	test("a program need not read its input", () => {
		const [ended] = probe(shell("exec 0<&-; echo done", { stdin: { repeat: "x", times: 3_000_000 } }));
		expect(ended).toMatchObject({ status: 0, timedOut: false });
		expect(text(ended.stdout)).toBe("done\n");
	});

	test.each([
		["that keeps stdout open", "echo begun; exec sleep 600"],
		["that has closed stdout", "echo begun; exec sleep 600 >&-"],
	])("kills a program %s at the deadline, and leaves no zombie", (_, script) => {
		const [ended, children] = probe(shell(script, { deadlineMs: 2000 }), [
			"readFile",
			"/proc/thread-self/children",
			100,
		]);
		expect(ended).toMatchObject({ status: null, signal: 9, timedOut: true });
		expect(text(ended.stdout)).toBe("begun\n");
		expect(text(children)).toBe("");
	});

	test("more output than allowed is EFBIG, and the end of the program", () => {
		const [ended] = probe(shell("exec yes", { maxOutput: 10_000 }));
		expect(ended.error).toMatchObject({ code: "EFBIG", call: "spawn", path: "/bin/sh" });
	});

	test("passes stderr through", () => {
		const ended = run(["probe", JSON.stringify([shell("echo to stderr >&2")])]);
		expect(ended.stderr).toBe("to stderr\n");
	});

	test("a program may die of SIGPIPE again, and has no signal blocked", () => {
		const [status] = probe(shell("grep -E 'Sig(Blk|Ign)' /proc/self/status"));
		const [, blocked, ignored] = /SigBlk:\t(\w+)\nSigIgn:\t(\w+)/.exec(text(status.stdout)) ?? [];
		expect(BigInt(`0x${blocked}`)).toBe(0n);
		const SIGPIPE = 13n;
		expect(BigInt(`0x${ignored}`) & (1n << (SIGPIPE - 1n))).toBe(0n);
	});

	test("reports the signal that ended a program", () => {
		expect(probe(shell("kill -TERM $$"))[0]).toMatchObject({ status: null, signal: 15, timedOut: false });
	});

	test("works where SIGCHLD was ignored by the caller", () => {
		const calls = JSON.stringify([shell("exit 5")]);
		const outer = spawnSync("bash", ["-c", `trap '' CHLD; exec "$0" probe "$1"`, executable, calls]);
		expect(JSON.parse(outer.stdout.toString())[0].status).toBe(5);
	});

	test("what cannot be started is an error with the path; a script that is being written is ETXTBSY", () => {
		const busy = join(directory, "busy-program");
		copyFileSync("/bin/true", busy);
		const writer = openSync(busy, "r+");
		const results = probe(program("/nowhere/x", ["x"]), program("/etc/passwd", ["x"]), program(busy, ["x"]));
		closeSync(writer);
		expect(results.map((each) => each.error.code)).toEqual(["ENOENT", "EACCES", "ETXTBSY"]);
		expect(results[0].error).toMatchObject({ call: "execve", path: "/nowhere/x" });
	});
});

describe("namespaces and sockets", () => {
	const CLONE_NEWNET = 0x40000000;
	const AF_UNIX = 1;
	const SOCK_STREAM = 1;
	const SOCK_DGRAM = 2;
	const POLLIN = 1;
	const abstract = (name: string) => ({ hex: `0100${Buffer.from(`\0berth-${process.pid}-${name}`).toString("hex")}` });

	test("enter a new network namespace and come back", () => {
		const own = ["readlinkat", AT_FDCWD, "/proc/self/ns/net"];
		const results = probe(
			own,
			["openat", AT_FDCWD, "/proc/self/ns/net", O_RDONLY, 0],
			["unshare", CLONE_NEWNET],
			own,
			["setns", result(1), CLONE_NEWNET],
			own,
			// The wrong kind of namespace.
			["setns", result(1), 0x20000000],
		);
		expect(results[3]).toMatch(/^net:\[\d+\]$/);
		expect(results[3]).not.toBe(results[0]);
		expect(results[5]).toBe(results[0]);
		expect(results[6].error).toMatchObject({ code: "EINVAL", call: "setns" });
	});

	test("ask the kernel by netlink, and learn a message's real length before reading it", () => {
		const netlink = (pid: string) => ({ hex: `10000000${pid}00000000` });
		// struct nlmsghdr and struct ifinfomsg: RTM_GETLINK for interface 1, request only.
		const request = { hex: "20000000120001000700000000000000" + "00000000010000000000000000000000" };
		const MSG_PEEK = 2;
		const MSG_TRUNC = 0x20;
		const results = probe(
			["unshare", CLONE_NEWNET],
			["socket", 16, 3, 0],
			["bind", result(1), netlink("00000000")],
			["sendTo", result(1), request, 0, netlink("00000000")],
			["poll", [{ fd: result(1), events: POLLIN }], 20_000],
			["receive", result(1), 16, MSG_PEEK | MSG_TRUNC],
			["receive", result(1), 65_536, 0],
			["socketName", result(1)],
			["setSocketOption", result(1), 270, 11, 1],
			["getSocketOption", result(1), 270, 11, 16],
		);
		expect(results[3]).toBe(32);
		expect(results[4]).toEqual([POLLIN]);
		const [peeked, message] = [results[5], results[6]];
		expect(peeked.data.length).toBe(16);
		expect(peeked.length).toBe(message.length);
		expect(message.data.length).toBe(message.length);
		// RTM_NEWLINK, sequence 7, from the kernel.
		expect(message.data.hex.slice(8, 12)).toBe("1000");
		expect(message.data.hex.slice(16, 24)).toBe("07000000");
		expect(message.address).toEqual({ hex: "100000000000000000000000", length: 12 });
		expect(results[7].hex.slice(0, 4)).toBe("1000");
		expect(results[9]).toEqual({ hex: "01000000", length: 4 });
	});

	test("streams: listen, connect, accept, and EPIPE when the other side is gone", () => {
		const results = probe(
			["socket", AF_UNIX, SOCK_STREAM, 0],
			["bind", result(0), abstract("stream")],
			["listen", result(0), 1],
			["socket", AF_UNIX, SOCK_STREAM, 0],
			["connect", result(3), abstract("stream")],
			["accept", result(0)],
			["send", result(3), hex("hello"), 0],
			["receive", result(5), 100, 0],
			["close", result(3)],
			["receive", result(5), 100, 0],
			["write", result(5), "too late"],
			["socket", AF_UNIX, SOCK_STREAM, 0],
			["connect", result(11), abstract("nobody")],
		);
		expect(text(results[7].data)).toBe("hello");
		expect(results[9]).toMatchObject({ length: 0, data: { length: 0 } });
		expect(results[10].error).toMatchObject({ code: "EPIPE", call: "write" });
		expect(results[12].error).toMatchObject({ code: "ECONNREFUSED", call: "connect" });
	});

	test("poll returns what happened per entry, and zeroes on time-out", () => {
		const results = probe(
			["socket", AF_UNIX, SOCK_DGRAM, 0],
			["bind", result(0), abstract("poll")],
			["socket", AF_UNIX, SOCK_DGRAM, 0],
			[
				"poll",
				[
					{ fd: result(0), events: POLLIN },
					{ fd: result(2), events: POLLIN },
				],
				0,
			],
			["monotonicMs"],
			["poll", [{ fd: result(0), events: POLLIN }], 50],
			["monotonicMs"],
			["sendTo", result(2), { repeat: "x", times: 60_000 }, 0, abstract("poll")],
			[
				"poll",
				[
					{ fd: result(2), events: POLLIN },
					{ fd: result(0), events: POLLIN },
				],
				-1,
			],
			["receive", result(0), 1 << 20, 0],
			["receive", result(0), 10, 0x40],
		);
		expect(results[3]).toEqual([0, 0]);
		expect(results[5]).toEqual([0]);
		expect(results[6] - results[4]).toBeGreaterThanOrEqual(50);
		expect(results[8]).toEqual([0, POLLIN]);
		expect(results[9]).toMatchObject({ length: 60_000, data: { length: 60_000 } });
		expect(results[10].error.code).toBe("EAGAIN");
	});
});

describe("time and chance", () => {
	test("the clocks are the kernel's", () => {
		const [before, wall] = [Number(process.hrtime.bigint()) / 1e6, Date.now()];
		const [monotonic, realtime, , later] = probe(["monotonicMs"], ["realtimeMs"], ["sleepMs", 20], ["monotonicMs"]);
		expect(monotonic).toBeGreaterThan(before);
		expect(monotonic).toBeLessThan(Number(process.hrtime.bigint()) / 1e6);
		expect(realtime).toBeGreaterThanOrEqual(wall);
		expect(realtime).toBeLessThanOrEqual(Date.now() + 1);
		expect(later - monotonic).toBeGreaterThanOrEqual(20);
	});

	test("random bytes differ", () => {
		const [none, one, other] = probe(["random", 0], ["random", 32], ["random", 32]);
		expect(none.length).toBe(0);
		expect([one.length, other.length]).toEqual([32, 32]);
		expect(one.hex).not.toBe(other.hex);
	});
});
