/**
 * What sriov-network-operator renders of a SriovNetwork does what it says: each two values of its fields meet in one
 * ADD, which the kernel is asked about.
 */
import { beforeAll, beforeEach, expect, test } from "vitest";
import { type Configuration, callPlugin, createPod, hostState, succeeded } from "../lab/pods.ts";
import { createVfs, type Vf } from "../lab/sriov.ts";
import { PF, useSriov } from "../lab/sriov-session.ts";

const { guest, vfInfo, sh, inPod } = useSriov();
const MAC = "02:00:5e:10:00:77";

/** Of every field, what it may be; undefined: not rendered. `mac` is what a pod asks for by the capability. */
const FIELDS = {
	vlan: [0, 10, 4094],
	vlanQoS: [0, 5],
	vlanProto: [undefined, "802.1q", "802.1Q", "802.1ad", "802.1AD"],
	spoofchk: [undefined, "on", "off"],
	trust: [undefined, "on", "off"],
	min_tx_rate: [undefined, 0, 100],
	max_tx_rate: [undefined, 0, 800],
	link_state: [undefined, "auto", "enable", "disable"],
	logLevel: ["info", "debug"],
	ipam: [{}, { type: "host-local", subnet: "10.56.217.0/24" }],
	mac: [undefined, MAC],
} as const;
type Field = keyof typeof FIELDS;
type Network = { readonly [F in Field]: (typeof FIELDS)[F][number] };

const names = Object.keys(FIELDS) as Field[];
/** The operator's own rules refuse the others. */
const isAllowed = ({ vlan, vlanQoS, vlanProto }: Partial<Network>): boolean =>
	vlan !== 0 || (!vlanQoS && !/ad$/i.test(vlanProto ?? ""));

type Pair = readonly [Field, number, Field, number];
function pairs(): Pair[] {
	const all = names.flatMap((one, at) =>
		names
			.slice(at + 1)
			.flatMap((other) => FIELDS[one].flatMap((_, i) => FIELDS[other].map((__, j): Pair => [one, i, other, j]))),
	);
	return all.filter(([one, i, other, j]) => isAllowed({ [one]: FIELDS[one][i], [other]: FIELDS[other][j] }));
}

/** Networks in which every pair is: each begins with a pair that is left, and takes what covers most of the others. */
function coveringNetworks(): Network[] {
	let left = pairs();
	const found: Network[] = [];
	while (left.length > 0) {
		const [one, i, other, j] = left[0]!;
		const chosen = new Map<Field, number>([
			[one, i],
			[other, j],
		]);
		const asNetwork = (): Network =>
			Object.fromEntries([...chosen].map(([name, at]) => [name, FIELDS[name][at]])) as unknown as Network;
		const covers = ([a, at, b, bt]: Pair): boolean => chosen.get(a) === at && chosen.get(b) === bt;
		for (const name of names) {
			if (chosen.has(name)) continue;
			let best = { value: -1, covered: -1 };
			for (const value of FIELDS[name].keys()) {
				chosen.set(name, value);
				const covered = isAllowed(asNetwork()) ? left.filter(covers).length : -2;
				if (covered > best.covered) best = { value, covered };
			}
			chosen.set(name, best.value);
		}
		left = left.filter((pair) => !covers(pair));
		found.push(asNetwork());
	}
	return found;
}

const networks = coveringNetworks();
let vf: Vf;
let before: unknown;

beforeAll(async () => {
	[vf] = (await createVfs(guest(), PF, 1)) as [Vf];
	// An administrator's own, which a field that is not rendered leaves alone.
	await sh(`ip link set ${PF} vf 0 trust on; ip link set ${PF} vf 0 spoofchk off
ip link set ${PF} vf 0 max_tx_rate 500 min_tx_rate 20; ip link set ${PF} vf 0 state enable`);
	before = await hostState(guest());
});
beforeEach(async () => {
	expect(await hostState(guest())).toEqual(before);
});

/** As the operator's template has it, with what Multus adds. */
function render({ mac, ...fields }: Network): Configuration {
	return {
		...{ cniVersion: "1.0.0", name: "sriov-net", type: "sriov" },
		...JSON.parse(JSON.stringify(fields)),
		...(mac && { capabilities: { mac: true }, runtimeConfig: { mac } }),
		deviceID: vf.pci,
	};
}

const call = (verb: string, network: Network, more: object = {}) =>
	callPlugin(guest(), "sriov", verb, { ...render(network), ...more }, { containerId: "c1", netns: "/run/netns/pod1" });

test("the networks have every pair of values", () => {
	const isIn = ([one, i, other, j]: Pair): boolean =>
		networks.some((each) => each[one] === FIELDS[one][i] && each[other] === FIELDS[other][j]);
	expect(pairs().filter((pair) => !isIn(pair))).toEqual([]);
	expect(networks.length).toBeLessThan(40);
});

test.each(networks.map((network) => ({ network, text: JSON.stringify(network) })))("$text", async ({ network }) => {
	const { vlan, vlanQoS, vlanProto, spoofchk, trust, link_state, mac, ipam } = network;
	const { min_tx_rate: minimum = 20, max_tx_rate: maximum = 500 } = network;
	await createPod(guest(), "pod1");
	try {
		const { json } = succeeded(await call("ADD", network));
		const seen = await vfInfo(0);
		expect(seen).toMatchObject({
			spoofchk: spoofchk === "on",
			trust: trust !== "off",
			link_state: link_state ?? "enable",
			rate: { min_tx: minimum, max_tx: maximum },
			...(mac && { address: mac }),
		});
		// `ip` tells of no VLAN by an empty object.
		const tag = { vlan: 0, ...seen.vlan_list?.[0] };
		expect(tag).toMatchObject({ vlan, ...(vlan > 0 && vlanQoS > 0 && { qos: vlanQoS }) });
		expect(/ad$/i.test(tag.protocol ?? "")).toBe(/ad$/i.test(vlanProto ?? ""));
		expect(await inPod("pod1")).toContain("net1");
		const [link] = await guest().json(["ip", "-n", "pod1", "-j", "address", "show", "net1"]);
		if (mac) expect(link.address).toBe(mac);
		const addresses = link.addr_info.filter((each: { family: string }) => each.family === "inet");
		expect(addresses).toHaveLength("type" in ipam ? 1 : 0);
		expect(json.ips ?? []).toHaveLength("type" in ipam ? 1 : 0);
		succeeded(await call("CHECK", network, { prevResult: json }));
	} finally {
		succeeded(await call("DEL", network));
		await guest().run(["ip", "netns", "delete", "pod1"]);
	}
	expect(await hostState(guest())).toEqual(before);
});
