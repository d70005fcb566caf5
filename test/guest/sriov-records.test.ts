/**
 * State that is not as our ADD leaves it: the Go plugin's beside ours, several records of one VF, records without a
 * marker, damaged ones.
 */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Configuration, createPod, hostState, links, succeeded } from "../lab/pods.ts";
import { createVfs, removeVfs, until, type Vf } from "../lab/sriov.ts";
import { goRecord, network as networkOf, PF, STATE, useSriov } from "../lab/sriov-session.ts";

const { guest, call: sriov, sh, files, netdevOnHost, vfInfo } = useSriov();
let vfs: Vf[];
let before: unknown;

const network = (more = {}, vf = 0) => networkOf(vfs[vf]!, { name: "net", ...more });
const attachment = (container: string, ifName = "net1") => ({
	containerId: container,
	netns: `/run/netns/p${container}`,
	ifName,
});
type Call = Partial<ReturnType<typeof attachment>>;
const call = (verb: string, container: string, more: Record<string, unknown> = {}, as: Call = {}, vf = 0) =>
	sriov(verb, network(more, vf), { ...attachment(container), ...as });
const gc = (...valid: [container: string, ifName: string][]) =>
	sriov(
		"GC",
		{
			...network(),
			deviceID: undefined,
			"cni.dev/valid-attachments": valid.map(([containerID, ifname]) => ({ containerID, ifname })),
		},
		{ containerId: "", netns: "" },
	);
const home = (vf = 0) => netdevOnHost(vfs[vf]!);
const inPod = async (container: string) => (await links(guest(), `p${container}`)).map((link) => link.ifname);

/** As an administrator left them: this has to come back. */
async function makeVfs(): Promise<void> {
	await removeVfs(guest(), PF);
	vfs = await createVfs(guest(), PF, 2);
	await sh(`ip link set ${PF} vf 0 state auto; ip link set ${PF} vf 0 max_tx_rate 0 min_tx_rate 0; ip link set ${PF} vf 0 trust off
ip link set ${PF} vf 0 spoofchk on; ip link set ${PF} vf 0 vlan 55 qos 1; ip link set ${PF} vf 0 mac 02:00:5e:20:00:01
ip link set ${vfs[0]!.netdev} mtu 1480; ip link property add dev ${vfs[0]!.netdev} altname enp1s16`);
}

beforeAll(makeVfs);
beforeEach(async () => {
	for (const container of ["a", "b", "c"]) await createPod(guest(), `p${container}`);
	before = await hostState(guest());
});
afterEach(async ({ task }) => {
	await sh("for pod in pa pb pc; do ip netns delete $pod 2>/dev/null || true; done");
	for (const vf of [0, 1]) await until("the VF on the host", () => home(vf));
	if (task.result?.state !== "fail") return;
	await sh("rm -rf /var/lib/cni/*");
	await makeVfs();
});

async function writeGoRecord(name: string, original: Record<string, unknown> = {}): Promise<void> {
	const EffectiveMAC = (await home())?.address ?? "02:00:5e:20:00:01";
	const record = goRecord(vfs[0]!, { EffectiveMAC, ...original }, {});
	await sh(`mkdir -p ${STATE}/pci/vf_lock`);
	await guest().writeFile(`${STATE}/${name}`, JSON.stringify(record));
}
const writeMarker = (netns: string) => guest().writeFile(`${STATE}/pci/${vfs[0]!.pci}`, netns);

/** A pod as the Go plugin leaves it: alternative names stay on the interface. */
async function goAdd(container: string, ifName = "net1"): Promise<void> {
	await writeGoRecord(`${container}-${ifName}`);
	await writeMarker(`/run/netns/p${container}`);
	await sh(`ip link set ${PF} vf 0 vlan 100; ip link set ${PF} vf 0 trust on
ip link set ${vfs[0]!.netdev} netns p${container} name ${ifName}; ip -n p${container} link set ${ifName} up`);
}
/** How the settings of a VF in use by `goAdd` look. */
const IN_USE = { vlan_list: [{ vlan: 100 }], trust: true };

