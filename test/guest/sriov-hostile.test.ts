/** Pods and nodes that do what they should not: DEL harms nobody, and always succeeds. */
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { createPod, hostState, links, succeeded } from "../lab/pods.ts";
import { createVfs, until, type Vf } from "../lab/sriov.ts";
import { network, PF, useSriov } from "../lab/sriov-session.ts";

const { guest, call: sriov, sh } = useSriov();
let vf: Vf;
let before: unknown;

const SETTINGS = { vlan: 300, trust: "on", mtu: 1400 };
const call = (verb: string, more = {}, where = {}) =>
	sriov(verb, network(vf, { ...SETTINGS, ...more }), { containerId: "c1", netns: "/run/netns/pod1", ...where });

beforeAll(async () => {
	[vf] = (await createVfs(guest(), PF, 1)) as [Vf];
});
beforeEach(async () => {
	await createPod(guest(), "pod1");
	before = await hostState(guest());
});
afterEach(async () => {
	await guest().run(["ip", "netns", "delete", "pod1"], { ok: false });
});

test.each([
	[
		"a pod that renames its VF and gives the name to an interface of its own keeps that one",
		"ip -n pod1 link set net1 down; ip -n pod1 link set net1 name real",
	],
	[
		"a new pod behind a dead pod's path keeps its interface when the old DEL comes",
		"ip netns delete pod1; ip netns add pod1",
	],
])("%s", async (_, script) => {
	succeeded(await call("ADD"));
	await sh(`${script}; ip -n pod1 link add net1 type veth peer name other`);
	succeeded(await call("DEL"));
	expect((await links(guest(), "pod1")).map((link) => link.ifname)).toEqual(["lo", "net1", "other"]);
	expect(await hostState(guest())).toEqual(before);
});

test("a pod that gives its VF the alternative name of a host interface can end", async () => {
	succeeded(await call("ADD"));
	await sh("ip -n pod1 link property add dev net1 altname eth1; ip -n pod1 link property add dev net1 altname own");
	succeeded(await call("DEL"));
	expect(await hostState(guest())).toEqual(before);
});

test("a namespace that outlives its path: DEL succeeds and forgets nothing, ADD waits for it, and heals the VF once it is back", async () => {
	succeeded(await call("ADD"));
	const holder = guest().start(["ip", "netns", "exec", "pod1", "sleep", "1000"], { ok: false });
	await until("a process in the pod", async () => (await sh("ip netns pids pod1")).stdout !== "");
	await sh("ip netns delete pod1");
	const deleted = succeeded(await call("DEL"));
	expect(deleted.stderr).toContain("has no network interface on this host or in its sandbox");
	await createPod(guest(), "pod2");
	const refused = await call("ADD", {}, { containerId: "c2", netns: "/run/netns/pod2" });
	expect(refused.json).toMatchObject({ code: 11, msg: expect.stringContaining("is not back from container c1 yet") });
	holder.kill("SIGKILL");
	await holder.result;
	await until("the VF on the host", async () => (await links(guest())).some((link) => link.parentdev === vf.pci));
	succeeded(await call("ADD", { vlan: 0, trust: "off", mtu: 1500 }, { containerId: "c2", netns: "/run/netns/pod2" }));
	succeeded(await call("DEL", {}, { containerId: "c2", netns: "/run/netns/pod2" }));
	await sh("ip netns delete pod2");
	expect(await hostState(guest())).toEqual(before);
});

test.each([
	["names an IPAM plugin that is not there", { ipam: { type: "nothing" } }],
	["has an IPAM type that is no text", { ipam: { type: 5 } }],
	["has a deviceID that is no text", { deviceID: 5 }],
	["has a VLAN that is none", { vlan: 9999 }],
])("DEL after an ADD that was refused because the configuration %s succeeds", async (_, more) => {
	expect((await call("ADD", more)).status).toBe(1);
	succeeded(await call("DEL", more));
	expect(await hostState(guest())).toEqual(before);
});

test("DEL with the host's own namespace takes the sandbox for gone", async () => {
	succeeded(await call("ADD"));
	await sh("ip netns delete pod1");
	succeeded(await call("DEL", {}, { netns: "/proc/1/ns/net" }));
	expect(await hostState(guest())).toEqual(before);
});

test("a record of another boot is dropped: the VFs of this one are not touched", async () => {
	succeeded(await call("ADD"));
	await sh(`ip netns delete pod1
sed -i 's/"bootId":"[^"]*"/"bootId":"another"/' /var/lib/cni/sriov/c1-net1`);
	await until("the VF on the host", async () => (await links(guest())).some((link) => link.ifname === "net1"));
	succeeded(await call("DEL", {}, { netns: "" }));
	expect((await links(guest())).some((link) => link.ifname === "net1")).toBe(true);
	await sh(
		`ip link set net1 name ${vf.netdev} mtu 1500; ip link set ${PF} vf 0 vlan 0; ip link set ${PF} vf 0 trust off`,
	);
	expect(await hostState(guest())).toEqual(before);
});

test("a VF that was promiscuous before is so after", async () => {
	await sh(`ip link set ${vf.netdev} promisc on`);
	before = await hostState(guest());
	succeeded(await call("ADD"));
	await sh("ip -n pod1 link set net1 promisc off allmulticast on");
	succeeded(await call("DEL"));
	expect(await hostState(guest())).toEqual(before);
	await sh(`ip link set ${vf.netdev} promisc off`);
});

test("what a pod writes on its VF's label is gone after, and the host's is there again", async () => {
	await sh(`ip link set ${vf.netdev} alias rack-4 txqueuelen 700 group 7`);
	before = await hostState(guest());
	succeeded(await call("ADD"));
	await sh("ip -n pod1 link set net1 alias mine txqueuelen 1 group 8");
	succeeded(await call("DEL"));
	expect(await hostState(guest())).toEqual(before);
	await sh(`ip link set ${vf.netdev} alias "" txqueuelen 1000 group 0`);
	before = await hostState(guest());
	succeeded(await call("ADD"));
	await sh("ip -n pod1 link set net1 alias mine");
	succeeded(await call("DEL"));
	expect(await hostState(guest())).toEqual(before);
});

test("a logFile that is a pipe holds nothing up, and one that is a file gets the lines", async () => {
	await sh("mkfifo /tmp/pipe");
	expect(succeeded(await call("ADD", { logLevel: "debug", logFile: "/tmp/pipe" })).stderr).toContain(
		"cannot write to log file",
	);
	succeeded(await call("DEL", { logLevel: "debug", logFile: "/tmp/log" }));
	succeeded(await call("ADD", { logLevel: "debug", logFile: "/tmp/log" }));
	succeeded(await call("DEL"));
	expect(await guest().readFile("/tmp/log")).toMatch(
		/^time="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z" level="debug" msg="the VF is in the sandbox" cniName="sriov-cni" containerID="c1"/,
	);
	await sh("rm /tmp/pipe /tmp/log");
});

test("STATUS says 50 where no record could be written, and 7 for a configuration that ADD would refuse", async () => {
	succeeded(await call("STATUS"));
	expect((await call("STATUS", { vlan: 9999 })).json).toMatchObject({ code: 7 });
	await sh("mount -t tmpfs -o ro tmpfs /var/lib/cni/sriov");
	const answer = await call("STATUS");
	await sh("umount /var/lib/cni/sriov");
	expect(answer.json).toMatchObject({ code: 50, msg: expect.stringMatching(/no VF can be attached: .*\(EROFS\)/) });
});
