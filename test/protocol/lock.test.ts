import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { fixtureExecutable } from "../lab/fixture-executable.ts";
import { call, ours } from "../lab/ipam.ts";

let executable: string;
let directory: string;
let path: string;
const holders: ChildProcess[] = [];

beforeAll(async () => {
	executable = await fixtureExecutable("lock");
});
beforeEach(() => {
	directory = mkdtempSync(join(tmpdir(), "berth-lock-"));
	path = join(directory, "vf.lock");
});
afterEach(() => {
	for (const holder of holders.splice(0)) holder.kill("SIGKILL");
	rmSync(directory, { recursive: true });
});

const tryLock = (): string => execFileSync(executable, ["lock"], { env: { LOCK_PATH: path }, encoding: "utf8" }).trim();

/** Holds the lock until it is killed. */
async function hold(env: Record<string, string>): Promise<number> {
	const script = `use Fcntl ":flock"; open(C, ">", "/proc/self/comm") and print C "sriov"; close C; open(F, ">", $ENV{LOCK}) and flock(F, LOCK_EX) or die; $| = 1; print "held\\n"; sleep 600`;
	const holder = spawn("perl", ["-e", script], {
		env: { PATH: process.env.PATH ?? "", LOCK: path, ...env },
		stdio: ["ignore", "pipe", "inherit"],
	});
	holders.push(holder);
	await once(holder.stdout!, "data");
	return holder.pid!;
}

test("a free lock is had", () => {
	expect(tryLock()).toBe("held");
});

test("a lock that is held is error 11, which names the holder's process and container", async () => {
	const pid = await hold({ CNI_COMMAND: "ADD", CNI_CONTAINERID: "1f3c" });
	expect(tryLock()).toBe(
		`11 time out while waiting to acquire exclusive lock on VF 0000:01:10.0: process ${pid} (sriov, ADD of container 1f3c) has held ${path} for 0.5 s`,
	);
});

test("a holder that is no CNI plugin is named by its process", async () => {
	const pid = await hold({});
	expect(tryLock()).toContain(`: process ${pid} (sriov) has held ${path}`);
});

test("who waits for the lock is not taken for its holder", async () => {
	const pid = await hold({ CNI_CONTAINERID: "holder" });
	const waiter = spawn("flock", [path, "true"], { env: { PATH: process.env.PATH ?? "", CNI_CONTAINERID: "waiter" } });
	holders.push(waiter);
	const waits = () =>
		execFileSync("sh", ["-c", `grep -c -- "-> FLOCK.* ${waiter.pid} " /proc/locks || true`], { encoding: "utf8" });
	for (let tries = 0; waits().trim() !== "1" && tries < 2000; tries++) execFileSync("true");
	expect(tryLock()).toContain(`process ${pid} (sriov, a verb of container holder)`);
});

test.each([
	["lockTimeoutMilliseconds", 50, "0.05 s"],
	["locktimeoutmilliseconds", 70, "0.07 s"],
])("%s is how long a call waits for a lock, here for that of the addresses", async (key, milliseconds, said) => {
	path = join(directory, "net", "lock");
	execFileSync("mkdir", [join(directory, "net")]);
	await hold({});
	const ipam = { type: "host-local", subnet: "10.1.2.0/24", dataDir: directory };
	for (const verb of ["ADD", "DEL"]) {
		const config = { cniVersion: "1.1.0", name: "net", type: "sriov", [key]: milliseconds, ipam };
		expect((await call(ours("host-local"), verb, { config })).json).toMatchObject({
			code: 11,
			msg: expect.stringContaining(`has held ${path} for ${said}`),
		});
	}
});

test.each([0, 600_001, "2s"])(
	"a lockTimeoutMilliseconds of %j is refused, and keeps no DEL from its work",
	async (each) => {
		const ipam = { type: "host-local", subnet: "10.1.2.0/24", dataDir: directory };
		const config = { cniVersion: "1.1.0", name: "net", type: "sriov", lockTimeoutMilliseconds: each, ipam };
		expect((await call(ours("host-local"), "ADD", { config })).json.msg).toContain("lockTimeoutMilliseconds must be");
		expect((await call(ours("host-local"), "DEL", { config })).status).toBe(0);
	},
);
