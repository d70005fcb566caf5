/**
 * What a caller may hand a plugin beside a configuration: descriptors of every sort, limits, another name, any
 * environment. Whatever it is, there is one answer, and an ADD that failed holds nothing.
 */
import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from "node:child_process";
import {
	chmodSync,
	closeSync,
	constants,
	copyFileSync,
	linkSync,
	mkdirSync,
	mkdtempSync,
	openSync,
	readFileSync,
	readSync,
	rmSync,
	symlinkSync,
	writeFileSync,
	writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { binaries } from "../lab/executables.ts";
import { compileC } from "../lab/fixture-executable.ts";
import { ENV } from "../lab/ipam.ts";
import { until } from "../lab/until.ts";

const PATH = "/usr/sbin:/usr/bin:/sbin:/bin";
let directory: string;
beforeEach(() => {
	directory = mkdtempSync(join(tmpdir(), "berth-around-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const ours = (name: string): string => join(binaries, name);
const config = (more: object = {}): string =>
	JSON.stringify({
		cniVersion: "1.1.0",
		name: "net",
		ipam: { type: "host-local", dataDir: directory, subnet: "10.1.2.0/24" },
		...more,
	});
/** The addresses that the store holds. */
const held = (): string[] => {
	const files = spawnSync("ls", [join(directory, "net")], { encoding: "utf8" }).stdout.split("\n");
	return files.filter((name) => /^[0-9.]+$/.test(name));
};

/** Runs a shell command line in which "$0" is host-local, and its configuration is on stdin. */
function shell(line: string, input = config(), env: Record<string, string> = {}) {
	return spawnSync("/bin/sh", ["-c", line, ours("host-local")], {
		env: { PATH, ...ENV, ...env },
		input,
		encoding: "utf8",
		timeout: 50_000,
	});
}

/** proc(5): S where a process waits for something, Z where it has ended. */
const stateOf = (pid: number): string | undefined => /\) (\w)/.exec(readFileSync(`/proc/${pid}/stat`, "utf8"))?.[1];

describe("a non-blocking pipe", () => {
	/** A pipe that is non-blocking for whoever gets `fd`. */
	function pipe(flags: number): { fd: number; ours: number } {
		const path = join(directory, `pipe-${flags}`);
		spawnSync("mkfifo", [path]);
		// Open for both, so that neither open waits for the other end.
		const own = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
		return { ours: own, fd: openSync(path, flags | constants.O_NONBLOCK) };
	}

	/** Node makes the first three descriptors of a child blocking, the fourth not. */
	const start = (redirect: string, stdio: SpawnOptions["stdio"] & unknown[]): ChildProcess =>
		spawn("/bin/sh", ["-c", `exec "$0" ${redirect}`, ours("host-local")], { env: ENV, stdio });

	it("as stdin is waited for, also in the middle of a configuration", async () => {
		const { fd, ours: end } = pipe(constants.O_RDONLY);
		const child = start("<&3 3<&-", ["ignore", "pipe", "inherit", fd]);
		closeSync(fd);
		let stdout = "";
		child.stdout!.on("data", (text) => {
			stdout += text;
		});
		const ended = new Promise((resolve) => child.on("close", resolve));
		for (const part of config().match(/.{1,40}/gs)!) {
			await until("it waits for more", () => stateOf(child.pid!) !== "R");
			writeSync(end, part);
		}
		closeSync(end);
		expect(await ended, stdout).toBe(0);
		expect(JSON.parse(stdout).ips).toHaveLength(1);
	});

	/** Returns how many bytes it has room for. */
	function fill(end: number): number {
		let filled = 0;
		try {
			for (;;) filled += writeSync(end, "x".repeat(4096));
		} catch (error) {
			expect(error).toMatchObject({ code: "EAGAIN" });
			return filled;
		}
	}

	it("as stderr that is full and that nobody reads holds nothing up", async () => {
		const { fd, ours: end } = pipe(constants.O_WRONLY);
		fill(end);
		const script = 'exec "$0" 2>&3 3>&-';
		const env = { ...ENV, CNI_COMMAND: "GC" };
		const child = spawn("/bin/sh", ["-c", script, ours("host-local")], {
			env,
			stdio: ["pipe", "ignore", "ignore", fd],
		});
		closeSync(fd);
		child.stdin!.end(config());
		// It would say that there is no list of attachments.
		expect(await new Promise((resolve) => child.on("close", resolve))).toBe(0);
		closeSync(end);
	});

	it("as stdout is waited for where it is full", async () => {
		const { fd, ours: end } = pipe(constants.O_WRONLY);
		const filled = fill(end);
		const child = start(">&3 3>&-", ["pipe", "ignore", "inherit", fd]);
		closeSync(fd);
		const ended = new Promise((resolve) => child.on("close", resolve));
		child.stdin!.end(config());
		await until("the address is held, and it waits", () => held().length > 0 && stateOf(child.pid!) !== "R");
		let text = "";
		const chunk = Buffer.alloc(1 << 20);
		await until("the answer is whole", () => {
			try {
				text += chunk.toString("latin1", 0, readSync(end, chunk));
			} catch (error) {
				expect(error).toMatchObject({ code: "EAGAIN" });
			}
			return text.length > filled && text.endsWith("}");
		});
		expect(await ended).toBe(0);
		expect(JSON.parse(text.slice(filled)).ips).toHaveLength(1);
		closeSync(end);
	});
});

describe("a terminal", () => {
	it("gives the configuration and takes the answer", () => {
		const { stdout } = spawnSync("script", ["-qec", ours("host-local"), "/dev/null"], {
			env: { PATH, ...ENV },
			// End of file at the beginning of a line.
			input: `${config()}\n\u0004`,
			encoding: "utf8",
			timeout: 50_000,
		});
		expect(stdout).toContain('"address": "10.1.2.2/24"');
	});
});

describe("an ADD whose answer cannot be written", () => {
	it.each([
		["is closed", 'exec "$0" >&-', "EBADF"],
		["is open for reading only", 'exec "$0" 1</dev/null', "EBADF"],
		["is a directory", 'exec "$0" 1</', "EBADF"],
		["is full", 'exec "$0" >/dev/full', "ENOSPC"],
		["is a pipe that nobody reads", '{ "$0"; echo $? >&2; exit 1; } | exec true', "EPIPE"],
	])("as stdout %s fails, and no address stays", (_, line, code) => {
		// With the reader gone, whether it is in time is chance: then it is done again.
		for (let again = 0; again < 50; again++) {
			const { stdout, stderr } = shell(line);
			expect(stdout).toBe("");
			if (stderr === "0\n") {
				expect(shell('exec "$0"', config(), { CNI_COMMAND: "DEL" }).status).toBe(0);
				continue;
			}
			expect(stderr).toMatch(new RegExp(`^host-local: the answer cannot be written to stdout: .*\\(${code}\\)\\n`));
			expect(held()).toEqual([]);
			return;
		}
	});

	it("in whole, as the file that it goes to may not get longer, fails, and no address stays", () => {
		const { status, stderr } = shell(`exec prlimit --fsize=60 "$0" >${directory}/answer`);
		expect(status).toBe(1);
		expect(stderr).toContain("(EFBIG)");
		expect(held()).toEqual([]);
	});
});

describe("berth --version", () => {
	it("on a stdout, or a stderr too, that takes nothing is no crash", () => {
		for (const redirect of [">/dev/full", ">/dev/full 2>&1", ">&- 2>&-"]) {
			const { status } = spawnSync("/bin/sh", ["-c", `exec "$0" --version ${redirect}`, ours("berth")]);
			expect(status, redirect).toBe(1);
		}
	});
});

describe("a limit of the process", () => {
	const errorOf = (answer: ReturnType<typeof shell>): { code: number; msg: string; details?: string } => {
		expect(answer.status, answer.stderr).toBe(1);
		return JSON.parse(answer.stdout);
	};

	it("for its stack: deep nesting has an answer that names it", () => {
		const nested = `${'{"cniVersion":"1.0.0","name":"n","x":'}${"[".repeat(9000)}${"]".repeat(9000)}}`;
		for (const kilobytes of [100, 256, 768, 1024]) {
			const error = errorOf(shell(`exec prlimit --stack=${kilobytes * 1024} "$0"`, nested));
			expect(error.msg, `${kilobytes}`).toMatch(/out of stack: nested too deeply .*ulimit -s/);
		}
	});

	it("for its memory: a configuration that is too large has an answer that names it", () => {
		const lists = `{"name":"n","x":[${"[],".repeat(300_000)}1]}`;
		const error = errorOf(shell('exec prlimit --as=16000000 "$0"', lists));
		expect(error.msg).toMatch(/out of memory: .*ulimit -v|\(ENOMEM\)/);
		const many = `{"name":"n","x":[${"[],".repeat(4_000_000)}1]}`;
		expect(errorOf(shell('exec "$0"', many)).msg).toContain("out of memory: a call may use 256 MiB");
	});

	it("for open files: the error names it, and no address stays", () => {
		for (const files of [0, 3, 4]) {
			const error = errorOf(shell(`exec prlimit --nofile=${files} "$0"`));
			expect(error.msg).toContain("EMFILE");
			expect(error.details).toContain("ulimit -n");
			expect(held()).toEqual([]);
		}
	});

	it("for the size of files: the error names it, and no address stays", () => {
		for (const bytes of [0, 1, 7]) {
			expect(errorOf(shell(`exec prlimit --fsize=${bytes} "$0"`)).msg).toContain("file too large (EFBIG)");
			expect(held()).toEqual([]);
		}
	});
});

describe("a configuration of 10 MB that breaks off", () => {
	it("is told where", () => {
		const text = `{"name":"net","x":"${"x".repeat(10_000_000)}"`;
		expect(JSON.parse(shell('exec "$0"', text).stdout).msg).toContain("unexpected end of JSON input");
		const error = JSON.parse(shell('exec "$0"', `${text},}`).stdout);
		expect(error.msg).toContain("invalid character '}' looking for beginning of object key string (byte 10000021");
	});
});

describe("the executable under another name", () => {
	const VERSION = { env: { CNI_COMMAND: "VERSION" }, encoding: "utf8" } as const;

	it.each(["cnv-host-local", "host-local.prev", "a.static", "rdma.bak-1", "x-static.old", "static-sriov"])(
		"%s is that plugin",
		(name) => {
			const path = join(directory, name);
			copyFileSync(ours("berth"), path);
			const { status, stdout, stderr } = spawnSync(path, { ...VERSION, env: { CNI_COMMAND: "ADD" } });
			expect({ status, stderr }).toEqual({ status: 1, stderr: "" });
			expect(JSON.parse(stdout)).toMatchObject({ code: 4, msg: expect.stringContaining("CNI_CONTAINERID") });
			expect(spawnSync(path, VERSION).status).toBe(0);
		},
	);

	it("of several the longest is meant", () => {
		const about = (name: string): string => {
			const path = join(directory, name);
			linkOrCopy(path);
			return spawnSync(path, { env: {}, encoding: "utf8" }).stderr;
		};
		expect(about("cnv-host-local")).toMatch(/^CNI host-local plugin/);
		expect(about("host-local.static")).toMatch(/^CNI host-local plugin/);
		symlinkSync(ours("berth"), join(directory, "old-static"));
		expect(spawnSync(join(directory, "old-static"), { env: {}, encoding: "utf8" }).stderr).toMatch(
			/^CNI static plugin/,
		);
	});

	function linkOrCopy(path: string): void {
		try {
			linkSync(ours("berth"), path);
		} catch {
			copyFileSync(ours("berth"), path);
		}
	}

	it.each(["berth", "mystatic", "static2", "host-local-prev", "plugin"])("%s is told which names there are", (name) => {
		const path = join(directory, name);
		copyFileSync(ours("berth"), path);
		const { status, stdout, stderr } = spawnSync(path, { env: ENV, encoding: "utf8", input: config() });
		expect({ status, stderr }).toEqual({ status: 1, stderr: "" });
		expect(JSON.parse(stdout)).toMatchObject({ code: 4, msg: expect.stringContaining("host-local rdma sriov static") });
		// Without CNI_COMMAND it is a person who asks.
		expect(spawnSync(path, { env: {} }).status).toBe(2);
	});
});

describe("a main plugin named as IPAM plugin", () => {
	/**
	 * Directories in which sriov finds the delegate as this very executable, as a copy, and as a copy with another
	 * name.
	 */
	function places(): Record<string, { path: string; type: string }> {
		for (const name of ["same", "copied"]) mkdirSync(join(directory, name));
		for (const name of ["sriov", "rdma"]) {
			symlinkSync(ours(name), join(directory, "same", name));
			copyFileSync(ours(name), join(directory, "copied", name));
			copyFileSync(ours(name), join(directory, "copied", `cnv-${name}`));
		}
		return {
			"in process": { path: "same", type: "sriov" },
			executed: { path: "copied", type: "sriov" },
			"rdma in process": { path: "same", type: "rdma" },
			"under another name": { path: "copied", type: "cnv-sriov" },
			"rdma under another name": { path: "copied", type: "cnv-rdma" },
		};
	}

	it("is refused by code 7, and DEL and GC get over it", () => {
		for (const [what, { path, type }] of Object.entries(places())) {
			for (const verb of ["ADD", "CHECK", "STATUS", "DEL", "GC"]) {
				const { status, stdout, stderr } = spawnSync(
					"unshare",
					// Private state directories.
					["-m", "sh", "-c", 'mount -t tmpfs none /var/lib; exec "$0"', join(directory, "copied", type)],
					{
						env: { PATH, ...ENV, CNI_COMMAND: verb, CNI_PATH: join(directory, path) },
						input: config({
							ipam: { type },
							deviceID: "0000:00:00.0",
							prevResult: { cniVersion: "1.1.0" },
							"cni.dev/valid-attachments": [],
						}),
						encoding: "utf8",
						timeout: 50_000,
					},
				);
				const told = `${what}, ${verb}: ${stdout}${stderr}`;
				expect(stderr, told).not.toMatch(/ {4}at |uncaught/);
				if (verb === "DEL" || verb === "GC") expect(status, told).toBe(0);
				else
					expect(JSON.parse(stdout), told).toMatchObject({
						code: 7,
						msg: `"${type}" is a main plugin and gives no addresses`,
					});
			}
		}
	});
});

describe("an environment of any bytes", () => {
	const launcher = compileC("test/fixtures/environment/execve.c");

	function run(program: string, entries: readonly string[], input: string) {
		const file = join(directory, "entries");
		writeFileSync(file, Buffer.from(entries.map((entry) => `${entry}\0`).join(""), "latin1"));
		return spawnSync(launcher, [file, ours(program)], { input, encoding: "utf8", timeout: 50_000 });
	}

	const own = Object.entries(ENV).map(([name, value]) => `${name}=${value}`);

	it("of doubled names the first counts, as in Go", () => {
		const { status } = run("host-local", [...own, "CNI_CONTAINERID=c2", "CNI_COMMAND=DEL", "=X", "Y", ""], config());
		expect(status).toBe(0);
		expect(readFileSync(join(directory, "net/10.1.2.2"), "utf8")).toBe("c1\r\neth0");
	});

	it("goes to an executed delegate to the byte, but for the variables of the call", () => {
		const delegate = join(directory, "delegate");
		writeFileSync(delegate, `#!/bin/sh\ncat /proc/$$/environ >${directory}/environ\n`);
		chmodSync(delegate, 0o755);
		const odd = ["=X=1", "Y", "", "Z=\xff\xfe\x80", "A=1", "A=2", "\xc3=\xc3"];
		const entries = [...odd, ...own, `CNI_PATH=${directory}`, "CNI_NETNS="].filter(
			(entry) => !/^CNI_(COMMAND=A|PATH=\/no|NETNS=\/no)/.test(entry),
		);
		const config = JSON.stringify({ cniVersion: "1.0.0", name: "net", ipam: { type: "delegate" } });
		const { status, stdout } = run("sriov", [...entries, "CNI_COMMAND=DEL", "CNI_COMMAND=ADD"], config);
		expect({ status, stdout }).toEqual({ status: 0, stdout: "" });
		const got = readFileSync(join(directory, "environ"), "latin1").split("\0").slice(0, -1);
		expect(got).toEqual([...entries, "CNI_COMMAND=DEL", "CNI_COMMAND=ADD"]);
	});
});
