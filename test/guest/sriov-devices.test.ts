/** VFs of other kinds: with a userspace driver, without a PF on this host; and what the runtime is told of a device. */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { PLAIN_CARD } from "../lab/guest-cards.ts";
import { type Configuration, callPlugin, createPod, hostState, links, succeeded } from "../lab/pods.ts";
import { createVfs, type Vf } from "../lab/sriov.ts";
import { PF, useSriov } from "../lab/sriov-session.ts";

const { guest, sh } = useSriov();
let vfs: Vf[];
/** PCI address and netdev of a card without SR-IOV. */
let plain: { pci: string; netdev: string };
let before: unknown;

const network = (deviceID: string, more: Record<string, unknown> = {}): Configuration => ({
	cniVersion: "1.1.0",
	name: "sriov-network",
	type: "sriov",
	deviceID,
	ipam: { type: "host-local", subnet: "10.56.218.0/24" },
	...more,
});
const call = (verb: string, configuration: Configuration) =>
	callPlugin(guest(), "sriov", verb, configuration, { containerId: "c1", netns: "/run/netns/pod1" });

beforeAll(async () => {
	vfs = await createVfs(guest(), PF, 2);
	const { stdout } = await sh(`cd $(dirname $(grep -l ${PLAIN_CARD.mac} /sys/class/net/*/address))
echo "$(basename $(dirname $(readlink -f device))) $(basename $PWD)"`);
	const [pci = "", netdev = ""] = stdout.trim().split(" ");
	plain = { pci, netdev };
});
beforeEach(async () => {
	await createPod(guest(), "pod1");
	before = await hostState(guest());
});
afterEach(async () => {
	await guest().run(["ip", "netns", "delete", "pod1"]);
});

describe("a VF with a userspace driver", () => {
	beforeAll(async () => {
		const { pci } = vfs[0]!;
		await sh(`modprobe vfio-pci; cd /sys/bus/pci/devices/${pci}; echo vfio-pci > driver_override
echo ${pci} > driver/unbind; echo ${pci} > /sys/bus/pci/drivers_probe; readlink driver | grep -q vfio-pci`);
	});

	test("gets its settings through the PF and its addresses reported; the first DEL puts all back", async () => {
		const configuration = network(vfs[0]!.pci, { vlan: 100, mac: "02:00:5e:10:00:0d", trust: "on" });
		const { json } = succeeded(await call("ADD", configuration));
		expect(json.interfaces).toEqual([
			{ name: "net1", mac: "02:00:5e:10:00:0d", sandbox: "/run/netns/pod1", pciID: vfs[0]!.pci },
		]);
		expect(json.ips).toHaveLength(1);
		const pf = (await links(guest())).find((link) => link.ifname === PF);
		expect(pf.vfinfo_list[0]).toMatchObject({ address: "02:00:5e:10:00:0d", trust: true, vlan_list: [{ vlan: 100 }] });
		expect((await links(guest(), "pod1")).map((link) => link.ifname)).toEqual(["lo"]);
		succeeded(await call("CHECK", { ...configuration, prevResult: json }));
		succeeded(await call("DEL", configuration));
		expect(await hostState(guest())).toEqual(before);
	});

	test("is refused before any change with dhcp, which needs an interface", async () => {
		const configuration = network(vfs[0]!.pci, { vlan: 100, ipam: { type: "dhcp", daemonSocketPath: "/tmp/none" } });
		const { status, json, stderr } = await call("ADD", configuration);
		expect(status).not.toBe(0);
		expect(json).toMatchObject({ code: 7 });
		expect(json.msg).toContain(`VF ${vfs[0]!.pci} has a userspace driver and no network interface`);
		// No DEL was sent after it.
		expect(stderr).not.toContain("given back once there is a daemon again");
		expect(await hostState(guest())).toEqual(before);
	});
});

test("a VF with a userspace driver and no administrative MAC has none in the result", async () => {
	await sh(`ip link set ${PF} vf 0 mac 00:00:00:00:00:00`);
	before = await hostState(guest());
	const { json } = succeeded(await call("ADD", network(vfs[0]!.pci)));
	expect(json.interfaces).toEqual([{ name: "net1", sandbox: "/run/netns/pod1", pciID: vfs[0]!.pci }]);
	succeeded(await call("DEL", network(vfs[0]!.pci)));
	expect(await hostState(guest())).toEqual(before);
});

describe("a card without a PF on this host, as a VF inside a virtual machine", () => {
	test("moves, takes its MAC itself, and returns to the host", async () => {
		const configuration = network(plain.pci, { mac: "02:00:5e:10:00:0e", mtu: 1400 });
		const { json } = succeeded(await call("ADD", configuration));
		expect(json.interfaces).toMatchObject([{ name: "net1", mac: "02:00:5e:10:00:0e", mtu: 1400, pciID: plain.pci }]);
		succeeded(await call("CHECK", { ...configuration, prevResult: json }));
		await guest().run(["ip", "-n", "pod1", "link", "set", "net1", "down"]);
		await guest().run(["ip", "-n", "pod1", "link", "set", "net1", "name", "renamed"]);
		succeeded(await call("DEL", configuration));
		expect(await hostState(guest())).toEqual(before);
	});

	test("with a setting that only a PF can make: refused", async () => {
		const answer = await call("ADD", network(plain.pci, { vlan: 100 }));
		expect(answer.json).toMatchObject({
			code: 7,
			msg: `VF ${plain.pci} has no PF on this host (a virtual machine?), so vlan cannot be set`,
		});
		expect(await hostState(guest())).toEqual(before);
	});

	test("that the host has up: refused", async () => {
		await guest().run(["ip", "link", "set", plain.netdev, "up"]);
		const answer = await call("ADD", network(plain.pci));
		await guest().run(["ip", "link", "set", plain.netdev, "down"]);
		expect(answer.json).toMatchObject({ code: 100, msg: expect.stringContaining("is up: the host uses it") });
	});
});

