/**
 * CHECK tells what is not as ADD left it, GC gives back what is not valid, STATUS says when no ADD can work.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Configuration, callPlugin, createPod, hostState, links, succeeded } from "../lab/pods.ts";
import { createVfs, removeVfs, type Vf } from "../lab/sriov.ts";
import { network as networkOf, PF, useSriov } from "../lab/sriov-session.ts";

const { guest, call: sriov, sh } = useSriov();
let vfs: Vf[];

const ipam = {
	type: "host-local",
	subnet: "10.56.217.0/24",
	routes: [{ dst: "10.60.0.0/16" }, { dst: "10.61.0.0/16", gw: "10.56.217.9" }],
};
const network = (vf: number, more = {}) => networkOf(vfs[vf]!, { ipam, ...more });
const attachment = (pod: string) => ({ containerId: `c-${pod}`, netns: `/run/netns/${pod}` });
const call = (verb: string, configuration: Configuration, pod: string) => sriov(verb, configuration, attachment(pod));
/** GC and STATUS are about no attachment. */
const callForAll = (verb: string, configuration: Configuration) =>
	sriov(verb, configuration, { containerId: "", netns: "" });

beforeAll(async () => {
	vfs = await createVfs(guest(), PF, 4);
});

describe("CHECK", () => {
	const settings = {
		vlan: 100,
		mac: "02:00:5e:10:00:01",
		spoofchk: "off",
		trust: "on",
		min_tx_rate: 10,
		max_tx_rate: 200,
		link_state: "enable",
		mtu: 1400,
	};
	let before: unknown;
	let prevResult: unknown;
	let address: string;

	const check = () => call("CHECK", network(0, { ...settings, prevResult }), "pod1");

	beforeAll(async () => {
		before = await hostState(guest());
		await createPod(guest(), "pod1");
		prevResult = succeeded(await call("ADD", network(0, settings), "pod1")).json;
		address = (prevResult as { ips: { address: string }[] }).ips[0]!.address;
	});
	afterAll(async () => {
		succeeded(await call("DEL", network(0, settings), "pod1"));
		expect(await hostState(guest())).toEqual(before);
	});

	test("passes, and passes again", async () => {
		expect(succeeded(await check()).stdout).toBe("");
		succeeded(await check());
	});

	const routeBack =
		"ip -n pod1 route replace 10.60.0.0/16 via 10.56.217.1 dev net1; ip -n pod1 route replace 10.61.0.0/16 via 10.56.217.9 dev net1";
	test.each<[string, () => string, RegExp, () => string]>([
		[
			"the MAC",
			() => "ip -n pod1 link set net1 address 02:00:5e:10:00:99",
			/mac of .* is 02:00:5e:10:00:99, not 02:00:5e:10:00:01/i,
			() => `ip -n pod1 link set net1 address ${settings.mac}`,
		],
		[
			"the MTU",
			() => "ip -n pod1 link set net1 mtu 1300",
			/MTU of net1 is 1300, not 1400/,
			() => "ip -n pod1 link set net1 mtu 1400",
		],
		[
			"the address",
			() => `ip -n pod1 address del ${address} dev net1; ip -n pod1 address add 10.56.217.99/24 dev net1`,
			/address 10\.56\.217\.2\/24 is missing on net1/,
			() => `ip -n pod1 address flush dev net1; ip -n pod1 address add ${address} dev net1; ${routeBack}`,
		],
		[
			"the route",
			() => "ip -n pod1 route del 10.60.0.0/16",
			/route to 10\.60\.0\.0\/16 is missing on net1/,
			() => routeBack,
		],
		[
			"the route's gateway",
			() => "ip -n pod1 route replace 10.61.0.0/16 via 10.56.217.77 dev net1",
			/route to 10\.61\.0\.0\/16 via 10\.56\.217\.9 is missing on net1/,
			() => routeBack,
		],
		[
			"the interface's name",
			() => "ip -n pod1 link set net1 name net7",
			/there is no interface net1 in \/run\/netns\/pod1/,
			() => "ip -n pod1 link set net7 name net1",
		],
		["up", () => "ip -n pod1 link set net1 down", /net1 is down/, () => `ip -n pod1 link set net1 up; ${routeBack}`],
		[
			"vlan",
			() => `ip link set ${PF} vf 0 vlan 101`,
			/vlan of VF 0 of PF eth0 is 101, not 100/,
			() => `ip link set ${PF} vf 0 vlan 100`,
		],
		[
			"vlanQoS",
			() => `ip link set ${PF} vf 0 vlan 100 qos 5`,
			/vlanQoS of VF 0 of PF eth0 is 5, not 0/,
			() => `ip link set ${PF} vf 0 vlan 100`,
		],
		[
			"spoofchk",
			() => `ip link set ${PF} vf 0 spoofchk on`,
			/spoofchk of VF 0 of PF eth0 is on, not off/,
			() => `ip link set ${PF} vf 0 spoofchk off`,
		],
		[
			"trust",
			() => `ip link set ${PF} vf 0 trust off`,
			/trust of VF 0 of PF eth0 is off, not on/,
			() => `ip link set ${PF} vf 0 trust on`,
		],
		[
			"max_tx_rate",
			() => `ip link set ${PF} vf 0 max_tx_rate 300 min_tx_rate 10`,
			/max_tx_rate of VF 0 of PF eth0 is 300, not 200/,
			() => `ip link set ${PF} vf 0 max_tx_rate 200 min_tx_rate 10`,
		],
		[
			"min_tx_rate",
			() => `ip link set ${PF} vf 0 max_tx_rate 200 min_tx_rate 20`,
			/min_tx_rate of VF 0 of PF eth0 is 20, not 10/,
			() => `ip link set ${PF} vf 0 max_tx_rate 200 min_tx_rate 10`,
		],
		[
			"link_state",
			() => `ip link set ${PF} vf 0 state disable`,
			/link_state of VF 0 of PF eth0 is disable, not enable/,
			() => `ip link set ${PF} vf 0 state enable`,
		],
		[
			"the address's reservation",
			() => "mv /var/lib/cni/networks/sriov-network/10.56.217.2 /tmp/reservation",
			/Failed to find address added by container c-pod1/,
			() => "mv /tmp/reservation /var/lib/cni/networks/sriov-network/10.56.217.2",
		],
		[
			"the record",
			() => "mv /var/lib/cni/sriov/c-pod1-net1 /tmp/record",
			/there is no record of an attachment of container c-pod1, interface net1/,
			() => "mv /tmp/record /var/lib/cni/sriov/c-pod1-net1",
		],
	])("%s", async (_, change, sentence, back) => {
		await sh(change());
		const answer = await check();
		await sh(back());
		expect(answer).toMatchObject({ status: 1, json: { msg: expect.stringMatching(sentence) } });
		succeeded(await check());
	});

	test.each([
		["vlan", `ip link set ${PF} vf 1 vlan 77`, /vlan of VF 1 of PF eth0 is 77, not 0/],
		["trust", `ip link set ${PF} vf 1 trust on`, /trust of VF 1 of PF eth0 is on, not off/],
		["spoofchk", `ip link set ${PF} vf 1 spoofchk off`, /spoofchk of VF 1 of PF eth0 is off, not on/],
		["max_tx_rate", `ip link set ${PF} vf 1 max_tx_rate 100 min_tx_rate 0`, /max_tx_rate of VF 1 .* is 100, not 0/],
	])("%s that nobody has asked for, in an old version", async (_, change, sentence) => {
		const before = await hostState(guest());
		await createPod(guest(), "pod5");
		const old = network(1, { cniVersion: "0.4.0" });
		const result = succeeded(await call("ADD", old, "pod5")).json;
		succeeded(await call("CHECK", { ...old, prevResult: result }, "pod5"));
		await sh(change);
		const answer = await call("CHECK", { ...old, prevResult: result }, "pod5");
		succeeded(await call("DEL", old, "pod5"));
		await sh("ip netns delete pod5");
		expect(answer).toMatchObject({ status: 1, json: { code: 102, msg: expect.stringMatching(sentence) } });
		expect(await hostState(guest())).toEqual(before);
	});

	test("without prevResult, and of an attachment that is not there", async () => {
		expect(await call("CHECK", network(0, settings), "pod1")).toMatchObject({ status: 1, json: { code: 7 } });
		expect((await call("CHECK", network(1, { prevResult }), "pod1")).json.msg).toContain(`not ${vfs[1]!.pci}`);
	});
});

