/** `berth node`, `berth metrics`, `berth heal` and `berth node prepare` on a card with pods of every sort. */
import { execFileSync } from "node:child_process";
import { Ajv2020 } from "ajv/dist/2020.js";
import { beforeAll, describe, expect, test } from "vitest";
import schema from "../../schemas/node.schema.json" with { type: "json" };
import { Guest } from "../lab/guest.ts";
import type { Machine } from "../lab/machine.ts";
import { binaries, callPlugin, createPod, links, succeeded } from "../lab/pods.ts";
import { rdmaDevices } from "../lab/rdma.ts";
import { createRdmaDevices, createVfs, listVfs, removeVfs, until, type Vf } from "../lab/sriov.ts";
import { PF, STATE, useSriov } from "../lab/sriov-session.ts";

const { guest, sh } = useSriov();
const BERTH = `${binaries}/berth`;
let vfs: Vf[];

const berth = (args: readonly string[], machine: Machine = guest()) => machine.run([BERTH, ...args], { ok: false });

/** What `berth node --json` says, which is as the published schema has it. */
async function view(...flags: string[]) {
	const { stdout } = await berth(["node", "--json", ...flags]);
	const json = JSON.parse(stdout);
	const validate = new Ajv2020({ strict: false }).compile(schema);
	expect(validate(json), JSON.stringify(validate.errors)).toBe(true);
	return json;
}

const pod = (index: number): string => `pod${index}`;

/** ADD of the VF `index`, in a chain with rdma if wanted. */
async function attach(index: number, isRdma: boolean): Promise<void> {
	const netns = await createPod(guest(), pod(index));
	const call = {
		containerId: `sandbox-${index}`,
		netns,
		args: `IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=${pod(index)};K8S_POD_UID=uid-${index}`,
	};
	const base = { cniVersion: "1.1.0", name: "net", deviceID: vfs[index]!.pci };
	const ipam = { type: "host-local", subnet: "10.56.217.0/24" };
	const sriov = { ...base, type: "sriov", vlan: 100 + index, trust: "on", ipam };
	const { json } = succeeded(await callPlugin(guest(), "sriov", "ADD", sriov, call));
	if (isRdma) succeeded(await callPlugin(guest(), "rdma", "ADD", { ...base, type: "rdma", prevResult: json }, call));
}

const checkpoint = (pairs: readonly (readonly [uid: string, pci: string])[]) => ({
	Data: {
		PodDeviceEntries: pairs.map(([PodUID, pci]) => ({
			...{ PodUID, ContainerName: "c", ResourceName: "intel.com/vf", AllocResp: "" },
			DeviceIDs: { "-1": [pci] },
		})),
		RegisteredDevices: {},
	},
	Checksum: 1,
});

