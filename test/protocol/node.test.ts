/** `berth node` and `metrics` on a machine that lacks something, or has a great deal. test/guest has real cards. */
import { spawn } from "node:child_process";
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { expect, test } from "vitest";
import { ours, scratchDirectory } from "../lab/ipam.ts";

const BERTH = ours("berth");

/** Runs a shell script in a mount namespace of its own; "$@" is the command. */
const shell = (script: string, ...args: string[]) =>
	execa("unshare", ["-m", "sh", "-euc", script, "sh", BERTH, ...args], { reject: false, stripFinalNewline: false });

const EMPTY_STATE = "mkdir -p /var/lib/cni; mount -t tmpfs none /var/lib/cni";
const NONE = ["-checkpoint", "/none"];

test("no card, no sysfs, no /proc: said, and the rest is shown", async () => {
	const none = await shell(`${EMPTY_STATE}; mount -t tmpfs none /sys; exec "$@"`, "node", ...NONE);
	expect([none.exitCode, none.stdout]).toEqual([0, expect.stringContaining("no PF: there is no network card")]);
	expect(none.stdout).toContain("not known: devices: there is no /sys/bus/pci/devices: is sysfs mounted");
	const blind = await shell(`${EMPTY_STATE}; mount -t tmpfs none /proc; exec "$@"`, "node", ...NONE);
	expect([blind.exitCode, blind.stderr]).toEqual([0, ""]);
	const metrics = await shell(`${EMPTY_STATE}; mount -t tmpfs none /sys; exec "$@"`, "metrics", "-");
	expect([metrics.exitCode, metrics.stderr]).toEqual([0, ""]);
});

test("not root: what root alone may see is named", async () => {
	const script = `${EMPTY_STATE}; mkdir -m 700 /var/lib/cni/sriov; exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"`;
	const { exitCode, stdout } = await shell(script, "node", ...NONE);
	expect(exitCode).toBe(0);
	expect(stdout).toMatch(/^not known: who has VFs: .*permission denied \(EACCES\)/m);
});

/** A card with `count` VFs as sysfs shows it, without a driver that would make interfaces. */
function card(root: string, count: number): void {
	const devices = join(root, "bus/pci/devices");
	const pf = join(devices, "0000:01:00.0");
	mkdirSync(join(pf, "net/eth9"), { recursive: true });
	for (const [name, text] of Object.entries({ sriov_totalvfs: 256, sriov_numvfs: count, class: "0x020000" })) {
		writeFileSync(join(pf, name), `${text}\n`);
	}
	for (let index = 0; index < count; index++) {
		const vf = vfAddress(index);
		mkdirSync(join(devices, vf));
		symlinkSync("../0000:01:00.0", join(devices, vf, "physfn"));
		symlinkSync(`../${vf}`, join(pf, `virtfn${index}`));
	}
}

const hex = (value: number): string => value.toString(16).padStart(2, "0");
const vfAddress = (index: number): string => `0000:02:${hex(index >> 3)}.${index & 7}`;

