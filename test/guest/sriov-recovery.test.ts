/**
 * DEL whatever has happened: to the record, to the interface, to the device, to the sandbox.
 */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { binaries, createPod, hostState, links, succeeded } from "../lab/pods.ts";
import { createVfs, removeVfs, until, type Vf } from "../lab/sriov.ts";
import { goRecord as goRecordOf, network as networkOf, PF, STATE, useSriov } from "../lab/sriov-session.ts";

const { guest, call, sh, files, netdevOnHost } = useSriov();
let vf: Vf;
let before: unknown;

const settings = {
	vlan: 100,
	vlanQoS: 3,
	mac: "02:00:5e:10:00:01",
	trust: "on",
	spoofchk: "off",
	max_tx_rate: 200,
	mtu: 1400,
};
const ipam = { type: "host-local", subnet: "10.56.217.0/24" };
const network = (more = {}) => networkOf(vf, { cniVersion: "1.0.0", ipam, ...more });
const pod1 = { containerId: "c1", netns: "/run/netns/pod1" };
const add = (more: Record<string, unknown> = settings) => call("ADD", network(more), pod1);
const del = (more: Record<string, unknown> = settings, pod: Partial<typeof pod1> = {}) =>
	call("DEL", network(more), { ...pod1, ...pod });
const home = () => netdevOnHost(vf);

/** A VF as new, with the administrator's own settings: these have to come back. */
async function makeVf(): Promise<void> {
	await removeVfs(guest(), PF);
	[vf] = (await createVfs(guest(), PF, 1)) as [Vf];
	// The driver keeps these for the VF's number.
	await sh(`ip link set ${PF} vf 0 state auto; ip link set ${PF} vf 0 max_tx_rate 0 min_tx_rate 0`);
	await sh(`ip link set ${PF} vf 0 vlan 55 qos 1; ip link set ${PF} vf 0 mac 02:00:5e:20:00:01; ip link set ${vf.netdev} mtu 1480
ip link property add dev ${vf.netdev} altname enp1s16`);
}

beforeAll(makeVf);

beforeEach(async () => {
	await createPod(guest(), "pod1");
	before = await hostState(guest());
});

afterEach(async ({ task }) => {
	await guest().run([
		"sh",
		"-c",
		"for pod in pod1 elsewhere; do ip netns delete $pod 2>/dev/null; done; rm -f /run/netns/pod1",
	]);
	if (task.result?.state === "fail") {
		await sh("rm -rf /var/lib/cni/*");
		await makeVf();
	}
	await until("the VF on the host", home);
});

const goRecord = (effective = "") =>
	goRecordOf(
		vf,
		{ EffectiveMAC: effective },
		{
			...{ name: "sriov-network", ipam: { type: "host-local" }, MAC: settings.mac },
			...{ vlanQoS: 3, vlanProto: "802.1q", max_tx_rate: 200, spoofchk: "off" },
		},
	);

describe("the Go plugin's state", () => {
	test("is deleted: record, marker and address of Go's, VF in the pod as Go leaves it", async () => {
		const record = goRecord((await home()).address);
		await sh(`mkdir -p ${STATE}/pci/vf_lock /var/lib/cni/networks/sriov-network
ip link set ${PF} vf 0 vlan 100 qos 3; ip link set ${PF} vf 0 trust on; ip link set ${PF} vf 0 spoofchk off; ip link set ${PF} vf 0 max_tx_rate 200
ip link set ${vf.netdev} netns pod1 name net1; ip -n pod1 link set net1 mtu 1400; ip -n pod1 link set net1 address 02:00:5e:10:00:01 up
printf /run/netns/pod1 > ${STATE}/pci/${vf.pci}
printf 'c1\\r\\nnet1' > /var/lib/cni/networks/sriov-network/10.56.217.2`);
		await guest().writeFile(`${STATE}/c1-net1`, JSON.stringify(record));
		succeeded(await del());
		// Among it the alternative name, which Go leaves on the interface.
		expect(await hostState(guest())).toEqual(before);
	});

	test("a record of ours has every key of Go's that Go reads back, with its type", async () => {
		const shape = (value: unknown): unknown =>
			typeof value === "object" && value !== null
				? Object.fromEntries(Object.entries(value).map(([key, each]) => [key, shape(each)]))
				: value === null
					? "null"
					: typeof value;
		const go = shape(goRecord()) as Record<string, unknown>;
		// Left out where they are empty: Go reads an absent key as its empty value.
		for (const key of ["dns", "link_state", "runtimeConfig", "logLevel", "logFile"]) delete go[key];
		succeeded(await add({ ...settings, vlanProto: "802.1q" }));
		const record = JSON.parse(await guest().readFile(`${STATE}/c1-net1`));
		const marker = await guest().readFile(`${STATE}/pci/${vf.pci}`);
		succeeded(await del());
		expect(shape(record)).toMatchObject(go);
		expect(record.OrigVfState).toMatchObject({
			HostIFName: vf.netdev,
			AdminMAC: "02:00:5e:20:00:01",
			Vlan: 55,
			VlanQoS: 1,
			MTU: 1480,
		});
		expect(marker).toBe("/run/netns/pod1");
	});

	test("a record of ours for a network without settings has Go's null for what is not set", async () => {
		succeeded(await add({}));
		const record = JSON.parse(await guest().readFile(`${STATE}/c1-net1`));
		succeeded(await del({}));
		expect(record).toMatchObject({ vlan: null, vlanQoS: null, vlanProto: null, min_tx_rate: null, max_tx_rate: null });
		expect(await hostState(guest())).toEqual(before);
	});
});