describe("pods of every sort", () => {
	// 0: with RDMA. 1: without. 2: its namespace is gone. 3: its record is truncated. 4: Go's. 5: for a program. 6:
	// free.
	beforeAll(async () => {
		vfs = await createVfs(guest(), PF, 7);
		await createRdmaDevices(guest(), [vfs[0]!, vfs[2]!, vfs[6]!]);
		for (const index of [0, 2]) await attach(index, true);
		for (const index of [1, 3]) await attach(index, false);
		const { pci } = vfs[5]!;
		await sh(`modprobe vfio-pci; cd /sys/bus/pci/devices/${pci}; echo vfio-pci > driver_override
echo ${pci} > driver/unbind; echo ${pci} > /sys/bus/pci/drivers_probe`);
		await attach(5, false);
		await sh(`ip netns delete ${pod(2)}`);
		await sh(`file=${STATE}/sandbox-3-net1; head -c 700 $file > /tmp/cut; cat /tmp/cut > $file`);
		await createPod(guest(), pod(4));
		const go = vfs[4]!;
		const record = {
			...{
				cniVersion: "1.0.0",
				name: "old",
				type: "sriov",
				ipam: {},
				dns: {},
				Master: PF,
				MAC: "",
				MTU: 1500,
				vlan: 7,
			},
			...{
				deviceID: go.pci,
				VFID: 4,
				OrigVfState: { HostIFName: go.netdev, MTU: 1500, AdminMAC: "", EffectiveMAC: "" },
			},
		};
		await guest().writeFile(`${STATE}/sandbox-4-net1`, JSON.stringify(record));
		await guest().writeFile(`${STATE}/pci/${go.pci}`, `/run/netns/${pod(4)}`);
		await sh(`ip link set ${PF} vf 4 vlan 7; ip link set ${go.netdev} netns ${pod(4)} name net1
ip -n ${pod(4)} address add 10.9.9.9/24 dev net1`);
	}, 600_000);

	test("berth node shows each as it is, and marks what is wrong", { timeout: 600_000 }, async () => {
		const all = await view();
		const pf = all.pfs.find(({ netdev }: { netdev: string }) => netdev === PF);
		expect(pf).toMatchObject({ driver: "igb", totalVfs: 7 });
		expect(all.rdmaMode).toBe("exclusive");
		const [host] = (await links(guest())).filter((link) => link.ifname === PF);
		for (const [index, vf] of pf.vfs.entries()) {
			const seen = host.vfinfo_list[index];
			expect(vf).toMatchObject({ index, pci: vfs[index]!.pci });
			expect(vf.settings).toMatchObject({ mac: seen.address, trust: seen.trust, spoofchk: seen.spoofchk });
			expect(vf.settings.vlan).toBe(seen.vlan_list?.[0]?.vlan ?? 0);
		}
		const inPod = async (index: number) => (await links(guest(), pod(index))).find((link) => link.ifname === "net1");
		const states = pf.vfs.map(({ state, place }: { state: string; place: string }) => `${state} ${place}`);
		expect(states).toEqual(["used pod", "used pod", "orphaned host", "used pod", "used pod", "used none", "free host"]);
		const [rdma, plain, orphan, cut, go, vfio, free] = pf.vfs;
		expect(rdma.holder).toEqual({
			...{ container: "sandbox-0", interface: "net1", network: "net", pod: `shop/${pod(0)}` },
			...{ netns: `/run/netns/${pod(0)}`, alive: true, madeBy: "berth" },
		});
		expect(rdma.rdma).toEqual({ name: "mlx5_0", place: "pod" });
		expect(await rdmaDevices(guest(), pod(0))).toEqual(["mlx5_0"]);
		expect([rdma.netdev, rdma.mac]).toEqual(["net1", (await inPod(0)).address]);
		const [addressed] = await guest().json(["ip", "-n", pod(0), "-j", "-4", "address", "show", "net1"]);
		const [{ local, prefixlen }] = addressed.addr_info;
		expect(rdma.addresses).toContain(`${local}/${prefixlen}`);
		expect([plain.rdma, plain.mac, plain.marks]).toEqual([null, (await inPod(1)).address, []]);
		expect(orphan.marks).toContain(`VF: sandbox /run/netns/${pod(2)} is gone`);
		expect(orphan.holder).toMatchObject({ alive: false, pod: `shop/${pod(2)}` });
		expect(cut.holder).toMatchObject({ container: "sandbox-3", netns: `/run/netns/${pod(3)}`, alive: true });
		expect([cut.netdev, cut.mac]).toEqual(["net1", (await inPod(3)).address]);
		expect(cut.marks).toEqual(["the record of container sandbox-3, interface net1 is damaged or truncated"]);
		expect(go.holder).toMatchObject({ madeBy: "go", network: "old", netns: `/run/netns/${pod(4)}`, alive: true });
		expect(go.addresses).toContain("10.9.9.9/24");
		expect([vfio.driver, vfio.netdev, vfio.holder.container]).toEqual(["vfio-pci", null, "sandbox-5"]);
		expect(free).toMatchObject({ holder: null, marks: [], rdma: { name: "mlx5_6", place: "host" } });
		expect(free.netdev).toBe(vfs[6]!.netdev);

		const table = await berth(["node"]);
		expect(table.status).toBe(1);
		expect(table.stdout).toMatch(
			new RegExp(`^0 +${vfs[0]!.pci} +igbvf +net1 .* 100 +on +mlx5_0 +shop/pod0 +net1 .*used$`, "m"),
		);
		expect(table.stdout).toContain(`! VF 2: VF: sandbox /run/netns/${pod(2)} is gone\n`);
		expect(table.stdout).toContain("not known: which VF the kubelet gave to which pod: there is no ");
		expect((await sh(`ip netns exec ${pod(1)} true; ls -A ${STATE}`)).stdout).not.toContain("node");
	});

	test("what the kubelet gave to whom", { timeout: 300_000 }, async () => {
		const path = "/tmp/kubelet_internal_checkpoint";
		const pairs = [["uid-1", vfs[0]!.pci] as const, ["uid-1", vfs[1]!.pci] as const];
		await guest().writeFile(path, JSON.stringify(checkpoint(pairs)));
		const { pfs, notes } = await view("-checkpoint", path);
		expect(notes).toEqual([]);
		expect(pfs[0].vfs[0].marks).toEqual(["the kubelet gave it to the pod with UID uid-1, and not to shop/pod0"]);
		expect(pfs[0].vfs[1].marks).toEqual([]);
		for (const [content, note] of [
			["{", "cannot be read"],
			['{"Data": 1}', "is of a version that is not known"],
			["\0".repeat(9), "cannot be read"],
		] as const) {
			await guest().writeFile(path, content);
			expect((await view("-checkpoint", path)).notes).toEqual([expect.stringContaining(note)]);
		}
	});

	test("berth metrics says the same, and promtool takes it", { timeout: 300_000 }, async () => {
		const { stdout } = await berth(["metrics", "-"]);
		expect(stdout).toContain(`berth_vfs{pf="${PF}",state="used"} 5\n`);
		expect(stdout).toContain(`berth_vfs{pf="${PF}",state="orphaned"} 1\n`);
		expect(stdout).toContain(
			`berth_vf_held{pf="${PF}",vf="0",pci="${vfs[0]!.pci}",pod="shop/pod0",container="sandbox-0",`,
		);
		expect(stdout).toContain('berth_rdma_devices{place="pod"} 1\n');
		expect(stdout).toContain('berth_addresses{ipam="host-local",network="net"} 5\n');
		expect(stdout).toContain('berth_address_capacity{ipam="host-local",network="net"} 253\n');
		execFileSync("promtool", ["check", "metrics"], { input: stdout });
		await sh(
			`mkdir /tmp/collector; ${BERTH} metrics /tmp/collector; grep -q berth_marks /tmp/collector/berth.prom; [ $(ls -A /tmp/collector) = berth.prom ]`,
		);
	});

	test("berth heal gives back the orphan, and nothing else", { timeout: 300_000 }, async () => {
		const dry = await berth(["heal", "--dry-run"]);
		expect(dry.status).toBe(1);
		expect(dry.stdout).toMatch(/^RDMA device +\S+ +sandbox-2 .*would be freed$/m);
		expect(dry.stdout).toMatch(/^VF +\S+ +sandbox-2 .*would be freed$/m);
		const before = await view();
		const healed = await berth(["heal", "--json", "-cni-path", binaries]);
		expect(JSON.parse(healed.stdout).filter(({ outcome }: { outcome: string }) => outcome === "freed")).toMatchObject([
			{ kind: "RDMA device", name: vfs[2]!.pci, container: "sandbox-2" },
			{ kind: "VF", name: vfs[2]!.pci, container: "sandbox-2", network: "net" },
		]);
		const after = await view();
		expect(after.pfs[0].vfs[2]).toMatchObject({
			state: "free",
			holder: null,
			settings: { vlan: 0 },
			rdma: { name: "mlx5_2" },
		});
		for (const index of [0, 1, 3, 4, 5, 6]) expect(after.pfs[0].vfs[index]).toEqual(before.pfs[0].vfs[index]);
		expect((await berth(["metrics", "-"])).stdout).toContain('network="net"} 4\n');
	});

	test("berth node prepare touches none that somebody has", { timeout: 300_000 }, async () => {
		const before = (await view()).pfs[0].vfs;
		const refused = await berth(["node", "prepare", "--pf", PF, "--vfs", "4"]);
		expect([refused.status, refused.stdout]).toEqual([
			1,
			expect.stringContaining(`PF ${PF}: failed: it has 7 VFs, and not 4: VF ${vfs[0]!.pci} belongs to a pod`),
		]);
		const { stdout } = await berth(["node", "prepare", "--pf", PF, "--vfs", "7", "--rdma-cm"]);
		const after = (await view()).pfs[0].vfs;
		for (const index of [0, 1, 3, 4, 5]) {
			expect(stdout).toContain(`VF ${index} of ${PF}, ${vfs[index]!.pci}: left alone, it `);
			expect(after[index]).toEqual(before[index]);
		}
		for (const index of [2, 6]) expect(after[index].settings.mac).toMatch(/^02:/);
	});
});