describe("GC", () => {
	test("keeps a Go attachment whose interface has a dash in its name", async () => {
		await goAdd("b", "net-1");
		succeeded(await gc(["b", "net-1"]));
		expect(await vfInfo()).toMatchObject(IN_USE);
		succeeded(await call("DEL", "b", {}, { ifName: "net-1" }));
		expect(await hostState(guest())).toEqual(before);
	});

	test("takes a Go attachment out of its living sandbox", async () => {
		await goAdd("b");
		succeeded(await gc());
		expect(await inPod("b")).not.toContain("net1");
		expect(await hostState(guest())).toEqual(before);
	});

	test("collects a damaged record of this network, and keeps a valid one", async () => {
		succeeded(await call("ADD", "b", { vlan: 300, trust: "on" }));
		await sh(`truncate -s 700 ${STATE}/b-net1`);
		succeeded(await gc(["b", "net1"]));
		expect(await inPod("b")).toContain("net1");
		// The name of the network has to be there, to tell that it is this one's.
		await sh(`truncate -s 900 ${STATE}/b-net1; grep -q '"name":"net"' ${STATE}/b-net1`);
		succeeded(await gc());
		expect(await hostState(guest())).toEqual(before);
	});
});

describe("of two Go records of one VF the newer is the owner's", () => {
	test.each([
		["GC", () => gc(["b", "net1"])],
		["DEL without a netns", () => call("DEL", "a", {}, { netns: "" })],
	])("%s leaves the VF alone", async (_, collect) => {
		await writeGoRecord("a-net1", { Vlan: 7 });
		await sh(`touch -d '1 minute ago' ${STATE}/a-net1`);
		await goAdd("b");
		succeeded(await collect());
		expect(await vfInfo()).toMatchObject({ ...IN_USE, address: "02:00:5e:20:00:01" });
		expect(await files()).toEqual([`${STATE}/b-net1`, `${STATE}/pci/${vfs[0]!.pci}`]);
		succeeded(await call("DEL", "b"));
		expect(await hostState(guest())).toEqual(before);
	});
});

describe("the next ADD heals first", () => {
	const addAndDelete = async () => {
		succeeded(await call("ADD", "c"));
		expect(await vfInfo()).toMatchObject({ vlan_list: [{ vlan: 55 }], trust: false });
		succeeded(await call("DEL", "c"));
		expect(await hostState(guest())).toEqual(before);
	};

	test("a record of Go's without a marker", async () => {
		await goAdd("b");
		await sh(`rm ${STATE}/pci/0*; ip netns delete pb`);
		await until("the VF on the host", home);
		await addAndDelete();
	});

	test("a record of ours without a marker", async () => {
		succeeded(await call("ADD", "b", { vlan: 300, trust: "on" }));
		await sh(`rm ${STATE}/pci/0*; ip netns delete pb`);
		await until("the VF on the host", home);
		await addAndDelete();
	});

	test("a record of ours that was cut off", async () => {
		succeeded(await call("ADD", "b", { vlan: 300, trust: "on" }));
		await sh(`truncate -s 700 ${STATE}/b-net1; ip netns delete pb`);
		await until("the VF on the host", home);
		await addAndDelete();
	});

	test.each([
		["behind the network's name: its address is released", "vlan"],
		["before the network's name: its address is left to its DEL", "name"],
	])("a record that was cut off %s", async (_, cut) => {
		// In the order of runtimes that sort the keys.
		const { cniVersion, deviceID, name, type } = network();
		const ipam = { type: "host-local", subnet: "10.56.219.0/24" };
		const sorted = { cniVersion, deviceID, ipam, name, type } as Configuration;
		succeeded(await sriov("ADD", sorted, attachment("b")));
		await sh(`sed -i 's/"${cut}":.*//' ${STATE}/b-net1; ip netns delete pb`);
		await until("the VF on the host", () => home());
		succeeded(await call("ADD", "c"));
		succeeded(await call("DEL", "c"));
		expect((await sh("ls /var/lib/cni/networks")).stdout).toBe("net\n");
		if (cut === "name") succeeded(await call("DEL", "b", { ipam }, { netns: "" }));
		expect(await hostState(guest())).toEqual(before);
	});

	test("and refuses a VF whose marker is lost and whose sandbox lives", async () => {
		succeeded(await call("ADD", "b", { vlan: 300 }));
		await sh(`rm ${STATE}/pci/0*`);
		const { json } = await call("ADD", "c");
		expect(json).toMatchObject({
			code: expect.any(Number),
			msg: expect.stringMatching(/\/run\/netns\/pb|no network interface/),
		});
		succeeded(await call("DEL", "b"));
		expect(await hostState(guest())).toEqual(before);
	});
});

