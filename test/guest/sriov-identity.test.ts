/**
 * Nobody gets what is another's: clocks that step, names that two attachments share, state that makes no sense,
 * networks that were edited.
 */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { binaries, callPlugin, createPod, hostState, stateFiles, succeeded } from "../lab/pods.ts";
import { createVfs, removeVfs, until, type Vf } from "../lab/sriov.ts";
import { network, PF, STATE, useSriov } from "../lab/sriov-session.ts";

const { guest, call: sriov, sh, netdevOnHost, vfInfo, inPod } = useSriov();
let vfs: Vf[];
let before: unknown;

type More = Record<string, unknown>;
interface Who {
	readonly container: string;
	readonly ifName: string;
	readonly pod: string;
	readonly vf: number;
}
const one: Who = { container: "one", ifName: "net1", pod: "pa", vf: 0 };

function call(verb: string, who: Who, more: More = {}, netns = `/run/netns/${who.pod}`, path?: string) {
	const { container, ifName } = who;
	return sriov(verb, network(vfs[who.vf]!, { name: "net", ...more }), {
		containerId: container,
		ifName,
		netns,
		args: `K8S_POD_NAME=${container};IgnoreUnknown=1`,
		...(path && { path }),
	});
}
const gc = (valid: readonly Who[], more: More = {}) =>
	call(
		"GC",
		{ ...one, container: "", ifName: "" },
		{
			deviceID: undefined,
			"cni.dev/valid-attachments": valid.map(({ container, ifName }) => ({ containerID: container, ifname: ifName })),
			...more,
		},
		"",
	);
const home = (vf = 0) => netdevOnHost(vfs[vf]!);
const asBefore = async () => expect(await hostState(guest())).toEqual(before);

beforeAll(async () => {
	vfs = await createVfs(guest(), PF, 2);
});
beforeEach(async () => {
	for (const pod of ["pa", "pb"]) await createPod(guest(), pod);
	before = await hostState(guest());
});
afterEach(async ({ task }) => {
	await sh("for pod in pa pb; do ip netns delete $pod 2>/dev/null || true; done");
	if (task.result?.state !== "fail") return;
	await sh("rm -rf /var/lib/cni/*");
	await removeVfs(guest(), PF);
	vfs = await createVfs(guest(), PF, 2);
});

/** A pod as the Go plugin (sriov-cni v2.10.0) leaves it: VLAN 100 and trust, on a VF that had neither. */
async function goAdd(move = `ip link set ${vfs[0]!.netdev} netns pa name net1`): Promise<void> {
	const { netdev = "", pci } = vfs[0]!;
	const record = {
		cniVersion: "1.0.0",
		name: "net",
		type: "sriov",
		OrigVfState: {
			HostIFName: move === "" ? "" : netdev,
			SpoofChk: true,
			Trust: false,
			AdminMAC: (await vfInfo()).address,
			EffectiveMAC: (await home())?.address ?? "",
			Vlan: 0,
			VlanQoS: 0,
			VlanProto: 33024,
			MinTxRate: 0,
			MaxTxRate: 0,
			LinkState: 0,
			MTU: move === "" ? 0 : 1500,
		},
		Master: PF,
		vlan: 100,
		trust: "on",
		deviceID: pci,
		VFID: 0,
	};
	await sh(`mkdir -p ${STATE}/pci/vf_lock; ip link set ${PF} vf 0 vlan 100; ip link set ${PF} vf 0 trust on; ${move}`);
	await guest().writeFile(`${STATE}/one-net1`, JSON.stringify(record));
	await guest().writeFile(`${STATE}/pci/${pci}`, "/run/netns/pa");
}
const IN_USE = { vlan_list: [{ vlan: 100 }], trust: true };