describe("a truncated record", () => {
	test("at its beginning: the settings of the configuration go back to the defaults, the rest is put back", async () => {
		succeeded(await add());
		await sh(`truncate -s 0 ${STATE}/c1-net1`);
		const answer = succeeded(await del());
		expect(answer.stderr).toContain("is damaged");
		const now = await home();
		expect(now.ifname).toMatch(/^dev\d+$/);
		const [pf] = await guest().json(["ip", "-j", "-d", "link", "show", PF]);
		expect(pf.vfinfo_list[0]).toMatchObject({ vlan_list: [{}], trust: false, spoofchk: true, rate: { max_tx: 0 } });
		expect(await files()).toEqual([]);
		await sh(`ip link set ${now.ifname} name ${vf.netdev}`);
		await makeVf();
	});

	test("after the original state: everything is as before", async () => {
		succeeded(await add());
		await sh(`sed -i 's/"cniVersion".*//' ${STATE}/c1-net1`);
		succeeded(await del());
		expect(await hostState(guest())).toEqual(before);
	});

	test("at any length: DEL succeeds, the VF is on the host and nothing is left", { timeout: 900_000 }, async () => {
		// In one shell, which starts few programs: they are slow to start in the guest. The unit tests have every
		// length.
		await guest().writeFile("/tmp/network.json", JSON.stringify(network({ ipam: undefined })));
		const script = `export CNI_CONTAINERID=c1 CNI_IFNAME=net1 CNI_PATH=${binaries} CNI_NETNS=/run/netns/pod1
call() {
	CNI_COMMAND=$1 ${binaries}/sriov < /tmp/network.json > /tmp/out 2>&1 || { cat /tmp/out; echo "$1 failed at $length"; exit 0; }
}
net=/sys/bus/pci/devices/${vf.pci}/net
length=0 count=0 size=
while :; do
	call ADD
	size=\${size:-$(stat -c %s ${STATE}/c1-net1)}
	[ $length -lt $size ] || break
	truncate -s $length ${STATE}/c1-net1
	call DEL
	[ -e $net/* ] || { echo "not home at $length"; exit 0; }
	[ ! -e $net/net1 ] || { echo "still net1 at $length"; exit 0; }
	for file in ${STATE}/* ${STATE}/pci/* ${STATE}/pci/.*.tmp; do
		[ ! -f $file ] || { echo "$file is left at $length"; exit 0; }
	done
	length=$((length + 7)) count=$((count + 1))
done
call DEL
echo "all $count"`;
		const { stdout } = await guest().run(["sh", "-ec", script], { timeoutMs: 600_000 });
		console.log(`truncated records: ${stdout.trim()}`);
		expect(stdout).toMatch(/^all \d{2,}\n$/);
		await makeVf();
	});
});