test("an mtu of 0 is none: the VF keeps its own", async () => {
	const { mtu } = (await guest().json(["ip", "-j", "link", "show", vfs[1]!.netdev!]))[0];
	const { json } = succeeded(await call("ADD", network(vfs[1]!.pci, { mtu: 0 })));
	expect(json.interfaces[0].mtu).toBe(mtu);
	succeeded(await call("DEL", network(vfs[1]!.pci, { mtu: 0 })));
});

describe("the device-info file", () => {
	const file = "/run/k8s.cni.cncf.io/devinfo/cni/ns-net-c1_net1";
	const withFile = (more = {}) => network(vfs[1]!.pci, { runtimeConfig: { CNIDeviceInfoFile: file }, ...more });
	const pci = () => ({ "pci-address": vfs[1]!.pci, "pf-pci-address": "0000:01:00.0" });

	test("is made where there is none", async () => {
		succeeded(await call("ADD", withFile()));
		expect(JSON.parse(await guest().readFile(file))).toEqual({ type: "pci", version: "1.1.0", pci: pci() });
		expect((await sh(`stat -c %a ${file}`)).stdout.trim()).toBe("444");
		succeeded(await call("DEL", withFile()));
		await sh(`rm ${file}`);
	});

	test("keeps what the device plugin put into it", async () => {
		await sh(`mkdir -p $(dirname ${file})`);
		await guest().writeFile(
			file,
			JSON.stringify({ type: "pci", version: "1.1.0", pci: { "pci-address": vfs[1]!.pci, "rdma-device": "mlx5_1" } }),
		);
		succeeded(await call("ADD", withFile()));
		expect(JSON.parse(await guest().readFile(file)).pci).toEqual({ ...pci(), "rdma-device": "mlx5_1" });
		succeeded(await call("DEL", withFile()));
		await sh(`rm ${file}`);
	});

	test("may be in any directory", async () => {
		const elsewhere = { runtimeConfig: { CNIDeviceInfoFile: "/srv/infos/net1.json" } };
		succeeded(await call("ADD", network(vfs[1]!.pci, elsewhere)));
		expect(JSON.parse(await guest().readFile("/srv/infos/net1.json")).pci).toEqual(pci());
		succeeded(await call("DEL", network(vfs[1]!.pci, elsewhere)));
		await sh("rm -r /srv/infos");
	});

	test("that is something else stays as it is, and nothing is attached", async () => {
		const text = await guest().readFile("/etc/passwd");
		const answer = await call("ADD", network(vfs[1]!.pci, { runtimeConfig: { CNIDeviceInfoFile: "/etc/passwd" } }));
		expect(answer.json).toMatchObject({ code: 6, msg: 'device-info file "/etc/passwd" is not a JSON object' });
		expect(await guest().readFile("/etc/passwd")).toBe(text);
		expect(await hostState(guest())).toEqual(before);
	});

	test.each(["etc/shadow", "/run/k8s.cni.cncf.io/devinfo/../../../etc/shadow"])("cannot be %s", async (path) => {
		const answer = await call("ADD", network(vfs[1]!.pci, { runtimeConfig: { CNIDeviceInfoFile: path } }));
		expect(answer.json).toMatchObject({
			code: 7,
			msg: `runtimeConfig.CNIDeviceInfoFile "${path}" must be an absolute path without ".."`,
		});
		expect(await hostState(guest())).toEqual(before);
	});

	test("that is no JSON fails ADD, and stays as it is", async () => {
		await sh(`mkdir -p $(dirname ${file})`);
		await guest().writeFile(file, "garbage");
		expect((await call("ADD", withFile())).json).toMatchObject({
			code: 6,
			msg: expect.stringContaining("is not a JSON object"),
		});
		expect(await guest().readFile(file)).toBe("garbage");
		expect(await hostState(guest())).toEqual(before);
		await sh(`rm ${file}`);
	});
});

test("deviceID comes from runtimeConfig or pciBusID where the top level has none", async () => {
	for (const more of [{ runtimeConfig: { deviceID: vfs[1]!.pci } }, { pciBusID: vfs[1]!.pci.toUpperCase() }]) {
		const { deviceID: _, ...configuration } = network(vfs[1]!.pci, more);
		expect(succeeded(await call("ADD", configuration as Configuration)).json.interfaces[0].pciID).toBe(vfs[1]!.pci);
		succeeded(await call("DEL", configuration as Configuration));
	}
	expect(await hostState(guest())).toEqual(before);
});

test("a MAC that another VF of the PF has is reported in the log", async () => {
	await guest().run(["ip", "link", "set", PF, "vf", "0", "mac", "02:00:5e:10:00:0f"]);
	const { stderr } = succeeded(await call("ADD", network(vfs[1]!.pci, { mac: "02:00:5e:10:00:0f" })));
	expect(stderr).toMatch(/level="warning" msg="VF 0 of PF eth0 has the administrative MAC 02:00:5e:10:00:0f, too"/);
	succeeded(await call("DEL", network(vfs[1]!.pci)));
});