describe.each([
	["forward", "+1 day", "-1 day"],
	["backward", "-1 day", "+1 day"],
])("a clock that steps %s", (_, step, back) => {
	const stepped = async (work: () => Promise<void>) => {
		await sh(`date -s '${step}'`);
		try {
			await work();
		} finally {
			await sh(`date -s '${back}'`);
		}
	};

	test("does not keep DEL from taking a VF of Go's out of its living pod", async () => {
		await goAdd();
		await stepped(async () => {
			succeeded(await call("DEL", one));
		});
		expect(await inPod("pa")).not.toContain("net1");
		await asBefore();
	});

	test("does not keep DEL from putting back the settings of a VF that came home by itself", async () => {
		await goAdd();
		await sh("ip netns delete pa");
		await until("the VF on the host", home);
		await stepped(async () => {
			succeeded(await call("DEL", one));
		});
		await asBefore();
	});

	test("does not make an address free that waits for reuseDelaySeconds, nor longer wait", async () => {
		const ipam = { type: "host-local", subnet: "10.56.219.0/30", dataDir: "/run/waiting", reuseDelaySeconds: 600 };
		const hostLocal = (verb: string, containerId: string) =>
			callPlugin(
				guest(),
				"host-local",
				verb,
				{ cniVersion: "1.1.0", name: "net", ipam },
				{ containerId, netns: "/run/netns/pa" },
			);
		succeeded(await hostLocal("ADD", "one"));
		succeeded(await hostLocal("DEL", "one"));
		await stepped(async () => {
			expect((await hostLocal("ADD", "two")).json.details).toMatch(/is free in (600|5\d\d) s$/);
		});
		await sh("rm -r /run/waiting");
	});

	test("does not give a VF with a userspace driver to a second pod", async () => {
		const { pci } = vfs[0]!;
		await sh(`modprobe vfio-pci; cd /sys/bus/pci/devices/${pci}; echo vfio-pci > driver_override
echo ${pci} > driver/unbind; echo ${pci} > /sys/bus/pci/drivers_probe; readlink driver | grep -q vfio-pci`);
		try {
			await goAdd("");
			await stepped(async () => {
				const { json } = await call("ADD", { ...one, container: "two", pod: "pb" }, { vlan: 200 });
				expect(json).toMatchObject({ code: 11, msg: expect.stringContaining("/run/netns/pa") });
				expect(await vfInfo()).toMatchObject(IN_USE);
				succeeded(await call("DEL", one));
			});
			expect((await vfInfo()).trust).toBe(false);
			expect(await stateFiles(guest())).toEqual([]);
		} finally {
			await sh(
				`cd /sys/bus/pci/devices/${pci}; echo > driver_override; echo ${pci} > driver/unbind; echo ${pci} > /sys/bus/pci/drivers_probe`,
			);
			await until("the VF's interface", home);
		}
	});
});

describe("one name", () => {
	test("of one attachment with two VFs at the same moment: one has it, the other is refused and takes nothing of it", async () => {
		for (let round = 0; round < 4; round++) {
			const both = [one, { ...one, vf: 1 }];
			const answers = await Promise.all(both.map((who, vf) => call("ADD", who, { vlan: 300 + vf })));
			const winners = both.filter((_, index) => answers[index]!.status === 0);
			expect(winners.length, JSON.stringify(answers)).toBe(1);
			expect(await inPod("pa")).toContain("net1");
			expect(await stateFiles(guest())).toEqual([`${STATE}/one-net1`, `${STATE}/pci/${vfs[winners[0]!.vf]!.pci}`]);
			for (const who of both) succeeded(await call("DEL", who));
			await asBefore();
		}
	});

	const left: Who = { container: "a-b", ifName: "c", pod: "pa", vf: 0 };
	const right: Who = { container: "a", ifName: "b-c", pod: "pb", vf: 1 };

	test.each([
		["first", left, right],
		["second", right, left],
	])("of two attachments: both work, and DEL of the %s leaves the other alone", async (_, first, second) => {
		succeeded(await call("ADD", left, { vlan: 300 }));
		succeeded(await call("ADD", right, { vlan: 301 }));
		succeeded(await call("DEL", first));
		expect(await inPod(second.pod)).toContain(second.ifName);
		expect(await vfInfo(first.vf)).toMatchObject({ vlan_list: [{}] });
		succeeded(await call("DEL", second));
		await asBefore();
	});

	test("of two attachments: GC collects the one that is not valid", async () => {
		succeeded(await call("ADD", left, { vlan: 300 }));
		succeeded(await call("ADD", right, { vlan: 301 }));
		succeeded(await gc([right]));
		expect([await inPod("pa"), await inPod("pb")]).toEqual([
			expect.not.arrayContaining(["c"]),
			expect.arrayContaining(["b-c"]),
		]);
		succeeded(await gc([]));
		await asBefore();
	});
});

