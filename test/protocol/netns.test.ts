/**
 * Network namespaces by path, and PCI devices by address.
 */
import { mkdirSync, mkdtempSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { NetlinkFixture, type Step } from "../fixtures/netlink/run.ts";
import { NetnsLab, netnsPath } from "../lab/netns-lab.ts";

const fixture = await NetlinkFixture.build();

class Directory {
	readonly path = mkdtempSync(join(tmpdir(), "berth-test-"));
	[Symbol.dispose](): void {
		rmSync(this.path, { recursive: true });
	}
}

test("code runs inside the namespace that is named, also nested, and comes back, also from an error", () => {
	using lab = new NetnsLab();
	const start = lab.add();
	const outer = lab.add();
	const inner = lab.add();
	const [seen, , same, different] = fixture.values(start, [
		["netnsRoundTrip", netnsPath(outer), netnsPath(inner)],
		["openNetns", netnsPath(outer)],
		["sameNetns", netnsPath(start), "/proc/self/ns/net"],
		["sameNetns", netnsPath(start), netnsPath(outer)],
	]);
	const [before, inOuter, inInner, back, thrown, after] = seen;
	expect([before, back, thrown]).toEqual([after, inOuter, "Error: thrown inside"]);
	expect(new Set([before, inOuter, inInner, readlinkSync("/proc/self/ns/net")]).size).toBe(4);
	expect([same, different]).toEqual([true, false]);
});

test("what is no network namespace is refused by name, with code 4", () => {
	using lab = new NetnsLab();
	using directory = new Directory();
	const stale = join(directory.path, "stale");
	writeFileSync(stale, "");
	const outcomes = fixture.run(lab.add(), [
		["openNetns", "/run/netns/no-such-pod"],
		["openNetns", `${stale}/below-a-file`],
		["openNetns", stale],
		["openNetns", "/proc/self/ns/mnt"],
	]);
	expect(outcomes.map((each) => each.error?.code)).toEqual([4, 4, 4, 4]);
	const messages = outcomes.map((each) => each.error!.message);
	expect(messages[0]).toBe('network namespace "/run/netns/no-such-pod" does not exist');
	expect(messages[1]).toBe(`network namespace "${stale}/below-a-file" does not exist`);
	expect(messages[2]).toMatch(/^".*stale" is not a network namespace: it is on a file system of type 0x[0-9a-f]+$/);
	expect(messages[3]).toBe('"/proc/self/ns/mnt" is a namespace, but not a network namespace');
});

const PF = "0000:3b:00.0";
const VF = "0000:3b:02.1";

/**
 * The second function of a card. Its offset is 237 and its stride 2, so that all but the first nine VFs are on the next
 * bus.
 */
const LARGE_PF = "0000:81:00.1";
const LARGE_PF_VFS = [
	...["81:1d.6", "81:1e.0", "81:1e.2", "81:1e.4", "81:1e.6", "81:1f.0", "81:1f.2", "81:1f.4", "81:1f.6"],
	...["82:00.0", "82:00.2", "82:00.4"],
].map((rest) => `0000:${rest}`);
/**
 * Where VF 12 of it would be, and an address between VF 10 and 11: physfn of both leads to the PF, which knows neither.
 */
const STRAY_VFS = ["0000:82:00.6", "0000:82:00.3"];

/**
 * A sysfs with a PF in switchdev mode and three VFs: with a netdev, with a virtio netdev, with a userspace driver. And
 * others.
 */
function fakeSysfs(root: string): void {
	const device = (pci: string) => join(root, "bus/pci/devices", pci);
	const file = (path: string, text: string) => {
		mkdirSync(join(path, ".."), { recursive: true });
		writeFileSync(path, text);
	};
	const netdev = (pci: string, name: string, attributes: Record<string, string>) => {
		mkdirSync(join(device(pci), "net", name), { recursive: true });
		for (const [key, value] of Object.entries(attributes)) file(join(device(pci), "net", name, key), `${value}\n`);
	};
	netdev(PF, "aaa_rep0", { phys_switch_id: "abcd", phys_port_name: "pf0vf0" });
	netdev(PF, "ens1f0np0", { phys_switch_id: "abcd", phys_port_name: "p0" });
	file(join(device(PF), "sriov_numvfs"), "3\n");
	file(join(device(PF), "class"), "0x020000\n");
	for (const [place, vf] of ["0000:3b:02.0", VF, "0000:3b:02.2"].entries()) {
		mkdirSync(device(vf), { recursive: true });
		symlinkSync(`../${PF}`, join(device(vf), "physfn"));
		symlinkSync(`../${vf}`, join(device(PF), `virtfn${place}`));
	}
	netdev(VF, "ens1f0v1", {});
	symlinkSync("../../../bus/pci/drivers/iavf", join(device(VF), "driver"));
	mkdirSync(join(device("0000:3b:02.0"), "virtio7/net/eth9"), { recursive: true });
	symlinkSync("../../../bus/pci/drivers/mlx5_vfio_pci", join(device("0000:3b:02.2"), "driver"));
	// A PF of another driver, outside switchdev mode.
	netdev("0000:5e:00.0", "enp94s0", {});
	mkdirSync(device("0000:5e:02.0"), { recursive: true });
	symlinkSync("../0000:5e:00.0", join(device("0000:5e:02.0"), "physfn"));
	file(join(device(LARGE_PF), "sriov_offset"), "237\n");
	file(join(device(LARGE_PF), "sriov_stride"), "2\n");
	for (const vf of [...LARGE_PF_VFS, ...STRAY_VFS]) {
		mkdirSync(device(vf));
		symlinkSync(`../${LARGE_PF}`, join(device(vf), "physfn"));
	}
	for (const [place, vf] of LARGE_PF_VFS.entries()) symlinkSync(`../${vf}`, join(device(LARGE_PF), `virtfn${place}`));
}

test("a VF's PF, place, interface and driver are found in sysfs", () => {
	using lab = new NetnsLab();
	using directory = new Directory();
	fakeSysfs(directory.path);
	const steps: [Step, unknown][] = [
		[["exists", PF], true],
		[["exists", "0000:3b:02.7"], false],
		[["physicalFunction", VF], PF],
		// In switchdev mode the uplink, not the first name.
		[["pfNetdev", VF], "ens1f0np0"],
		[["pfNetdev", "0000:5e:02.0"], "enp94s0"],
		[["pfNetdev", PF], null],
		[["vfIndex", VF], 1],
		[["vfIndex", "0000:3b:02.2"], 2],
		// physfn leads to a PF that has no link back: its VFs were made anew meanwhile.
		[["vfIndex", "0000:5e:02.0"], null],
		...LARGE_PF_VFS.map((vf, place): [Step, unknown] => [["vfIndex", vf], place]),
		...STRAY_VFS.map((vf): [Step, unknown] => [["vfIndex", vf], null]),
		[["vfCount", PF], 3],
		[["vfCount", VF], null],
		[
			["listDevices"],
			[
				...["0000:3b:00.0", "0000:3b:02.0", VF, "0000:3b:02.2", "0000:5e:00.0", "0000:5e:02.0", LARGE_PF],
				...[...LARGE_PF_VFS, ...STRAY_VFS].sort(),
			],
		],
		[["isNetworkController", PF], true],
		[["isNetworkController", VF], false],
		[["vfNetdev", VF], "ens1f0v1"],
		[["vfNetdev", "0000:3b:02.0"], "eth9"],
		[["vfNetdev", "0000:3b:02.2"], null],
		[["driver", VF], "iavf"],
		[["driver", "0000:3b:02.0"], null],
		[["driver", "0000:3b:02.2"], "mlx5_vfio_pci"],
	];
	const mounted = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /sys && exec "$@"', directory.path];
	const outcomes = fixture.run(
		lab.add(),
		steps.map(([step]) => step),
		mounted,
	);
	expect(outcomes).toEqual(steps.map(([, value]) => ({ value })));
});

test("drivers that hand a device to user space are known", () => {
	using lab = new NetnsLab();
	const userspace = ["vfio-pci", "mlx5_vfio_pci", "hisi_acc_vfio_pci", "uio_pci_generic", "igb_uio"];
	const kernel = ["igbvf", "iavf", "mlx5_core", "virtio-pci"];
	const values = fixture.values(
		lab.add(),
		[...userspace, ...kernel].map((name) => ["isUserspaceDriver", name]),
	);
	expect(values).toEqual([...userspace.map(() => true), ...kernel.map(() => false)]);
});
