import { beforeAll, describe, expect, test } from "vitest";
import type { Guest } from "../lab/guest.ts";
import { peer } from "../lab/peers.ts";
import { binaries, type Configuration, createPod, hostState, links, stateFiles, succeeded } from "../lab/pods.ts";
import { createVfs, until, type Vf } from "../lab/sriov.ts";
import { network as networkOf, PF, useSriov } from "../lab/sriov-session.ts";

const { guest, call, sh, vfInfo } = useSriov();
let vfs: Vf[];

const ipam = { type: "host-local", subnet: "10.56.217.0/24", routes: [{ dst: "0.0.0.0/0" }], gateway: "10.56.217.1" };
const network = (vf: number, more = {}) => networkOf(vfs[vf]!, { cniVersion: "1.0.0", ipam, ...more });

const of = (pod: string, more: object) => ({ containerId: `c-${pod}`, netns: `/run/netns/${pod}`, ...more });
const add = (configuration: Configuration, pod: string, more = {}) => call("ADD", configuration, of(pod, more));
const del = (configuration: Configuration, pod: string, more = {}) => call("DEL", configuration, of(pod, more));

/** A pod that lasts as long as `body`. */
async function withPod<T>(name: string, body: () => Promise<T>): Promise<T> {
	await createPod(guest(), name);
	try {
		return await body();
	} finally {
		await guest().run(["ip", "netns", "delete", name], { ok: false });
	}
}

beforeAll(async () => {
	vfs = await createVfs(guest(), PF, 3);
});

describe("cnitool, as a runtime, with every setting", () => {
	const settings = {
		vlan: 100,
		vlanQoS: 3,
		mac: "02:00:5e:10:00:01",
		spoofchk: "off",
		trust: "on",
		max_tx_rate: 200,
		link_state: "enable",
		mtu: 1400,
	};

	async function cnitool(machine: Guest, verb: string): Promise<string> {
		const env = { CNI_PATH: binaries, NETCONFPATH: "/etc/cni/net.d", CNI_IFNAME: "net1" };
		const { stdout } = await machine.run([await peer("cnitool"), verb, "sriov-network", "/run/netns/pod1"], { env });
		return stdout;
	}

	test("kernel and pod agree with each of them, and after DEL all is as before", async () => {
		const { cniVersion, name, ...plugin } = network(0, settings);
		await guest().run(["mkdir", "-p", "/etc/cni/net.d"]);
		await guest().writeFile(
			"/etc/cni/net.d/10-sriov.conflist",
			JSON.stringify({ cniVersion, name, plugins: [plugin] }),
		);
		const before = await hostState(guest());

		await withPod("pod1", async () => {
			const result = JSON.parse(await cnitool(guest(), "add"));
			expect(result.interfaces).toEqual([
				{ name: "net1", mac: settings.mac, mtu: 1400, sandbox: "/run/netns/pod1", pciID: vfs[0]!.pci },
			]);
			expect(result.ips).toEqual([{ address: "10.56.217.2/24", gateway: "10.56.217.1", interface: 0 }]);

			const vf = await vfInfo(0);
			expect(vf).toMatchObject({
				address: settings.mac,
				vlan_list: [{ vlan: 100, qos: 3 }],
				spoofchk: false,
				trust: true,
				rate: { max_tx: 200 },
				link_state: "enable",
			});
			const [address] = await guest().json(["ip", "-n", "pod1", "-j", "addr", "show", "net1"]);
			expect(address).toMatchObject({ ifname: "net1", address: settings.mac, mtu: 1400 });
			expect(address.flags).toContain("UP");
			expect(address.addr_info).toContainEqual(
				expect.objectContaining({ family: "inet", local: "10.56.217.2", prefixlen: 24 }),
			);
			expect(await guest().json(["ip", "-n", "pod1", "-j", "route", "show", "default"])).toMatchObject([
				{ dst: "default", gateway: "10.56.217.1", dev: "net1" },
			]);
			await cnitool(guest(), "check");
			await cnitool(guest(), "del");
		});
		expect(await hostState(guest())).toEqual(before);
	});
});