describe("what somebody put into the state directory", () => {
	const FOREIGN = `mkdir -p ${STATE}/pci/vf_lock ${STATE}/old-records-2026 ${STATE}/pci/0000:ff:00.1 ${STATE}/pci/old
mkfifo ${STATE}/a-fifo; ln -s loop-1 ${STATE}/loop-1; ln -s /dev/zero ${STATE}/dev-zero; printf 'x-\\377' > "$(printf '${STATE}/n-\\377')"`;

	test("stops no verb, and is still there afterwards", async () => {
		await sh(FOREIGN);
		const there = `find ${STATE} ! -path '*.lock' ! -name one-net1 ! -name '0000:01:*' | sort | cat -v`;
		const { stdout } = await sh(there);
		const { json: prevResult } = succeeded(await call("ADD", one, { vlan: 300 }));
		const kept = succeeded(await gc([one]));
		expect(kept.stderr.match(/passed over/g)).toHaveLength(1);
		succeeded(await call("CHECK", one, { vlan: 300, prevResult }));
		succeeded(await call("DEL", one));
		succeeded(await gc([]));
		expect((await sh(there)).stdout).toBe(stdout);
		await sh(`rm -r ${STATE}/*; mkdir -p ${STATE}/pci/vf_lock`);
		await asBefore();
	});

	test("under the name of an attachment's record or of a VF's marker: ADD says so, DEL gets over it", async () => {
		for (const path of [`${STATE}/one-net1`, `${STATE}/pci/${vfs[0]!.pci}`]) {
			await sh(`mkdir -p ${STATE}/pci/vf_lock ${path}`);
			const added = await call("ADD", one, { vlan: 300 });
			if (added.status !== 0) expect(added.json.msg).toContain(path);
			succeeded(await call("DEL", one));
			succeeded(await gc([]));
			await sh(`rmdir ${path}`);
			await asBefore();
		}
	});

	test.each([
		["leads out of the directory", { deviceID: "../../victim/file", OrigVfState: {} }],
		["leads out of the directory of locks", { deviceID: "../../../escaped", OrigVfState: {} }],
		["names no container that could be", { OrigVfState: {}, berth: { containerID: "../x", ifname: "../y" } }],
		["has numbers that are none", { OrigVfState: { HostIFName: "../eth", Vlan: 1e9, MTU: -1 }, VFID: 1e20, ipam: 5 }],
	])("a record that is whole JSON and %s: DEL and GC get over it", async (_, record) => {
		const around = "find /var/lib -maxdepth 2 ! -path '/var/lib/cni/*' -newer /tmp/mark; ls /var/lib/cni";
		for (const verb of ["DEL", "GC"]) {
			await sh(`mkdir -p ${STATE}/pci/vf_lock; touch /tmp/mark`);
			const text = JSON.stringify({ name: "net", deviceID: vfs[0]!.pci, ...record });
			await guest().writeFile(`${STATE}/one-net1`, text);
			const { stdout } = await sh(around);
			succeeded(verb === "DEL" ? await call("DEL", one) : await gc([]));
			expect((await sh(around)).stdout).toBe(stdout);
			await asBefore();
		}
	});
});

describe("the kernel counts for more than what is on disk", () => {
	const two: Who = { ...one, container: "two", pod: "pb" };
	const marker = () => `${STATE}/pci/${vfs[0]!.pci}`;
	const backUp = () => sh(`rm -rf /run/backup; cp -a ${STATE} /run/backup`);
	const restore = () => sh(`cp -aT /run/backup ${STATE}`);

	test("a record was removed: DEL takes the VF out of the pod", async () => {
		succeeded(await call("ADD", one, { vlan: 300 }));
		await sh(`rm ${STATE}/one-net1`);
		succeeded(await call("DEL", one, { vlan: 300 }));
		expect(await inPod("pa")).not.toContain("net1");
		expect(await vfInfo()).toMatchObject({ vlan_list: [{}] });
		expect(await stateFiles(guest())).toEqual([]);
		// Its name was lost.
		const { netdev } = vfs[0]!;
		await sh(
			`name=$(ls /sys/bus/pci/devices/${vfs[0]!.pci}/net); [ $name = ${netdev} ] || ip link set $name name ${netdev}`,
		);
	});

	test("a marker names another sandbox: no ADD gets the VF, and DEL puts all back", async () => {
		succeeded(await call("ADD", one, { vlan: 300 }));
		for (const path of ["/run/netns/pb", "/run/netns/gone"]) {
			await sh(`printf %s ${path} > ${marker()}`);
			expect((await call("ADD", two, { vlan: 301 })).json).toMatchObject({ code: 11 });
			expect(await vfInfo()).toMatchObject({ vlan_list: [{ vlan: 300 }] });
		}
		await sh(`printf %s /run/netns/pb > ${marker()}`);
		succeeded(await call("DEL", one));
		await asBefore();
	});

	test("record and marker of an earlier attachment are there again: DEL and GC of that leave the new owner alone", async () => {
		succeeded(await call("ADD", one, { vlan: 300 }));
		await backUp();
		succeeded(await call("DEL", one));
		succeeded(await call("ADD", two, { vlan: 301 }));
		for (const collect of [() => call("DEL", one), () => gc([two])]) {
			await restore();
			succeeded(await collect());
			expect(await inPod("pb")).toContain("net1");
			expect(await vfInfo()).toMatchObject({ vlan_list: [{ vlan: 301 }] });
		}
		succeeded(await call("DEL", two));
		await asBefore();
	});

	test("a record of another VF is there again: DEL takes the present one out of the pod", async () => {
		succeeded(await call("ADD", one));
		await backUp();
		succeeded(await call("DEL", one));
		succeeded(await call("ADD", { ...one, vf: 1 }));
		await restore();
		succeeded(await call("DEL", { ...one, vf: 1 }));
		expect(await inPod("pa")).not.toContain("net1");
		succeeded(await gc([]));
		expect(await stateFiles(guest())).toEqual([]);
	});
});