describe("GC", () => {
	const files = async (): Promise<string[]> => ((await hostState(guest())) as { files: string[] }).files;
	const gc = (valid: unknown) => callForAll("GC", network(0, { "cni.dev/valid-attachments": valid }));
	const pods = ["pod1", "pod2", "pod3"];
	let before: { links: { ifname: string }[] };
	let address: string;

	beforeAll(async () => {
		await sh(`ip link set ${PF} vf 1 vlan 55; ip link set ${vfs[1]!.netdev} mtu 1480`);
		before = (await hostState(guest())) as typeof before;
		for (const [index, pod] of pods.entries()) {
			await guest().run(["ip", "netns", "add", pod], { ok: false });
			const answer = succeeded(
				await call("ADD", network(index, { trust: "on", ...(index > 0 && { vlan: 100 + index }), mtu: 1400 }), pod),
			);
			if (pod === "pod1") address = answer.json.ips[0].address.split("/")[0];
		}
	});
	afterAll(async () => {
		await sh(`ip link set ${PF} vf 1 vlan 0; ip link set ${vfs[1]!.netdev} mtu 1500`);
	});

	const expectHome = async (vf: number) => {
		const now = await links(guest());
		const { netdev } = vfs[vf]!;
		expect(now.find((link) => link.ifname === netdev)).toEqual(before.links.find((link) => link.ifname === netdev));
	};

	test("with one of three valid gives the two others back, and their addresses; the valid pod goes on working", async () => {
		const other = { containerID: "somebody", ifname: "eth0" };
		expect(await files()).toHaveLength(9);
		succeeded(await gc([other, { containerID: "c-pod1", ifname: "net1" }]));
		await expectHome(1);
		await expectHome(2);
		expect(await files()).toEqual([
			`/var/lib/cni/networks/sriov-network/${address}`,
			"/var/lib/cni/sriov/c-pod1-net1",
			`/var/lib/cni/sriov/pci/${vfs[0]!.pci}`,
		]);
		// A VF of the host is the pod's neighbour.
		await sh(`ip address add 10.56.217.200/24 dev ${vfs[3]!.netdev}; ip link set ${vfs[3]!.netdev} up`);
		const ping = ["ip", "netns", "exec", "pod1", "ping", "-c", "1", "-w", "30", "-i", "0.3", "10.56.217.200"];
		await guest().run(ping);
		await sh(`ip address flush dev ${vfs[3]!.netdev}; ip link set ${vfs[3]!.netdev} down`);
	});

	test("without a list gives nothing back, and neither for another network", async () => {
		const state = await hostState(guest());
		const unlisted = await callForAll("GC", network(0));
		expect(unlisted).toMatchObject({ status: 0, stderr: expect.stringContaining("nothing is released") });
		succeeded(await callForAll("GC", { ...network(0, { "cni.dev/valid-attachments": [] }), name: "another" }));
		expect(await hostState(guest())).toEqual(state);
	});

	test("goes on after an attachment that cannot be forgotten, and tells of it", async () => {
		const record = "/var/lib/cni/sriov/c-pod1-net1";
		succeeded(await call("ADD", network(1, { vlan: 101 }), "pod2"));
		await sh(`chattr +i ${record}`);
		const answer = await gc([]);
		await sh(`chattr -i ${record}`);
		expect(answer).toMatchObject({ status: 1, json: { msg: expect.stringContaining(record) } });
		await expectHome(1);
		succeeded(await gc([]));
		for (const vf of [0, 1, 2]) await expectHome(vf);
		expect(await files()).toEqual([]);
	});
});