test("berth node prepare: VFs, MACs that stay, drivers that bind again, exclusive mode", {
	timeout: 900_000,
}, async () => {
	await sh("for pod in $(ip netns list | cut -d' ' -f1); do ip netns delete $pod; done; rm -rf /var/lib/cni/*");
	await until("all VFs on the host", async () => (await links(guest())).filter((link) => link.parentdev).length > 4);
	await removeVfs(guest(), PF);
	await sh("rdma system set netns shared");
	const args = ["node", "prepare", "--pf", PF, "--vfs", "3", "--rdma-cm"];
	const dry = await berth([...args, "--dry-run"]);
	expect(dry.stdout.split("\n").slice(0, 3)).toEqual([
		"RDMA: devices belong to one network namespace each (rdma system set netns exclusive)",
		`PF ${PF}: 3 VFs in place of 0`,
		expect.stringMatching(/^VF 0 of eth0: MAC 02:/),
	]);
	expect((await sh(`cat /sys/class/net/${PF}/device/sriov_numvfs; rdma system`)).stdout).toMatch(/^0\n.*shared/);
	const first = await berth(args);
	expect(first.status, first.stdout + first.stderr).toBe(0);
	expect((await sh("rdma system")).stdout).toContain("exclusive");
	const macs = async (machine: Machine) => {
		const [pf] = (await links(machine)).filter((link) => link.ifname === PF);
		const host = (await links(machine)).filter(
			(link) => link.parentdev && pf.vfinfo_list.some(({ address }: { address: string }) => address === link.address),
		);
		return { administrative: pf.vfinfo_list.map(({ address }: { address: string }) => address), netdevs: host.length };
	};
	const made = await macs(guest());
	// Each VF's own interface has taken its MAC.
	expect(made.netdevs).toBe(3);
	expect(new Set(made.administrative).size).toBe(3);
	const again = await berth(args);
	expect([again.status, again.stdout]).toEqual([0, "nothing to do\n"]);
	// A bond gives its ports a MAC that they have in common.
	await sh(`ip link set ${PF} address 02:00:5e:10:00:99`);
	expect((await berth(args)).stdout).toBe("nothing to do\n");
	const [used] = await listVfs(guest(), PF);
	await sh(`ip address add 10.8.8.8/24 dev ${used!.netdev}`);
	const fewer = await berth(["node", "prepare", "--pf", PF, "--vfs", "2"]);
	expect([fewer.status, fewer.stdout]).toEqual([
		1,
		expect.stringContaining(`VF ${used!.pci} is used by the host as ${used!.netdev}`),
	]);
	await using other = await Guest.boot({ pfs: 1 });
	const afterBoot = await berth(args, other);
	expect(afterBoot.status, afterBoot.stdout + afterBoot.stderr).toBe(0);
	expect(await macs(other)).toEqual(made);
	for (const [wrong, sentence] of [
		[["--pf", "lo", "--vfs", "1"], "there is no such PF on this host"],
		[["--pf", PF, "--vfs", "8"], "it can have 7 VFs, not 8"],
	] as const) {
		const { status, stdout } = await berth(["node", "prepare", ...wrong]);
		expect([status, stdout]).toEqual([1, expect.stringContaining(sentence)]);
	}
});
