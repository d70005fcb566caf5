/**
 * What the kernel shows of a PF's VFs, wherever they are: read with `ip`, `rdma` and sysfs, not with any code of the
 * plugins.
 */
import type { Machine } from "../../test/lab/machine.ts";
import { listVfs, type Vf } from "../../test/lab/sriov.ts";

export type VfState = ReturnType<typeof stateOf>;

export interface Snapshot {
	readonly vfs: readonly VfState[];
	/** `ip -j -d link` of the host, by name. */
	readonly links: Readonly<Record<string, unknown>>;
	/** `rdma -j dev` of the host, by name. */
	readonly rdma: Readonly<Record<string, unknown>>;
}

interface Link {
	readonly ifname: string;
	readonly address: string;
	readonly mtu: number;
	readonly flags: readonly string[];
	readonly operstate: string;
	readonly parentdev?: string;
	readonly addr_info?: readonly { readonly local: string; readonly prefixlen: number; readonly scope: string }[];
	readonly vfinfo_list?: readonly VfInfo[];
}

interface VfInfo {
	readonly address: string;
	readonly vlan_list?: readonly { readonly vlan?: number; readonly qos?: number }[];
	readonly rate?: { readonly max_tx: number };
	readonly trust?: boolean;
	readonly spoofchk?: boolean;
}

interface RdmaDevice {
	readonly ifname: string;
}

/** Not every host has the rdma tool, or RDMA. */
async function rdmaDevices(machine: Machine, pod?: string): Promise<RdmaDevice[]> {
	const prefix = pod === undefined ? [] : ["ip", "netns", "exec", pod];
	const { stdout } = await machine.run(["sh", "-c", '"$@" 2>/dev/null || true', "sh", ...prefix, "rdma", "-j", "dev"]);
	return stdout.trim() === "" ? [] : JSON.parse(stdout);
}

/** Whether RDMA devices belong to one namespace each. */
export async function isRdmaExclusive(machine: Machine): Promise<boolean> {
	const { stdout } = await machine.run(["sh", "-c", "rdma system show 2>/dev/null || true"]);
	return stdout.includes("netns exclusive");
}

/** A pod, or the host: undefined. */
interface Place {
	readonly pod: string | undefined;
	readonly links: readonly Link[];
	readonly rdma: readonly RdmaDevice[];
}

/** A VF as the kernel shows it. `info`: in the PF's record. */
function stateOf({ index, pci, driver, rdma }: Vf, places: readonly Place[], info: VfInfo | undefined) {
	const place = places.find(({ links }) => links.some((link) => link.parentdev === pci));
	const link = place?.links.find((candidate) => candidate.parentdev === pci);
	return {
		index,
		pci,
		driver,
		/** Where its netdev is: a pod, or the host; undefined if it is in neither. */
		pod: place?.pod,
		netdev: link?.ifname,
		/** Of the netdev. */
		mac: link?.address,
		mtu: link?.mtu,
		up: link?.flags.includes("UP") ?? false,
		carrier: link?.operstate === "UP",
		/** IPv4, and IPv6 but for link-local ones. */
		addresses: (link?.addr_info ?? [])
			.filter((address) => address.scope !== "link")
			.map((address) => `${address.local}/${address.prefixlen}`),
		/** In the PF's record. */
		adminMac: info?.address ?? "",
		/** 0: none */
		vlan: info?.vlan_list?.[0]?.vlan ?? 0,
		qos: info?.vlan_list?.[0]?.qos ?? 0,
		/** Mbit/s, 0: no limit */
		maxTxRate: info?.rate?.max_tx ?? 0,
		trust: info?.trust ?? false,
		spoofchk: info?.spoofchk ?? false,
		rdma: rdma ?? place?.rdma[0]?.ifname,
		/** Where its RDMA device is: a pod, or the host. */
		rdmaPod: rdma === undefined ? place?.pod : undefined,
	};
}

/** `pods`: names of the namespaces to look into. */
export async function takeSnapshot(machine: Machine, pf: string, pods: readonly string[]): Promise<Snapshot> {
	const placeOf = async (pod: string | undefined): Promise<Place> => ({
		pod,
		links: await machine.json(["ip", ...(pod === undefined ? [] : ["-n", pod]), "-j", "-d", "address", "show"]),
		// Which VF has one of the host's says listVfs.
		rdma: pod === undefined ? [] : await rdmaDevices(machine, pod),
	});
	const [links, rdma, all, ...places] = await Promise.all([
		machine.json(["ip", "-j", "-d", "link", "show"]) as Promise<Link[]>,
		rdmaDevices(machine),
		listVfs(machine, pf),
		...[undefined, ...pods].map(placeOf),
	]);
	const infos = links.find((link) => link.ifname === pf)?.vfinfo_list ?? [];
	const vfs = all.map((vf) => stateOf(vf, places, infos[vf.index]));
	const byName = <T extends { ifname: string }>(all: readonly T[]) =>
		Object.fromEntries(all.map((one) => [one.ifname, one]));
	return { vfs, links: byName(links), rdma: byName(rdma) };
}

/** Where two states differ: "eth2.mtu: 1500 before, 1400 now". */
export function differences(before: unknown, now: unknown, path = ""): string[] {
	if (Object.is(before, now)) {
		return [];
	}
	if (typeof before !== "object" || typeof now !== "object" || before === null || now === null) {
		const show = (value: unknown) => (value === undefined ? "nothing" : JSON.stringify(value));
		return [`${path}: ${show(before)} before, ${show(now)} now`];
	}
	const keys = new Set([...Object.keys(before), ...Object.keys(now)]);
	return [...keys].flatMap((key) => {
		const below = path === "" ? key : Array.isArray(before) ? `${path}[${key}]` : `${path}.${key}`;
		return differences((before as Record<string, unknown>)[key], (now as Record<string, unknown>)[key], below);
	});
}