describe("addresses are released where they are", () => {
	const ipam = { type: "host-local", subnet: "10.56.218.0/24", dataDir: "/run/store" };
	const held = async () => (await sh("ls /run/store/net 2>/dev/null | grep '^10' || true")).stdout;

	test.each([
		["lost its ipam", {}],
		["has the type alone", { ipam: { type: "host-local" } }],
		["has another directory by now", { ipam: { ...ipam, dataDir: "/run/other" } }],
	])("when DEL %s", async (_, more) => {
		succeeded(await call("ADD", one, { ipam }));
		expect(await held()).toMatch(/^10\.56\.218\.\d+\n$/);
		succeeded(await call("DEL", one, more));
		expect(await held()).toBe("");
		await asBefore();
	});

	test("when GC has another directory by now", async () => {
		succeeded(await call("ADD", one, { ipam }));
		succeeded(await gc([], { ipam: { ...ipam, dataDir: "/run/other" } }));
		expect(await held()).toBe("");
		await asBefore();
	});

	test("with the arguments of no other pod", async () => {
		const plugins = "/tmp/plugins";
		await sh(`mkdir -p ${plugins}; cat > ${plugins}/told <<'END'
#!/bin/sh
echo "$CNI_COMMAND $CNI_CONTAINERID [$CNI_ARGS]" >> /tmp/told.log
cat >/dev/null
[ "$CNI_COMMAND" != ADD ] || echo '{"cniVersion":"1.1.0","ips":[{"address":"10.1.2.3/24"}]}'
END
chmod +x ${plugins}/told; rm -f /tmp/told.log`);
		const path = `${plugins}:${binaries}`;
		const more = { ipam: { type: "told" } };
		succeeded(await call("ADD", one, more, undefined, path));
		await sh("ip netns delete pa");
		await until("the VF on the host", home);
		const two = { ...one, container: "two", pod: "pb" };
		succeeded(await call("ADD", two, more, undefined, path));
		succeeded(await call("DEL", two, more, undefined, path));
		const { stdout } = await sh("cat /tmp/told.log");
		expect(stdout).toContain("ADD two [K8S_POD_NAME=two;IgnoreUnknown=1]");
		expect(stdout).toContain("DEL one []");
		await asBefore();
	});
});

test("a key of the configuration does not become a part of the record that Go reads", async () => {
	succeeded(await call("ADD", one, { vlan: 300, origvfstate: { Vlan: 7 }, vfid: 5, MASTER: "eth9", Berth: 1 }));
	const record = JSON.parse(await guest().readFile(`${STATE}/one-net1`));
	const keys = Object.keys(record).map((key) => key.toLowerCase());
	for (const key of ["origvfstate", "vfid", "master", "berth"])
		expect(keys.filter((each) => each === key)).toEqual([key]);
	expect(record).toMatchObject({ OrigVfState: { Vlan: 0 }, VFID: 0, Master: PF });
	succeeded(await call("DEL", one));
	await asBefore();
});
