/**
 * A failure at each step of ADD: one JSON error that names the value, and a host as it was before.
 */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { binaries, type Configuration, callPlugin, createPod, hostState, links, succeeded } from "../lab/pods.ts";
import { createVfs, type Vf } from "../lab/sriov.ts";
import { EVERYTHING, network as networkOf, PF, STATE, useSriov } from "../lab/sriov-session.ts";

const { guest, sh, call } = useSriov();
const REFUSE = "/sys/module/vfshim/parameters/refuse";
let vf: Vf;
let other: Vf;
let before: unknown;
let podBefore: unknown;

const hostLocal = { type: "host-local", subnet: "10.56.217.0/24" };
const network = (more = {}) => networkOf(vf, { ...EVERYTHING, ipam: hostLocal, ...more });

const pod1 = { containerId: "c1", netns: "/run/netns/pod1" };

beforeAll(async () => {
	[vf, other] = (await createVfs(guest(), PF, 2)) as [Vf, Vf];
	// An administrator's own settings: these have to come back, not the defaults.
	await sh(`ip link set ${PF} vf 0 vlan 55 qos 1; ip link set ${PF} vf 0 trust on; ip link set ${PF} vf 0 max_tx_rate 100 min_tx_rate 10; ip link set ${PF} vf 0 state disable
ip link set ${PF} vf 0 mac 02:00:5e:20:00:01; ip link set ${vf.netdev} mtu 1480
ip link property add dev ${vf.netdev} altname enp1s16`);
	// The directories and lock files that stay for good.
	await createPod(guest(), "pod0");
	succeeded(await call("ADD", network(), { containerId: "c0", netns: "/run/netns/pod0" }));
	succeeded(await call("DEL", network(), { containerId: "c0", netns: "/run/netns/pod0" }));
	await sh("ip netns delete pod0");
});

beforeEach(async () => {
	await createPod(guest(), "pod1");
	before = await hostState(guest());
	podBefore = await links(guest(), "pod1");
});

afterEach(async () => {
	await guest().writeFile(REFUSE, "\n");
	await guest().run(["ip", "netns", "delete", "pod1"]);
});

/** ADD fails with this error, and nothing of it is left anywhere. */
async function expectRefusal(
	configuration: Configuration,
	error: { code: number; msg: RegExp },
	more = {},
): Promise<void> {
	const answer = await call("ADD", configuration, { ...pod1, ...more });
	expect(answer).toMatchObject({ status: 1, signal: null });
	expect(answer.json).toMatchObject({ code: error.code, msg: expect.stringMatching(error.msg) });
	expect(await hostState(guest())).toEqual(before);
	expect(await links(guest(), "pod1")).toEqual(podBefore);
}

describe("settings that the driver refuses", () => {
	test.each([
		["vlan", /did not take vlan 100, vlanQoS 3, vlanProto 802.1q for VF 0: .*\(EOPNOTSUPP\)/],
		["mac", /did not take mac 02:00:5e:10:00:01 for VF 0/],
		["rate", /did not take min_tx_rate 50, max_tx_rate 200 for VF 0/],
		["spoofchk", /did not take spoofchk off for VF 0/],
		["trust", /did not take trust off for VF 0/],
		["link_state", /did not take link_state enable for VF 0/],
	])("%s", async (setting, msg) => {
		await guest().writeFile(REFUSE, `${setting}:1`);
		await expectRefusal(network(), { code: 100, msg });
	});

	test("a rate above the link's speed", () =>
		expectRefusal(network({ max_tx_rate: 99999 }), {
			code: 100,
			msg: /did not take min_tx_rate 50, max_tx_rate 99999 for VF 0: .*\(EINVAL\)/,
		}));

	test("an MTU above the device's", () =>
		expectRefusal(network({ mtu: 9999 }), { code: 100, msg: /RTM_SETLINK on .*\(EINVAL\)/ }));
});

test("an answer that cannot be written: everything is undone, and stderr says why", async () => {
	const { status, stderr } = await call("ADD", network(), { ...pod1, stdout: "/dev/full" });
	expect({ status, stderr }).toMatchObject({
		status: 1,
		stderr: expect.stringContaining("sriov: the answer cannot be written to stdout: write: no space left on device"),
	});
	expect(await hostState(guest())).toEqual(before);
	expect(await links(guest(), "pod1")).toEqual(podBefore);
});

describe("the pod", () => {
	test("has an interface of that name, which stays untouched", async () => {
		await sh("ip -n pod1 link add net1 type dummy; ip -n pod1 link set net1 up mtu 1234");
		podBefore = await links(guest(), "pod1");
		await expectRefusal(network(), {
			code: 4,
			msg: /net1: an interface of this name exists already in \/run\/netns\/pod1/,
		});
	});

	test("has an interface with that alternative name", async () => {
		await sh("ip -n pod1 link add d0 type dummy; ip -n pod1 link property add dev d0 altname net1");
		podBefore = await links(guest(), "pod1");
		await expectRefusal(network(), { code: 4, msg: /net1: an interface of this name exists already/ });
	});

	test("has an interface of the VF's host name: no obstacle", async () => {
		await sh(`ip -n pod1 link add ${vf.netdev} type dummy`);
		succeeded(await call("ADD", network(), pod1));
		succeeded(await call("DEL", network(), pod1));
		expect(await hostState(guest())).toEqual(before);
	});

	test.each([
		["does not exist", "/run/netns/none", { code: 4, msg: /network namespace "\/run\/netns\/none" does not exist/ }],
		["is a file", "/etc/hostname", { code: 4, msg: /"\/etc\/hostname" is not a network namespace/ }],
		[
			"is a namespace of another kind",
			"/proc/1/ns/mnt",
			{ code: 4, msg: /is a namespace, but not a network namespace/ },
		],
		["is the host", "/proc/1/ns/net", { code: 8, msg: /should not be the same/ }],
	])("%s", (_, netns, error) => expectRefusal(network(), error, { netns }));
});

