/** examples/: what a machine without a card can show of them. Those with sriov: test/guest/examples.test.ts. */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import {
	asMultusMakes,
	exampleDirectories,
	exampleNetworks,
	examplePods,
	examples,
	type PluginConfiguration,
} from "../lab/examples.ts";
import { binaries, builtBinaries } from "../lab/executables.ts";
import { call, ours, scratchDirectory } from "../lab/ipam.ts";
import { ipJson, NetnsLab, netnsPath } from "../lab/netns-lab.ts";

/** Of Debian's package containernetworking-plugins. */
const GO_PLUGINS = "/usr/lib/cni";
/** Of the examples', those that every kernel here has: the build machine's lacks ipvlan. */
const MAIN_PLUGINS = ["macvlan", "host-device"];
/** What the examples call the node's interface. */
const MASTER = "ens2f0";
const ADDRESS = "10.56.231.10/24";

const networks = exampleNetworks();
const OURS = ["sriov", "rdma"];

test("every directory has a page, and a network with a pod or something to apply", () => {
	for (const directory of exampleDirectories()) {
		const has = (file: string) => existsSync(join(examples, directory, file));
		expect(has("README.md"), directory).toBe(true);
		expect((has("network.yaml") && has("pod.yaml")) || has("kustomization.yaml"), directory).toBe(true);
	}
});

test("berth validate has no word about any of them", async () => {
	const validated = await execa(join(builtBinaries, "berth"), ["validate", "--strict", "--json", examples]);
	const { problems, networks: count } = JSON.parse(validated.stdout);
	expect(problems).toEqual([]);
	expect(count).toBe(networks.length);
});

test("pods ask for networks that are there, and for as many VFs as those need", () => {
	for (const { example, networks: selected, limits } of examplePods()) {
		const needed: Record<string, number> = {};
		for (const { name } of selected) {
			const network = networks.find((each) => each.example === example && each.name === name);
			expect(network, `${example}: ${name}`).toBeDefined();
			if (network?.resource !== undefined) needed[network.resource] = (needed[network.resource] ?? 0) + 1;
		}
		for (const [resource, count] of Object.entries(needed)) expect(limits[resource], example).toBe(String(count));
	}
});

/** The configuration of one plugin, as libcni passes it. */
const configurationOf = (network: (typeof networks)[number], plugin: PluginConfiguration, device?: string) => {
	const { cniVersion, name, plugins } = asMultusMakes(network, device);
	return { cniVersion, name, ...plugins[network.plugins.indexOf(plugin)]! };
};

describe("sriov and rdma take the configuration, and say that this machine has no such VF", () => {
	const cases = networks.flatMap((network) =>
		network.plugins.filter(({ type }) => OURS.includes(type)).map((plugin) => ({ network, plugin })),
	);
	test.each(cases)("$network.example: $plugin.type of $network.name", async ({ network, plugin }) => {
		using lab = new NetnsLab();
		const device = "0000:ff:1f.7";
		const config = {
			...configurationOf(network, plugin, device),
			prevResult: { cniVersion: network.cniVersion, interfaces: [], ips: [] },
		};
		const { status, json } = await call(ours(plugin.type), "ADD", { config, netns: netnsPath(lab.add()) });
		expect(status).not.toBe(0);
		const sentence = plugin.type === "sriov" ? `deviceID "${device}" is not an SR-IOV virtual function` : "RDMA";
		expect(json.msg).toContain(sentence);
	});
});

describe("the IPAM plugins take the configuration", () => {
	const cases = networks.flatMap((network) =>
		network.plugins.filter(({ ipam }) => ipam !== undefined).map((plugin) => ({ network, plugin, ipam: plugin.ipam! })),
	);
	const expected: Record<string, (json: { ips: { address: string }[]; msg: string }) => void> = {
		"host-local": ({ ips }) => expect(ips[0]!.address).toMatch(/^10\.56\.2\d\d\.\d+\/24$/),
		static: ({ ips }) => expect(ips[0]!.address).toMatch(/^10\.56\.2(31\.10|19\.5)\/24$/),
		dhcp: ({ msg }) => expect(msg).toMatch(/^error dialing DHCP daemon/),
		whereabouts: ({ msg }) => expect(msg).toMatch(/whereabouts\.kubeconfig/),
	};
	test.each(cases)("$network.example: $ipam.type of $network.name", async ({ network, plugin, ipam }) => {
		const config = { ...configurationOf(network, plugin), runtimeConfig: { ips: [ADDRESS] } };
		const args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=pod;K8S_POD_UID=1";
		// Of another node: no state, no daemon and no kubeconfig of this machine.
		const script = 'for d in /var/lib /run /etc/cni; do [ ! -d $d ] || mount -t tmpfs none $d; done; exec "$@"';
		const { json } = await call(ours(ipam.type), "ADD", { config: withoutPool(config, ipam.type), args, script });
		expected[ipam.type]!(json);
	});
});

/** host-local has no address of another plugin's range to give. */
function withoutPool<T extends { runtimeConfig?: unknown }>(config: T, ipam: string): object {
	const { runtimeConfig, ...rest } = config;
	return ipam === "static" ? { ...rest, runtimeConfig } : rest;
}

describe("below Go's main plugins, for real", () => {
	const cases = networks.flatMap((network) =>
		network.plugins
			.filter(({ type, ipam }) => MAIN_PLUGINS.includes(type) && ["host-local", "static"].includes(ipam?.type ?? ""))
			.map((plugin) => ({ network, plugin })),
	);
	test.each(cases)("$network.example: $network.name: ADD, the address in the pod, DEL", async ({ network, plugin }) => {
		using lab = new NetnsLab();
		const [node, pod] = [lab.add(), lab.add()];
		await execa("ip", ["-n", node, "link", "add", MASTER, "type", "veth", "peer", "name", "wire"]);
		await execa("ip", ["-n", node, "link", "set", MASTER, "up"]);
		const config = {
			...configurationOf(network, plugin),
			...(plugin.type === "host-device" && { device: MASTER }),
			...(plugin.ipam?.type === "static" && { runtimeConfig: { ips: [ADDRESS] } }),
		};
		const state = scratchDirectory();
		mkdirSync("/var/lib/cni", { recursive: true });
		const verb = async (CNI_COMMAND: string) => {
			const script = 'mount --bind "$1" /var/lib/cni && exec "$0"';
			const program = ["sh", "-c", script, join(GO_PLUGINS, plugin.type), state];
			const env = {
				...{ CNI_COMMAND, CNI_CONTAINERID: "c1", CNI_IFNAME: "net1" },
				...{ CNI_NETNS: netnsPath(pod), CNI_PATH: `${binaries}:${GO_PLUGINS}` },
			};
			const ran = await execa("ip", ["netns", "exec", node, ...program], {
				input: JSON.stringify(config),
				env,
				reject: false,
			});
			expect(ran.exitCode, ran.stdout).toBe(0);
			return ran.stdout;
		};
		const result = JSON.parse(await verb("ADD"));
		const [link] = ipJson(pod, "address show net1");
		const there = link.addr_info.map(
			({ local, prefixlen }: { local: string; prefixlen: number }) => `${local}/${prefixlen}`,
		);
		for (const { address } of result.ips) expect(there).toContain(address);
		expect(result.ips.length).toBeGreaterThan(0);
		await verb("DEL");
		expect(ipJson(pod, "link show").map(({ ifname }) => ifname)).toEqual(["lo"]);
	});
});
