/**
 * VF settings and PCI look-ups of lib/netlink and lib/linux on real virtual functions, with `ip -j` and sysfs as
 * witnesses.
 */
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { index, NetlinkFixture, type Outcome, type Step } from "../fixtures/netlink/run.ts";
import { useGuest } from "../lab/guest-session.ts";
import { createVfs, EVERY_SETTING, type Vf } from "../lab/sriov.ts";

const guest = useGuest();
const fixture = await NetlinkFixture.build();
let vfs: Vf[];

beforeAll(async () => {
	await guest().refresh();
	vfs = await createVfs(guest(), "eth0", 4);
});

const findPf: Step = ["getLink", "eth0"];

async function run(...steps: Step[]): Promise<Outcome[]> {
	const argv = [fixture.executable, "netlink", "/proc/self/ns/net"];
	return JSON.parse((await guest().run(argv, { stdin: JSON.stringify([findPf, ...steps]) })).stdout);
}

// biome-ignore lint/suspicious/noExplicitAny: the shape is iproute2's.
async function shownVf(vf: number): Promise<any> {
	const [link] = await guest().json(["ip", "-j", "-d", "link", "show", "eth0"]);
	return link.vfinfo_list[vf];
}

const all = {
	vlan: 100,
	vlanQos: 3,
	vlanProto: "802.1ad",
	mac: "02:00:00:00:00:05",
	minTxRate: 50,
	maxTxRate: 200,
	spoofCheck: false,
	trust: true,
	linkState: "enable",
};

describe("VF settings", () => {
	beforeEach(() => guest().writeFile("/sys/module/vfshim/parameters/refuse", ""));

	it("are all set by one request, and read back as `ip` reads them", async () => {
		const [, set, read, list] = await run(["setVf", index, 1, all], ["getVf", index, 1], ["getVfs", index]);
		expect(set).toEqual({ value: null });
		expect(read).toEqual({ value: all });
		expect(list!.value).toHaveLength(4);
		expect(list!.value[1]).toEqual(all);
		expect(await shownVf(1)).toMatchObject(EVERY_SETTING.shown);
	});

	it("are set one by one, and the others stay", async () => {
		const settings = "mac 02:00:00:00:00:06 vlan 7 qos 1 spoofchk on trust off state disable max_tx_rate 100";
		await guest().run(["ip", "link", "set", "eth0", "vf", "2", ...settings.split(" ")]);
		const [, , before, , after] = await run(
			["setVf", index, 2, {}],
			["getVf", index, 2],
			["setVf", index, 2, { trust: true }],
			["getVf", index, 2],
		);
		expect(before!.value).toMatchObject({ mac: "02:00:00:00:00:06", vlan: 7, vlanQos: 1, vlanProto: "802.1q" });
		expect(before!.value).toMatchObject({ spoofCheck: true, trust: false, linkState: "disable", maxTxRate: 100 });
		expect(after!.value).toEqual({ ...before!.value, trust: true });
	});

	it("are kept up to the first that the driver refuses", async () => {
		const [, before] = await run(["getVf", index, 3]);
		await guest().writeFile("/sys/module/vfshim/parameters/refuse", "trust:1");
		const [, refused, after] = await run(["setVf", index, 3, all], ["getVf", index, 3]);
		expect(refused!.error!.message).toMatch(/^RTM_SETLINK on VF 3 of "eth0": operation not supported \(EOPNOTSUPP\)/);
		const { trust, linkState } = before!.value;
		expect(after!.value).toEqual({ ...all, trust, linkState });
	});

	it("are undefined for a VF that the PF does not have, and cannot be set", async () => {
		const [, read, set] = await run(["getVf", index, 4], ["setVf", index, 4, { vlan: 5 }]);
		expect(read).toEqual({ value: null });
		expect(set!.error!.message).toMatch(/^RTM_SETLINK on VF 4 of "eth0": invalid argument \(EINVAL\)/);
	});
});

describe("a VF in sysfs", () => {
	it("leads to its PF, number, netdev and driver", async () => {
		for (const vf of vfs) {
			const found = await run(
				["physicalFunction", vf.pci],
				["pfNetdev", vf.pci],
				["vfIndex", vf.pci],
				["vfNetdev", vf.pci],
				["driver", vf.pci],
				["vfCount", "0000:01:00.0"],
				["getLink", vf.netdev],
			);
			const values = found.slice(1).map((each) => each.value);
			expect(values.slice(0, 6)).toEqual(["0000:01:00.0", "eth0", vf.index, vf.netdev, "igbvf", 4]);
			expect(values[6].parentDevice).toBe(vf.pci);
		}
	});

	it("has no netdev while that is in a pod, and moves there and home in one request each", async () => {
		const { pci, netdev } = vfs[0]!;
		await guest().run(["ip", "netns", "add", "pod"]);
		const podFd = { netns: "/run/netns/pod" };
		const gone = await run(
			["getLink", netdev],
			["setLink", { $: "1.index" }, { netnsFd: podFd, name: "net1", mtu: 1400 }],
			["vfNetdev", pci],
		);
		expect(gone.slice(2)).toEqual([{ value: null }, { value: null }]);
		const [inPod] = await guest().json(["ip", "-j", "-n", "pod", "link", "show", "net1"]);
		expect(inPod).toMatchObject({ ifname: "net1", mtu: 1400, address: gone[1]!.value.mac });

		const steps: Step[] = [
			["getLink", "net1"],
			["setLink", index, { netnsFd: { netns: "/proc/1/ns/net" }, name: netdev, mtu: 1500 }],
		];
		await guest().run([fixture.executable, "netlink", "/run/netns/pod"], { stdin: JSON.stringify(steps) });
		const home = await run(["vfNetdev", pci], ["getLink", netdev]);
		expect(home[1]).toEqual({ value: netdev });
		expect(home[2]!.value).toMatchObject({ mtu: 1500, mac: gone[1]!.value.mac });
		await guest().run(["ip", "netns", "delete", "pod"]);
	});
});