describe("the interface", () => {
	test("was renamed in the pod", async () => {
		succeeded(await add());
		await sh("ip -n pod1 link set net1 name data0; ip -n pod1 link add net1 type dummy");
		succeeded(await del());
		expect(await hostState(guest())).toEqual(before);
		expect((await links(guest(), "pod1")).map((link) => link.ifname)).toContain("net1");
	});

	test("was moved to the host by hand", async () => {
		succeeded(await add());
		await sh("ip -n pod1 link set net1 netns 1");
		succeeded(await del());
		expect(await hostState(guest())).toEqual(before);
	});

	test("was moved to the host by hand, and another has its old name: it keeps that, and the rest is put back", async () => {
		succeeded(await add());
		await sh(`ip link add ${vf.netdev} type dummy`);
		const answer = succeeded(await del());
		expect(answer.stderr).toContain(`the name ${vf.netdev} is taken`);
		await sh(`ip link delete ${vf.netdev}; ip link set $(ls /sys/bus/pci/devices/${vf.pci}/net) name ${vf.netdev}`);
		expect(await hostState(guest())).toEqual(before);
	});

	test("was moved to another namespace: DEL puts the settings back, and GC the interface once it is there again", async () => {
		succeeded(await add());
		await sh("ip netns add elsewhere; ip -n pod1 link set net1 netns elsewhere name taken");
		const answer = succeeded(await del());
		expect(answer.stderr).toContain("has no network interface on this host or in its sandbox");
		expect((await links(guest(), "elsewhere")).map((link) => link.ifname)).toContain("taken");
		const [pf] = await guest().json(["ip", "-j", "-d", "link", "show", PF]);
		expect(pf.vfinfo_list[0]).toMatchObject({ vlan_list: [{ vlan: 55, qos: 1 }], trust: false });
		expect(await files()).toEqual([`${STATE}/c1-net1`, `${STATE}/pci/${vf.pci}`]);
		await sh("ip netns delete elsewhere");
		await until("the VF on the host", home);
		const collect = { ...network({ "cni.dev/valid-attachments": [] }), cniVersion: "1.1.0" };
		succeeded(await call("GC", collect, { containerId: "", netns: "" }));
		expect(await hostState(guest())).toEqual(before);
	});
});

describe("the device", () => {
	test("was bound to vfio-pci meanwhile: its settings come back", async () => {
		succeeded(await add());
		await sh(`modprobe vfio-pci
echo vfio-pci > /sys/bus/pci/devices/${vf.pci}/driver_override
echo ${vf.pci} > /sys/bus/pci/drivers/igbvf/unbind
echo ${vf.pci} > /sys/bus/pci/drivers_probe`);
		succeeded(await del());
		expect(await files()).toEqual([]);
		const [pf] = await guest().json(["ip", "-j", "-d", "link", "show", PF]);
		expect(pf.vfinfo_list[0]).toMatchObject({
			vlan_list: [{ vlan: 55, qos: 1 }],
			trust: false,
			address: "02:00:5e:20:00:01",
		});
		await sh(`echo > /sys/bus/pci/devices/${vf.pci}/driver_override`);
		await makeVf();
	});

	test("was removed (sriov_numvfs 0)", async () => {
		succeeded(await add());
		await removeVfs(guest(), PF);
		succeeded(await del());
		expect(await files()).toEqual([]);
		await makeVf();
	});

	test("was removed and is there again: new, with its own settings", async () => {
		succeeded(await add());
		await removeVfs(guest(), PF);
		await createVfs(guest(), PF, 1);
		succeeded(await del());
		expect(await files()).toEqual([]);
		expect((await home()).ifname).toBe(vf.netdev);
		await makeVf();
	});
});

describe("the sandbox", () => {
	test.each([
		["ended a moment before DEL", "ip netns delete pod1"],
		["is an empty file, its mount is gone", "umount -l /run/netns/pod1"],
		["is a directory", "ip netns delete pod1; mkdir /run/netns/pod1"],
		[
			"is a namespace of another kind",
			"ip netns delete pod1; touch /run/netns/pod1; mount --bind /proc/self/ns/uts /run/netns/pod1",
		],
	])("%s", async (_, end) => {
		succeeded(await add());
		await sh(end);
		succeeded(await del());
		await sh("umount -l /run/netns/pod1 2>/dev/null || true; rm -rf /run/netns/pod1");
		expect(await hostState(guest())).toEqual(before);
	});

	test("is a new one of the same path, for another pod, and DEL comes late: the new owner keeps the VF", async () => {
		succeeded(await add());
		await sh("ip netns delete pod1");
		await until("the VF on the host", home);
		await createPod(guest(), "pod1");
		succeeded(await call("ADD", network({ vlan: 300 }), { ...pod1, containerId: "c2" }));
		succeeded(await del());
		expect((await links(guest(), "pod1")).map((link) => link.ifname)).toContain("net1");
		const [pf] = await guest().json(["ip", "-j", "-d", "link", "show", PF]);
		expect(pf.vfinfo_list[0].vlan_list).toEqual([{ vlan: 300 }]);
		succeeded(await del({ vlan: 300 }, { containerId: "c2" }));
		expect(await hostState(guest())).toEqual(before);
	});
});