describe("STATUS", () => {
	const STATE = "/var/lib/cni/sriov";
	/** As runtimes ask: which VF it will be is not known. */
	const status = (more: Record<string, unknown> = {}) => {
		const { deviceID: _, ...rest } = network(0);
		return callForAll("STATUS", { ...rest, ...more });
	};

	test("is silent when all is well, and leaves nothing", async () => {
		const before = await hostState(guest());
		expect(succeeded(await status()).stdout).toBe("");
		expect(await hostState(guest())).toEqual(before);
	});

	test("50 when the state directory is read-only", async () => {
		await sh(`mkdir -p ${STATE}; mount -t tmpfs -o ro tmpfs ${STATE}`);
		const answer = await status();
		await sh(`umount ${STATE}`);
		expect(answer).toMatchObject({
			status: 1,
			json: { code: 50, msg: expect.stringMatching(/\/var\/lib\/cni\/sriov.*\(EROFS\)/) },
		});
	});

	test("50 when IPAM has no address left", async () => {
		const small = { ipam: { type: "host-local", subnet: "10.9.9.0/30" } };
		const holder = { containerId: "holder", netns: "/run/netns/none" };
		succeeded(await callPlugin(guest(), "host-local", "ADD", network(0, small), holder));
		const answer = await status(small);
		succeeded(await callPlugin(guest(), "host-local", "DEL", network(0, small), holder));
		expect(answer).toMatchObject({
			status: 1,
			json: { code: 50, msg: expect.stringMatching(/no IP addresses available in range set: 10\.9\.9\.1-10\.9\.9\.2/) },
		});
	});

	test("50 when a device that is named is no VF, or not there", async () => {
		expect(succeeded(await status({ deviceID: vfs[0]!.pci })).stdout).toBe("");
		const { json } = await status({ deviceID: "0000:7f:00.1" });
		expect(json).toMatchObject({ code: 50, msg: expect.stringContaining("/0000:7f:00.1 does not exist") });
	});

	test("50 when no PF has VFs, and 51 when pods had some", async () => {
		const { pci } = vfs[0]!;
		await createPod(guest(), "last");
		succeeded(await call("ADD", network(0), "last"));
		await removeVfs(guest(), PF);
		expect((await status()).json).toMatchObject({
			code: 51,
			msg: expect.stringMatching(`^no VF can be attached: no PF has VFs: sriov_numvfs is 0 for .*lost theirs: ${pci}$`),
		});
		succeeded(await call("DEL", network(0), "last"));
		expect((await status()).json).toMatchObject({ code: 50, msg: expect.stringMatching(/^no VF .* is 0 for [^;]*$/) });
		vfs = await createVfs(guest(), PF, 1);
		expect(succeeded(await status()).stdout).toBe("");
	});
});