describe("the device", () => {
	test.each([
		["is missing", undefined, { code: 7, msg: /VF pci addr is required/ }],
		["is no PCI address", "eth0/../..", { code: 7, msg: /"eth0\/\.\.\/\.\." is not a PCI address/ }],
		["does not exist", "0000:99:00.0", { code: 7, msg: /"0000:99:00.0" is not an SR-IOV virtual function/ }],
		["is a PF", "0000:01:00.0", { code: 7, msg: /"0000:01:00.0" is not an SR-IOV virtual function/ }],
	])("%s", (_, deviceID, error) => expectRefusal(network({ deviceID }), error));

	test("has no driver", async () => {
		await sh(`echo ${other.pci} > /sys/bus/pci/drivers/igbvf/unbind`);
		before = await hostState(guest());
		await expectRefusal(network({ deviceID: other.pci }), {
			code: 100,
			msg: new RegExp(`VF ${other.pci} has no driver`),
		});
		await sh(`echo ${other.pci} > /sys/bus/pci/drivers/igbvf/bind`);
	});

	test("is in a namespace that nobody told us of", async () => {
		await sh(`ip netns add elsewhere; ip link set ${other.netdev} netns elsewhere`);
		before = await hostState(guest());
		await expectRefusal(network({ deviceID: other.pci }), { code: 100, msg: /has no network interface on this host/ });
		await sh(`ip -n elsewhere link set ${other.netdev} netns 1; ip netns delete elsewhere`);
	});
});

describe("the state directory", () => {
	test("cannot hold the record", async () => {
		await sh(`mkdir ${STATE}/c1-net1`);
		await expectRefusal(network(), { code: 5, msg: /\/var\/lib\/cni\/sriov\/.*\(EISDIR\)/ });
		await sh(`rmdir ${STATE}/c1-net1`);
	});

	test("is full", async () => {
		await sh(
			`mount -t tmpfs -o size=4k tmpfs ${STATE}; mkdir -p ${STATE}/pci/vf_lock; head -c 4096 /dev/zero > ${STATE}/fill.lock`,
		);
		before = await hostState(guest());
		await expectRefusal(network(), { code: 5, msg: /\(ENOSPC\)/ });
		await sh(`umount ${STATE}`);
	});

	test("is read-only", async () => {
		await sh(`mount -t tmpfs -o ro tmpfs ${STATE}`);
		await expectRefusal(network(), { code: 5, msg: /\(EROFS\)/ });
		await sh(`umount ${STATE}`);
	});
});

describe("IPAM", () => {
	test("is no plugin", () =>
		expectRefusal(network({ ipam: { type: "nothing" } }), {
			code: 103,
			msg: /failed to find plugin "nothing" in path/,
		}));

	test("has no address left", async () => {
		const ipam = { type: "host-local", subnet: "10.9.9.0/30" };
		succeeded(
			await callPlugin(guest(), "host-local", "ADD", network({ ipam }), {
				containerId: "holder",
				netns: "/run/netns/x",
			}),
		);
		before = await hostState(guest());
		await expectRefusal(network({ ipam }), {
			code: 11,
			msg: /no IP addresses available in range set: 10.9.9.1-10.9.9.2/,
		});
		succeeded(await callPlugin(guest(), "host-local", "DEL", network({ ipam }), { containerId: "holder", netns: "" }));
	});

	test("gives no address", () =>
		expectRefusal(network({ ipam: { type: "static", addresses: [] } }), {
			code: 103,
			msg: /static returned missing IP config/,
		}));

	test("gives an address twice", () => {
		const addresses = [{ address: "10.1.1.2/24" }, { address: "10.1.1.2/24" }];
		return expectRefusal(network({ ipam: { type: "static", addresses } }), {
			code: 100,
			msg: /failed to add IP address 10.1.1.2\/24 to "net1": .*\(EEXIST\)/,
		});
	});

	test("gives a route whose gateway cannot be reached", () => {
		const ipam = { ...hostLocal, routes: [{ dst: "10.2.0.0/16", gw: "192.0.2.1" }] };
		return expectRefusal(network({ ipam }), {
			code: 100,
			msg: /failed to add route 10.2.0.0\/16 via 192.0.2.1 dev "net1"/,
		});
	});

	test.each([
		["fails with an error of its own", `printf '{"code":123,"msg":"no luck"}'; exit 1`, { code: 123, msg: /no luck/ }],
		["prints nonsense", "echo nonsense", { code: 103, msg: /nonsense/ }],
		["prints nothing", "true", { code: 103, msg: /unexpected end of JSON input/ }],
		["dies", "kill -9 $$", { code: 103, msg: /SIGKILL|signal 9|killed/ }],
	])("%s", async (_, script, error) => {
		await sh(`mkdir -p /tmp/ipam; cat > /tmp/ipam/broken <<'END'
#!/bin/sh
[ "$CNI_COMMAND" = ADD ] || exit 0
${script}
END
chmod +x /tmp/ipam/broken`);
		await expectRefusal(network({ ipam: { type: "broken" } }), error, { path: `${binaries}:/tmp/ipam` });
	});
});

test("after all of these an ADD without faults works, and its DEL puts everything back", async () => {
	succeeded(await call("ADD", network(), pod1));
	succeeded(await call("DEL", network(), pod1));
	expect(await hostState(guest())).toEqual(before);
});
