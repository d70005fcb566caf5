/**
 * CHECK of sriov in a chain, called by libcni (cnitool): what a plugin later in the chain changes by right is no fault,
 * and what the pod changes is. VFs whose PF is not to be seen.
 */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { peer, peersDirectory } from "../lab/peers.ts";
import { binaries, callPlugin, createPod, hostState, links, succeeded } from "../lab/pods.ts";
import { createVfs, until, type Vf } from "../lab/sriov.ts";
import { PF, useSriov } from "../lab/sriov-session.ts";

const { guest, sh } = useSriov();
let vfs: Vf[];
let before: unknown;

async function cnitool(verb: string): Promise<{ status: number | null; output: string }> {
	const env = { CNI_PATH: `${binaries}:${await peersDirectory()}`, NETCONFPATH: "/tmp/chain", CNI_IFNAME: "net1" };
	const { status, stdout, stderr } = await guest().run([await peer("cnitool"), verb, "chain", "/run/netns/pod1"], {
		env,
		ok: false,
	});
	return { status, output: stdout + stderr };
}

beforeAll(async () => {
	vfs = await createVfs(guest(), PF, 2);
	await sh("mkdir -p /tmp/chain; modprobe vrf");
	await peersDirectory();
});
beforeEach(async () => {
	before = await hostState(guest());
	await createPod(guest(), "pod1");
});
afterEach(async () => {
	await sh("ip netns delete pod1; rm -rf /var/lib/cni/results");
});

const IPAM = {
	type: "host-local",
	subnet: "10.56.217.0/24",
	gateway: "10.56.217.1",
	routes: [
		{ dst: "10.60.0.0/16" },
		{ dst: "10.61.0.1/32", gw: "0.0.0.0", scope: 253 },
		{ dst: "10.62.0.0/16", gw: "10.56.217.9", priority: 77, mtu: 1300, advmss: 1200 },
	],
};
const TUNED = {
	type: "tuning",
	mtu: 1400,
	mac: "02:00:5e:10:00:77",
	promisc: true,
	txQLen: 77,
	sysctl: { "net.ipv4.conf.IFNAME.rp_filter": "2" },
};

describe.each(["0.4.0", "1.0.0"])("a chain of %s", (cniVersion) => {
	const write = (sriov: object, ...later: object[]) =>
		guest().writeFile(
			"/tmp/chain/chain.conflist",
			JSON.stringify({
				cniVersion,
				name: "chain",
				plugins: [{ type: "sriov", deviceID: vfs[0]!.pci, trust: "on", ipam: IPAM, ...sriov }, ...later],
			}),
		);

	test.each<[string, object, object, string, RegExp]>([
		[
			"tuning",
			{},
			TUNED,
			"ip -n pod1 route del 10.62.0.0/16",
			/route to 10\.62\.0\.0\/16 via 10\.56\.217\.9 is missing/,
		],
		[
			"tuning, after an MTU was asked for",
			{ mtu: 1450 },
			{ type: "tuning", mac: TUNED.mac },
			"ip -n pod1 link set net1 mtu 1300",
			/MTU of net1 is 1300, not 1450/,
		],
		[
			"tuning, after a MAC was asked for",
			{ mac: "02:00:5e:10:00:01" },
			{ type: "tuning", mtu: 1400 },
			"ip -n pod1 link set net1 address 02:00:5e:10:00:99",
			/is 02:00:5e:10:00:99, not 02:00:5e:10:00:01/,
		],
		[
			// Which does not bring back a route of link scope when it moves the interface's.
			"vrf",
			{ ipam: { ...IPAM, routes: [IPAM.routes[0], IPAM.routes[2]] } },
			{ type: "vrf", vrfname: "blue" },
			"ip -n pod1 address flush dev net1",
			/address 10\.56\.217\.\d+\/24 is missing/,
		],
		["sbr", {}, { type: "sbr" }, "ip -n pod1 link set net1 down", /net1 is down/],
	])("with %s: CHECK passes, and finds what the pod changes", async (_, sriov, later, change, sentence) => {
		await write(sriov, later);
		const added = await cnitool("add");
		expect(added.status, added.output).toBe(0);
		const checked = await cnitool("check");
		expect(checked.status, checked.output).toBe(0);
		await sh(change);
		const refused = await cnitool("check");
		expect(refused.status).not.toBe(0);
		expect(refused.output).toMatch(sentence);
		const deleted = await cnitool("del");
		expect(deleted.status, deleted.output).toBe(0);
		await sh("rm -rf /var/lib/cni/results");
		expect(await hostState(guest())).toEqual(before);
	});
});

