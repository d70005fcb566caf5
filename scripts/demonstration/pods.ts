/**
 * Pods of the demo, attached and detached by cnitool: a client of the real libcni, as container runtimes are.
 */
import type { Machine } from "../../test/lab/machine.ts";
import { peer } from "../../test/lab/peers.ts";
import { binaries } from "../../test/lab/pods.ts";
import type { VfState } from "./state.ts";

/** Settings of the sriov plugin that the demo checks in the kernel afterwards. */
interface VfSettings {
	readonly vlan: number;
	readonly mac?: string;
	readonly trust?: "on" | "off";
	readonly spoofchk?: "on" | "off";
	readonly max_tx_rate?: number;
}

export interface Pod {
	/** Of the pod and of its network namespace. */
	readonly name: string;
	readonly vf: VfState;
	readonly settings: VfSettings;
	/** "exclusive": the VF's RDMA device goes with it. "none": there is none, or all namespaces share it. */
	readonly rdma: "exclusive" | "none";
}

/** The result of ADD, as far as the demo looks at it. */
export interface Attachment {
	readonly interfaces: readonly { readonly name: string; readonly mac?: string; readonly sandbox?: string }[];
	readonly ips: readonly { readonly address: string }[];
}

const networkName = "berth-demo";
const interfaceName = "net1";

/** Configurations and leases of the demo: gone when it ends. */
export const directory = "/run/berth-demo";
const leases = `${directory}/leases`;

const netns = (pod: Pod) => `/run/netns/${pod.name}`;

/**
 * What a NetworkAttachmentDefinition has in `spec.config`, after Multus has put the allocated VF's deviceID into it.
 */
export function configuration(pod: Pod): Record<string, unknown> {
	return {
		cniVersion: "1.0.0",
		name: networkName,
		plugins: [
			{
				type: "sriov",
				deviceID: pod.vf.pci,
				...pod.settings,
				ipam: { type: "host-local", subnet: "192.0.2.0/24", rangeStart: "192.0.2.10", dataDir: leases },
			},
			...(pod.rdma === "none" ? [] : [{ type: "rdma", deviceID: pod.vf.pci }]),
		],
	};
}

export async function createPod(machine: Machine, pod: Pod): Promise<void> {
	await machine.run(["ip", "netns", "add", pod.name]);
	await machine.run(["mkdir", "-p", `${directory}/${pod.name}`]);
	await machine.writeFile(`${directory}/${pod.name}/${networkName}.conflist`, JSON.stringify(configuration(pod)));
}

/** Resolves to what it prints: the result of ADD. */
export async function cnitool(machine: Machine, verb: "add" | "check" | "del", pod: Pod): Promise<string> {
	const env = { CNI_PATH: binaries, NETCONFPATH: `${directory}/${pod.name}`, CNI_IFNAME: interfaceName };
	const argv = [await peer("cnitool"), verb, networkName, netns(pod)];
	const { status, stdout, stderr } = await machine.run(argv, { env, ok: false });
	if (status !== 0) {
		throw new Error(
			`${verb.toUpperCase()} of pod ${pod.name} failed: ${stderr.trim() || `cnitool ended with ${status}`}`,
		);
	}
	return stdout;
}

/** Addresses that host-local still holds. */
export async function heldAddresses(machine: Machine): Promise<string[]> {
	const { stdout } = await machine.run(["sh", "-c", `ls ${leases}/${networkName} 2>/dev/null || true`]);
	return stdout
		.split("\n")
		.filter((name) => /^[\d.]+$/.test(name))
		.sort();
}

const isOn = (setting: "on" | "off" | undefined): boolean | undefined => setting && setting === "on";

/** Where the kernel does not show what was asked for: sentences. */
export function mismatches(pod: Pod, attachment: Attachment, vf: VfState): string[] {
	const { settings } = pod;
	const address = attachment.ips[0]?.address ?? "no address";
	const wanted: [what: string, want: unknown, have: unknown][] = [
		["place", `${pod.name} ${interfaceName}`, `${vf.pod ?? "host"} ${vf.netdev}`],
		["VLAN", settings.vlan, vf.vlan],
		["address", address, vf.addresses.join(" ")],
		["MAC in the result", vf.mac, attachment.interfaces[0]?.mac],
		["sandbox in the result", netns(pod), attachment.interfaces[0]?.sandbox],
		["up", true, vf.up],
		["MAC", settings.mac, vf.mac],
		["MAC in the PF's record", settings.mac, vf.adminMac],
		["trust", isOn(settings.trust), vf.trust],
		["spoofchk", isOn(settings.spoofchk), vf.spoofchk],
		["max_tx_rate", settings.max_tx_rate, vf.maxTxRate],
		["RDMA device", `${pod.rdma === "none" ? "host" : pod.name} ${pod.vf.rdma}`, `${vf.rdmaPod ?? "host"} ${vf.rdma}`],
	];
	return wanted
		.filter(([, want, have]) => want !== undefined && want !== have)
		.map(
			([what, want, have]) =>
				`${what} of VF ${vf.index} is ${JSON.stringify(have)} in the kernel, not ${JSON.stringify(want)}`,
		);
}

export interface Ping {
	readonly from: string;
	readonly to: string;
	readonly address: string;
	readonly received: number;
	readonly averageMs: number | undefined;
}

/** Echo requests of a ping. */
export const pings = 3;

export async function ping(machine: Machine, from: Pod, to: Pod, address: string): Promise<Ping> {
	const host = address.split("/")[0]!;
	const command = `ip netns exec ${from.name} ping -c ${pings} -i 0.2 -W 2 -I ${interfaceName} ${host}`;
	const { stdout } = await machine.run(command.split(" "), { ok: false });
	const received = Number(/(\d+) received/.exec(stdout)?.[1] ?? 0);
	const average = /= [\d.]+\/([\d.]+)\//.exec(stdout)?.[1];
	return { from: from.name, to: to.name, address: host, received, averageMs: average ? Number(average) : undefined };
}