describe("what ADD leaves and DEL puts back", () => {
	test("a VF that was up with alternative names, another MTU and promiscuous in the pod comes home up, with all of them", async () => {
		const { netdev } = vfs[1]!;
		await guest().run(["ip", "link", "property", "add", "dev", netdev!, "altname", "enp1s16f0v1"]);
		await guest().run(["ip", "link", "set", netdev!, "mtu", "1480", "up"]);
		await until("the carrier", async () => (await links(guest())).find((l) => l.ifname === netdev).operstate === "UP");
		const before = await hostState(guest());
		await withPod("pod1", async () => {
			expect((await add(network(1), "pod1")).json.interfaces[0]).toMatchObject({ name: "net1", mtu: 1480 });
			await guest().run([
				"ip",
				"-n",
				"pod1",
				"link",
				"set",
				"net1",
				"promisc",
				"on",
				"allmulticast",
				"on",
				"mtu",
				"1300",
			]);
			expect(await del(network(1), "pod1")).toMatchObject({ status: 0, stdout: "" });
		});
		await until("the carrier", async () => (await links(guest())).find((l) => l.ifname === netdev).operstate === "UP");
		expect(await hostState(guest())).toEqual(before);
		await guest().run(["ip", "link", "property", "del", "dev", netdev!, "altname", "enp1s16f0v1"]);
		await guest().run(["ip", "link", "set", netdev!, "mtu", "1500", "down"]);
	});

	test("two pods on two VFs of one VLAN reach each other, a third on another VLAN does not", async () => {
		const before = await hostState(guest());
		const attachments = [
			{ vf: 0, pod: "pod1", vlan: 100 },
			{ vf: 1, pod: "pod2", vlan: 100 },
			{ vf: 2, pod: "pod3", vlan: 200 },
		];
		for (const { pod } of attachments) await createPod(guest(), pod);
		const addresses: string[] = [];
		for (const { vf, pod, vlan } of attachments) {
			const answer = succeeded(await add(network(vf, { vlan }), pod));
			addresses.push(answer.json.ips[0].address.split("/")[0]);
		}
		const ping = async (to: string | undefined, limits: string[]) =>
			(await guest().run(["ip", "netns", "exec", "pod1", "ping", ...limits, to!], { ok: false })).status;
		expect(await ping(addresses[1], ["-c", "1", "-w", "30", "-i", "0.3"])).toBe(0);
		expect(await ping(addresses[2], ["-c", "2", "-W", "1"])).toBe(1);
		for (const { vf, pod } of attachments) {
			succeeded(await del(network(vf), pod));
			await guest().run(["ip", "netns", "delete", pod]);
		}
		expect(await hostState(guest())).toEqual(before);
	});

	test("a MAC in dash notation works without trust, and runtimeConfig wins over CNI_ARGS and the configuration", async () => {
		const before = await hostState(guest());
		await withPod("pod1", async () => {
			const configuration = network(0, {
				mac: "02-00-5E-10-00-07",
				runtimeConfig: { mac: "0200.5e10.0009" },
			});
			const answer = await add(configuration, "pod1", { args: "IgnoreUnknown=1;MAC=02:00:5e:10:00:08" });
			expect(answer.json.interfaces[0].mac).toBe("02:00:5e:10:00:09");
			expect((await links(guest(), "pod1")).find((link) => link.ifname === "net1").address).toBe("02:00:5e:10:00:09");
			succeeded(await del(configuration, "pod1"));
		});
		expect(await hostState(guest())).toEqual(before);
	});

	test.each([
		["not taken over yet", ""],
		["taken over by a rebind, as RDMA-CM needs it", "rebind"],
	])("an administrative MAC that was set on purpose stays (%s)", async (_, rebind) => {
		const { pci } = vfs[2]!;
		await guest().run(["ip", "link", "set", PF, "vf", "2", "mac", "02:00:5e:20:00:02"]);
		if (rebind) {
			await guest().run(["sh", "-c", `cd /sys/bus/pci/drivers/igbvf && echo ${pci} > unbind && echo ${pci} > bind`]);
		}
		const before = await hostState(guest());
		for (const more of [{}, { mac: "02:00:5e:10:00:0b" }, { mac: "02:00:5e:10:00:0c", trust: "on" }]) {
			await withPod("pod1", async () => {
				succeeded(await add(network(2, more), "pod1"));
				succeeded(await del(network(2, more), "pod1"));
			});
			expect(await hostState(guest())).toEqual(before);
		}
	});

	test("settings that are empty texts are absent, as in Go", async () => {
		const before = await hostState(guest());
		await sh(`ip link set ${PF} vf 0 trust on`);
		const { trust, spoofchk, link_state } = await vfInfo(0);
		await withPod("pod1", async () => {
			const empty = network(0, { mac: "", spoofchk: "", trust: "", link_state: "" });
			succeeded(await add(empty, "pod1"));
			expect(await vfInfo(0)).toMatchObject({ trust, spoofchk, link_state });
			succeeded(await del(empty, "pod1"));
		});
		await sh(`ip link set ${PF} vf 0 trust off`);
		expect(await hostState(guest())).toEqual(before);
	});

	test("a VF whose pod went without a DEL starts its next ADD from its own settings", async () => {
		const before = await hostState(guest());
		await withPod("pod1", async () => {
			expect(
				(await add(network(0, { vlan: 300, trust: "on", mac: "02:00:5e:10:00:0a", mtu: 1300 }), "pod1")).status,
			).toBe(0);
		});
		await until("the VF on the host", async () => (await links(guest())).some((link) => link.ifname === "net1"));
		await withPod("pod2", async () => {
			succeeded(await add(network(0), "pod2"));
			expect(await vfInfo(0)).toMatchObject({ trust: false });
			expect((await vfInfo(0)).vlan_list).toEqual([{}]);
			succeeded(await del(network(0), "pod2"));
		});
		// The dead pod's address, too.
		expect(await hostState(guest())).toEqual(before);
		succeeded(await del(network(0), "pod1", { netns: "" }));
		expect(await hostState(guest())).toEqual(before);
	});

	test("DEL without a namespace, DEL twice and DEL of what was never added succeed", async () => {
		const before = await hostState(guest());
		await withPod("pod1", async () => {
			succeeded(await add(network(0, { vlan: 300 }), "pod1"));
		});
		await until("the VF on the host", async () => (await links(guest())).some((link) => link.ifname === "net1"));
		succeeded(await del(network(0), "pod1", { netns: "" }));
		expect(await hostState(guest())).toEqual(before);
		succeeded(await del(network(0), "pod1"));
		succeeded(await del(network(0), "never"));
		expect(await hostState(guest())).toEqual(before);
	});

	test("a VF that another sandbox has is refused, and a late DEL does not touch its new owner", async () => {
		await withPod("pod1", () =>
			withPod("pod2", async () => {
				succeeded(await add(network(0, { vlan: 300 }), "pod1"));
				const refused = await add(network(0), "pod2");
				expect(refused).toMatchObject({ status: 1, json: { code: 11 } });
				expect(refused.json.msg).toContain(
					"already allocated to sandbox /run/netns/pod1 (container c-pod1, interface net1)",
				);
				// The Multus way: a failed ADD is followed by a DEL.
				succeeded(await del(network(0), "pod2"));
				expect(await vfInfo(0)).toMatchObject({ vlan_list: [{ vlan: 300 }] });
				expect(await links(guest(), "pod1")).toContainEqual(expect.objectContaining({ ifname: "net1" }));
				succeeded(await del(network(0), "pod1"));
			}),
		);
		expect(await stateFiles(guest())).toEqual([]);
	});
});
