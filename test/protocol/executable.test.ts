/** The executable as a file: one, small, static, and in need of nothing. */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { builtBinaries, emulator } from "../lab/executables.ts";

const berth = join(builtBinaries, "berth");
let root: string;

beforeAll(() => {
	root = mkdtempSync(join(tmpdir(), "berth-chroot-"));
	copyFileSync(berth, join(root, "host-local"));
	if (emulator !== undefined) copyFileSync(emulator, join(root, "emulator"));
});
afterAll(() => rmSync(root, { recursive: true }));

const inChroot = (env: Record<string, string>, input = "") =>
	execa("/usr/sbin/chroot", [root, ...(emulator === undefined ? [] : ["/emulator"]), "/host-local"], {
		env,
		extendEnv: false,
		input,
	});

test("it is at most 4.0 MB, for arm64 4.3 MB: glibc is larger than musl", () => {
	expect(statSync(berth).size).toBeLessThanOrEqual(emulator === undefined ? 4_000_000 : 4_300_000);
});

test("it has no interpreter and no dynamic section: statically linked", () => {
	const elf = readFileSync(berth);
	const headers = Number(elf.readBigUInt64LE(32));
	const types = Array.from({ length: elf.readUInt16LE(56) }, (_, i) =>
		elf.readUInt32LE(headers + i * elf.readUInt16LE(54)),
	);
	const PT_LOAD = 1;
	const PT_DYNAMIC = 2;
	const PT_INTERP = 3;
	expect(types).toContain(PT_LOAD);
	expect(types).not.toContain(PT_DYNAMIC);
	expect(types).not.toContain(PT_INTERP);
});

test("every plugin is a hard link to it", () => {
	const { ino } = statSync(berth);
	for (const name of ["sriov", "host-local", "static", "rdma"])
		expect(statSync(join(builtBinaries, name)).ino).toBe(ino);
});

test("in an empty directory as its root it answers VERSION, and gives and takes addresses", async () => {
	expect(JSON.parse((await inChroot({ CNI_COMMAND: "VERSION" })).stdout).supportedVersions).toContain("1.1.0");
	const call = { CNI_CONTAINERID: "c1", CNI_NETNS: "/none", CNI_IFNAME: "eth0", CNI_PATH: "/" };
	const configuration = JSON.stringify({
		cniVersion: "1.1.0",
		name: "net",
		type: "host-local",
		ipam: { type: "host-local", subnet: "10.1.2.0/24", dataDir: "/state" },
	});
	const added = await inChroot({ ...call, CNI_COMMAND: "ADD" }, configuration);
	expect(JSON.parse(added.stdout).ips[0].address).toBe("10.1.2.2/24");
	expect((await inChroot({ ...call, CNI_COMMAND: "DEL" }, configuration)).stdout).toBe("");
});