describe("DEL", () => {
	test("knows a sandbox under another spelling of its path", async () => {
		await goAdd("b");
		succeeded(await call("DEL", "b", {}, { netns: "/var/run/netns/pb" }));
		expect(await inPod("b")).not.toContain("net1");
		expect(await hostState(guest())).toEqual(before);
	});

	test("of a Go attachment from before the last boot leaves the VF as it is now", async () => {
		await writeGoRecord("b-net1", { Vlan: 9, HostIFName: "old0", AdminMAC: "00:00:00:00:00:00" });
		await writeMarker("/run/netns/gone");
		await sh(`touch -d '10 years ago' ${STATE}/b-net1`);
		succeeded(await call("DEL", "b", {}, { netns: "" }));
		expect(await hostState(guest())).toEqual(before);
	});

	test("of a record that is whole, but has no MAC in it", async () => {
		await goAdd("b");
		await sh(
			`sed -i 's/"AdminMAC":"[^"]*"/"AdminMAC":""/; s/"EffectiveMAC":"[^"]*"/"EffectiveMAC":"x"/' ${STATE}/b-net1`,
		);
		succeeded(await call("DEL", "b"));
		expect(await hostState(guest())).toEqual(before);
	});

	test("of a damaged record finds the VF in it, when the configuration does not tell", async () => {
		succeeded(await call("ADD", "b", { vlan: 300 }));
		await sh(`truncate -s 700 ${STATE}/b-net1`);
		succeeded(await call("DEL", "b", { deviceID: undefined }));
		expect(await hostState(guest())).toEqual(before);
	});

	test("does not take the record of another for its own, though their names are the same", async () => {
		succeeded(await call("ADD", "a-b", { vlan: 300 }, { netns: "/run/netns/pa", ifName: "c" }));
		succeeded(await call("DEL", "a", {}, { netns: "/run/netns/pb", ifName: "b-c" }, 1));
		expect(await inPod("a")).toContain("c");
		succeeded(await call("ADD", "a", {}, { netns: "/run/netns/pb", ifName: "b-c" }, 1));
		succeeded(await call("DEL", "a", {}, { netns: "/run/netns/pb", ifName: "b-c" }, 1));
		succeeded(await call("DEL", "a-b", {}, { netns: "/run/netns/pa", ifName: "c" }));
		expect(await hostState(guest())).toEqual(before);
	});

	test("while the PF is not to be found keeps the record, and GC puts the settings back when it is", async () => {
		succeeded(await call("ADD", "b", { vlan: 300, trust: "on" }));
		await sh(`ip link set ${PF} netns pa`);
		const answer = succeeded(await call("DEL", "b"));
		expect(answer.stderr).toContain("the PF of VF");
		await sh(`ip -n pa link set ${PF} netns 1; ip link set ${PF} up`);
		await until(
			"the PF's carrier",
			async () => (await links(guest())).find((link) => link.ifname === PF)?.operstate === "UP",
		);
		succeeded(await gc());
		expect(await hostState(guest())).toEqual(before);
	});

	test("removes what an ADD that was killed left beside the device-info file", async () => {
		const directory = "/var/run/k8s.cni.cncf.io/devinfo/cni";
		const file = `${directory}/net-b_net1`;
		succeeded(await call("ADD", "b", { runtimeConfig: { CNIDeviceInfoFile: file } }));
		await sh(`cp ${file} ${directory}/.net-b_net1.tmp`);
		succeeded(await call("DEL", "b"));
		const { stdout } = await sh(`ls -A ${directory}; rm -r /run/k8s.cni.cncf.io`);
		expect(stdout).toBe("net-b_net1\n");
	});
});

describe("VFs that came home under each other's names", () => {
	test("each gets its own back", async () => {
		const [first, second] = vfs as [Vf, Vf];
		succeeded(await call("ADD", "a", {}, { ifName: second.netdev! }));
		succeeded(await call("ADD", "b", {}, { ifName: first.netdev! }, 1));
		await sh("ip netns delete pa; ip netns delete pb");
		for (const vf of [0, 1]) await until("the VF on the host", () => home(vf));
		expect((await home(0)).ifname).not.toBe(first.netdev);
		succeeded(await call("DEL", "a", {}, { ifName: second.netdev! }));
		succeeded(await call("DEL", "b", {}, { ifName: first.netdev! }, 1));
		expect(await hostState(guest())).toEqual(before);
	});

	test("and so does one that comes home while another has its name", async () => {
		const second = vfs[1]!;
		succeeded(await call("ADD", "a", {}, { ifName: second.netdev! }));
		succeeded(await call("ADD", "b", {}, {}, 1));
		await sh("ip netns delete pa");
		await until("the VF on the host", () => home(0));
		expect((await home(0)).ifname).toBe(second.netdev);
		succeeded(await call("DEL", "b", {}, {}, 1));
		succeeded(await call("DEL", "a", {}, { ifName: second.netdev! }));
		expect(await hostState(guest())).toEqual(before);
	});
});