test("256 VFs and 1,000 records, damaged ones of every sort among them", async () => {
	const directory = scratchDirectory();
	card(join(directory, "sys"), 256);
	const state = join(directory, "cni/sriov");
	mkdirSync(join(state, "pci"), { recursive: true });
	const record = (index: number) => ({
		...{ name: "net", deviceID: vfAddress(index), OrigVfState: { HostIFName: "" } },
		berth: {
			containerID: `c${index}`,
			ifname: "net1",
			netns: `/run/netns/none-${index}`,
			bootId: "b",
			pod: `ns/p${index}`,
		},
	});
	for (let index = 0; index < 256; index++) writeFileSync(join(state, `c${index}-net1`), JSON.stringify(record(index)));
	for (let index = 256; index < 1000; index++) writeFileSync(join(state, `c${index}-net1`), "");
	mkdirSync(join(state, "lost-net1"));
	writeFileSync(join(state, "newer-net1"), '{"version": 99, "berth": []}');
	symlinkSync("/dev/zero", join(state, "endless-net1"));
	const mounts = `mount --bind ${directory}/sys /sys; mkdir -p /var/lib/cni; mount --bind ${directory}/cni /var/lib/cni`;
	const { stdout, stderr, exitCode } = await shell(`${mounts}; exec "$@"`, "node", "--json", ...NONE);
	expect(exitCode, stderr).toBe(1);
	const { pfs, marks } = JSON.parse(stdout);
	expect(pfs).toHaveLength(1);
	expect(pfs[0].vfs).toHaveLength(256);
	for (const [index, vf] of pfs[0].vfs.entries()) {
		expect(vf).toMatchObject({
			index,
			pci: vfAddress(index),
			state: "orphaned",
			holder: { pod: `ns/p${index}`, alive: false },
		});
	}
	expect(marks.length).toBeGreaterThanOrEqual(744);
	// Whoever stops reading ends it, without a word.
	const child = spawn("unshare", ["-m", "sh", "-euc", `${mounts}; exec "$@"`, "sh", BERTH, "node", ...NONE]);
	let said = "";
	child.stderr.on("data", (text) => {
		said += text;
	});
	child.stdout.destroy();
	await new Promise((resolve) => child.on("close", resolve));
	expect(said.replaceAll(/^.*passed over.*\n/gm, "")).toBe("");

	// A terminal of 60 columns has a paragraph for each VF.
	const narrow = `${mounts}; stty cols 60; exec "$@"`;
	const terminal = await execa(
		"script",
		["-qec", `unshare -m sh -euc '${narrow}' sh ${BERTH} node ${NONE.join(" ")}`, "/dev/null"],
		{ reject: false, stdin: "ignore" },
	);
	const lines = terminal.stdout.split("\r\n").filter((line) => /^[A-Z]+ {2}/.test(line));
	expect(lines).toContain("POD        ns/p7");
	expect(lines.every((line) => line.length <= 60)).toBe(true);
});

test("without /proc no sandbox is said to be gone, and berth heal frees nothing", async () => {
	const directory = scratchDirectory();
	card(join(directory, "sys"), 1);
	const state = join(directory, "cni/sriov");
	mkdirSync(join(state, "pci"), { recursive: true });
	// Go's: the boot that it is of is not asked for, and its marker tells the sandbox.
	const record = { name: "net", deviceID: vfAddress(0), OrigVfState: { HostIFName: "" } };
	writeFileSync(join(state, "c0-net1"), JSON.stringify(record));
	writeFileSync(join(state, "pci", vfAddress(0)), "/run/netns/living");
	const mounts = `mount --bind ${directory}/sys /sys; mount -t tmpfs none /var/lib; mkdir /var/lib/cni
mount --bind ${directory}/cni /var/lib/cni; mount -t tmpfs none /run; mkdir /run/netns; touch /run/netns/living
unshare -n sleep 60 >/dev/null 2>&1 & sleeper=$!
until [ "$(readlink /proc/$sleeper/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
mount --bind /proc/$sleeper/ns/net /run/netns/living; trap "kill $sleeper" EXIT; mount -t tmpfs none /proc`;
	const seen = await shell(`${mounts}; "$@"`, "node", "--json", ...NONE);
	const { pfs, notes } = JSON.parse(seen.stdout);
	expect(pfs[0].vfs[0]).toMatchObject({ state: "unknown", holder: { container: "c0", alive: null } });
	expect(pfs[0].vfs[0].marks).toEqual(["no driver is bound to it"]);
	expect(notes.join()).toContain("which sandboxes live: openat /proc/self/ns/net: no such file");
	const healed = await shell(`${mounts}; "$@"`, "heal", "--dry-run");
	expect([healed.exitCode, healed.stdout]).toEqual([1, ""]);
});

test("a PF whose driver is gone is marked", async () => {
	const directory = scratchDirectory();
	card(join(directory, "sys"), 2);
	rmSync(join(directory, "sys/bus/pci/devices/0000:01:00.0/net"), { recursive: true });
	const script = `${EMPTY_STATE}; mount --bind ${directory}/sys /sys; exec "$@"`;
	const { exitCode, stdout } = await shell(script, "node", ...NONE);
	expect(exitCode).toBe(1);
	expect(stdout).toContain("! PF 0000:01:00.0 has VFs, but no interface on the host (driver gone): ");
});