/** Takes a PF away, gives a VF of it; and back. */
interface Hidden {
	hide(): Promise<string>;
	show(): Promise<void>;
}

const elsewhere: Hidden = {
	hide: async () => {
		await sh(`ip netns add host2; ip link set ${PF} netns host2`);
		return vfs[1]!.pci;
	},
	show: async () => {
		await sh(`ip -n host2 link set ${PF} netns 1; ip link set ${PF} up; ip netns delete host2`);
		await until(
			"the PF's carrier",
			async () => (await links(guest())).find(({ ifname }) => ifname === PF)?.operstate === "UP",
		);
	},
};

/** A driver that makes VFs, and no network interface. */
const stubbed: Hidden = {
	hide: async () => {
		const { stdout } = await sh(`
			pf=$(basename $(readlink -f /sys/class/net/eth1/device)); echo $pf >/tmp/stubbed; cd /sys/bus/pci; modprobe pci-pf-stub
			echo $pf >drivers/igb/unbind; echo pci-pf-stub >devices/$pf/driver_override; echo $pf >drivers_probe
			echo 1 >devices/$pf/sriov_numvfs; basename $(readlink -f devices/$pf/virtfn0)`);
		const pci = stdout.trim();
		const path = `/sys/bus/pci/devices/${pci}/net`;
		await until("the VF's interface", async () => (await guest().run(["ls", path], { ok: false })).stdout !== "");
		return pci;
	},
	show: async () => {
		await sh(`
			pf=$(cat /tmp/stubbed); cd /sys/bus/pci; echo 0 >devices/$pf/sriov_numvfs; echo $pf >drivers/pci-pf-stub/unbind
			echo >devices/$pf/driver_override; echo $pf >drivers_probe`);
		await until("the PF", async () => (await links(guest())).some(({ ifname }) => ifname === "eth1"));
	},
};

describe.each([
	["in another network namespace", elsewhere],
	["without a network driver", stubbed],
])("a VF whose PF is %s", (_, { hide, show }) => {
	let deviceID: string;
	let hidden: unknown;
	const call = (verb: string, more: object) =>
		callPlugin(
			guest(),
			"sriov",
			verb,
			{ cniVersion: "1.1.0", name: "net", type: "sriov", deviceID, ...more },
			{ containerId: "c1", netns: "/run/netns/pod1" },
		);

	beforeEach(async () => {
		deviceID = await hide();
		hidden = await hostState(guest());
	});
	afterEach(async () => {
		expect(await hostState(guest())).toEqual(hidden);
		await show();
	});

	test.each<[string, { mtu?: number; mac?: string; ipam?: object }]>([
		["nothing", {}],
		["an MTU", { mtu: 1400 }],
		["a MAC", { mac: "02:00:5e:10:00:05" }],
		["addresses", { ipam: IPAM }],
	])("works where %s is asked for", async (_, asked) => {
		const { json } = succeeded(await call("ADD", asked));
		expect((await links(guest(), "pod1")).find(({ ifname }) => ifname === "net1")).toMatchObject({
			...(asked.mtu && { mtu: asked.mtu }),
			...(asked.mac && { address: asked.mac }),
		});
		succeeded(await call("CHECK", { ...asked, prevResult: json }));
		succeeded(await call("DEL", asked));
		succeeded(await call("GC", { "cni.dev/valid-attachments": [] }));
	});

	test.each([
		["vlan", { vlan: 5 }],
		["max_tx_rate", { max_tx_rate: 100 }],
		["min_tx_rate", { min_tx_rate: 10 }],
		["spoofchk", { spoofchk: "off" }],
		["trust", { trust: "on" }],
		["link_state", { link_state: "enable" }],
	])("refuses %s by its name, and changes nothing", async (name, asked) => {
		const { json } = await call("ADD", asked);
		expect(json).toMatchObject({
			code: 100,
			msg: expect.stringMatching(
				new RegExp(`the PF of VF .* has no network interface on this host, so ${name} cannot be set`),
			),
		});
		succeeded(await call("DEL", asked));
	});
});
