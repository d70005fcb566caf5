/**
 * What a node has of SR-IOV: PFs, VFs, who has them. Reads sysfs, netlink and records; takes no lock and writes
 * nothing, so that it may run beside everything else. What changes while it reads is as it was at one moment or
 * another.
 */
import { sentence } from "../../lib/cni/failures.ts";
import * as pci from "../../lib/linux/pci.ts";
import { listCidrs } from "../../lib/netlink/address.ts";
import { NETLINK_RDMA, NETLINK_ROUTE } from "../../lib/netlink/constants.ts";
import { getLink, type Link, listLinks } from "../../lib/netlink/link.ts";
import { findRdmaDevice, getRdmaNetnsMode } from "../../lib/netlink/rdma.ts";
import { NetlinkSocket } from "../../lib/netlink/socket.ts";
import { getVfs, type VfSettings } from "../../lib/netlink/vf.ts";
import type { Sandbox } from "../../lib/plugin/sandbox.ts";
import { namesAnywhere, namesOnHost } from "../../lib/rdma/device.ts";
import { isAlive, openSandboxOf } from "../../lib/state/liveness.ts";
import type { Orphan } from "../../lib/state/orphan.ts";
import { statIfPresent } from "../../lib/sys/files.ts";
import { isSystemError, unlessFailed } from "../../lib/sys/sys.ts";
import { findOrphans as findRdmaOrphans } from "../../plugins/rdma/orphans.ts";
import { findOrphans as findVfOrphans, sandboxOf } from "../../plugins/sriov/orphans.ts";
import { type DamagedRecord, listDamaged, listRecords } from "../../plugins/sriov/record.ts";
import { pciIn } from "../../plugins/sriov/record-format.ts";
import { type Checkpoint, readCheckpoint } from "./checkpoint.ts";
import { fromDamaged, fromRecord, type RecordedHolder } from "./holder.ts";
import type { Holder, NodeView, VfView } from "./schema.ts";

/** What is known of the whole node, to be looked up for each VF. */
interface Known {
	readonly holders: ReadonlyMap<string, RecordedHolder>;
	/** Records that cannot be understood, with the VF that they are of. */
	readonly damaged: readonly { readonly pci: string | undefined; readonly record: DamagedRecord }[];
	readonly orphans: readonly Orphan[];
	readonly checkpoint: Checkpoint;
	readonly links: ReadonlyMap<string, Link>;
	readonly notes: string[];
}

/**
 * An ADD or a DEL at work looks like something that is wrong for a moment: marks are those that a second look finds,
 * too.
 */
export function viewTwice(checkpointPath: string): NodeView {
	const first = viewNode(checkpointPath);
	if (!isMarked(first)) return first;
	const before = new Set([...first.marks, ...first.pfs.flatMap(({ vfs }) => vfs.flatMap(marksOf))]);
	const again = viewNode(checkpointPath);
	return {
		...again,
		pfs: again.pfs.map((pf) => ({
			...pf,
			vfs: pf.vfs.map((vf) => ({ ...vf, marks: vf.marks.filter((mark) => before.has(`${vf.pci}: ${mark}`)) })),
		})),
		marks: again.marks.filter((mark) => before.has(mark)),
	};
}

const marksOf = ({ pci: device, marks }: VfView): string[] => marks.map((mark) => `${device}: ${mark}`);

export const isMarked = ({ marks, pfs }: NodeView): boolean =>
	marks.length > 0 || pfs.some(({ vfs }) => vfs.some((vf) => vf.marks.length > 0));

const isError = (error: unknown): error is Error => error instanceof Error;

/** What `question` answers; where it fails as is to be expected, `otherwise`, and in `notes` what is not known. */
function ask<T>(notes: string[], what: string, otherwise: T, question: () => T, isExpected = isError): T {
	try {
		return question();
	} catch (error) {
		if (!isExpected(error)) throw error;
		notes.push(`${what}: ${sentence(error)}`);
		return otherwise;
	}
}

function viewNode(checkpointPath: string): NodeView {
	const notes: string[] = [];
	if (statIfPresent("/sys/bus/pci/devices") === undefined) {
		notes.push("devices: there is no /sys/bus/pci/devices: is sysfs mounted, and has this machine a PCI bus?");
	}
	const damaged = ask(notes, "who has VFs", [], () => listDamaged());
	const records = ask(notes, "who has VFs", [], () => [
		...damaged.flatMap(fromDamaged),
		...listRecords().map(fromRecord),
	]);
	const orphans = ask(notes, "orphans", [], () => [...findVfOrphans(), ...findRdmaOrphans()]);
	const checkpoint = readCheckpoint(checkpointPath);
	if (checkpoint.note !== "") notes.push(checkpoint.note);
	const links = ask(notes, "interfaces", [], () => {
		using host = NetlinkSocket.open(NETLINK_ROUTE);
		return listLinks(host);
	});
	const known: Known = {
		holders: new Map(records.map((record) => [record.pci, record])),
		damaged: damaged.map((record) => ({ pci: pciIn(record.told), record })),
		orphans,
		checkpoint,
		links: new Map(links.map((link) => [link.name, link])),
		notes,
	};
	const isPf = (each: string): boolean =>
		(pci.vfCount(each) ?? 0) > 0 || (pci.isPf(each) && pci.isNetworkController(each));
	const pfs = ask(notes, "devices", [], () => pci.listDevices()).filter(isPf);
	const views = pfs.map((each) => viewPf(each, known));
	const there = new Set(views.flatMap(({ vfs }) => vfs.map((vf) => vf.pci)));
	const elsewhere = orphans.filter(({ name }) => !there.has(name));
	const gone = records.filter((record) => !there.has(record.pci) && !elsewhere.some(({ name }) => name === record.pci));
	return {
		pfs: views,
		rdmaMode: ask(notes, "RDMA", null, rdmaMode),
		marks: [
			...views.filter((pf) => pf.vfs.length > 0 && pf.netdev === null).map(markOfPf),
			...elsewhere.map((orphan) => `${orphan.kind} ${orphan.name} of ${whose(orphan)}: ${orphan.why}`),
			...gone.map((record) => `VF ${record.pci} of ${whose(record)}: there is no such VF`),
		],
		notes: [...new Set(notes)],
	};
}

const markOfPf = ({ pci: device, driver }: NodeView["pfs"][number]): string =>
	`PF ${device} has VFs, but no interface on the host (driver ${driver ?? "gone"}): their settings cannot be seen nor made`;

const whose = ({ containerId, ifName }: { readonly containerId: string; readonly ifName: string }): string =>
	containerId === "" ? "nobody" : `container ${containerId}, interface ${ifName}`;

/** Null, too, where the kernel has no RDMA. */
function rdmaMode(): NodeView["rdmaMode"] {
	const ask = () => {
		using rdma = NetlinkSocket.open(NETLINK_RDMA);
		return getRdmaNetnsMode(rdma);
	};
	return unlessFailed(ask, "EPROTONOSUPPORT") ?? null;
}

function viewPf(device: string, known: Known): NodeView["pfs"][number] {
	const [netdev] = pci.netdevs(device);
	const settings = netdev === undefined ? [] : settingsOf(netdev, known);
	const count = pci.vfCount(device) ?? 0;
	const vfs = Array.from({ length: count }, (_, index) => pci.vfAt(device, index));
	return {
		pci: device,
		netdev: netdev ?? null,
		driver: pci.driver(device) ?? null,
		totalVfs: pci.mostVfs(device) ?? 0,
		vfs: vfs.flatMap((vf, index) => (vf === undefined ? [] : [viewVf(vf, index, settings[index], known)])),
	};
}

function settingsOf(netdev: string, { links, notes }: Known): (VfSettings | undefined)[] {
	const look = () => {
		using host = NetlinkSocket.open(NETLINK_ROUTE);
		const link = links.get(netdev) ?? getLink(host, netdev);
		return link === undefined ? [] : getVfs(host, link.index);
	};
	return ask(notes, `settings of the VFs of ${netdev}`, [], look, isSystemError);
}

function viewVf(device: string, index: number, settings: VfSettings | undefined, known: Known): VfView {
	const record = known.holders.get(device);
	const orphans = known.orphans.filter(({ name }) => name === device);
	const driver = pci.driver(device);
	const [onHost] = pci.netdevs(device);
	const inPod = record && onHost === undefined ? lookInPod(device, record, known) : undefined;
	const makesNetdev = driver !== undefined && !pci.isUserspaceDriver(driver);
	const place = onHost !== undefined ? "host" : inPod !== undefined ? "pod" : makesNetdev ? "elsewhere" : "none";
	const link = onHost === undefined ? inPod?.link : known.links.get(onHost);
	const holder = record === undefined ? null : holderOf(record, known.notes);
	const marks = orphans.map(({ kind, why }) => `${kind === "marker" ? "a marker without a record" : kind}: ${why}`);
	if (holder?.alive && place === "host") marks.push("its interface is on the host, and a pod has it on record");
	if (holder?.alive && place === "elsewhere") marks.push("its interface is neither on the host nor in its pod");
	const rdma = inPod?.rdma ?? rdmaOf(device);
	if (record?.hasRdma && holder?.alive && rdma?.place === "host")
		marks.push("its RDMA device is on the host, and a pod has it on record");
	for (const each of orphans.length === 0 ? known.damaged : []) {
		if (each.pci === device) marks.push(`the record of ${whose(each.record)} is damaged or truncated`);
	}
	if (record === undefined && marks.length === 0 && place === "elsewhere") {
		marks.push("its interface is in a namespace that no record knows");
	}
	if (driver === undefined) marks.push("no driver is bound to it");
	const given = known.checkpoint.pods.get(device);
	if (record?.podUid && given !== undefined && given !== record.podUid) {
		marks.push(`the kubelet gave it to the pod with UID ${given}, and not to ${record.pod || record.podUid}`);
	}
	return {
		index,
		pci: device,
		driver: driver ?? null,
		place,
		netdev: link?.name ?? onHost ?? null,
		mac: link?.mac ?? null,
		settings: settings === undefined ? null : settingsView(settings),
		addresses: [...(inPod?.addresses ?? [])],
		rdma,
		holder,
		state: stateOf(holder, orphans, place),
		marks,
	};
}

function stateOf(holder: Holder | null, orphans: readonly Orphan[], place: VfView["place"]): VfView["state"] {
	if (orphans.length > 0) return orphans.every(({ reclaim }) => reclaim === undefined) ? "unknown" : "orphaned";
	if (holder !== null) return holder.alive === null ? "unknown" : "used";
	return place === "elsewhere" ? "unknown" : "free";
}

function settingsView(settings: VfSettings): VfView["settings"] {
	const { mac, vlan, vlanQos: qos, vlanProto, linkState, minTxRate, maxTxRate } = settings;
	const { trust = null, spoofCheck: spoofchk = null } = settings;
	return { mac, vlan, qos, vlanProto, trust, spoofchk, linkState, minTxRate, maxTxRate };
}

function holderOf(record: RecordedHolder, notes: string[]): Holder {
	const { containerId, ifName, network, pod, isGo } = record;
	const netns = sandboxOf(record);
	return {
		...{ container: containerId, interface: ifName, network, pod, netns, madeBy: isGo ? "go" : "berth" },
		alive: ask(notes, "which sandboxes live", null, () => isAlive(record, netns), isSystemError),
	};
}

/** What the sandbox has of the VF; undefined where it has nothing, or ends while it is looked at. */
function lookInPod(device: string, record: RecordedHolder, { notes }: Known) {
	const look = () => {
		using sandbox = openSandboxOf(record, sandboxOf(record));
		const link = sandbox && netdevIn(sandbox, device, record);
		if (sandbox === undefined || link === undefined) return undefined;
		return { link, addresses: listCidrs(sandbox.route, link.index), rdma: rdmaIn(sandbox, device) };
	};
	return ask(notes, `the sandbox of container ${record.containerId}`, undefined, look, isSystemError);
}

function netdevIn(sandbox: Sandbox, device: string, { ifName, parentDevice }: RecordedHolder): Link | undefined {
	const named = getLink(sandbox.route, ifName);
	const parent = parentDevice || device;
	if (named !== undefined && (named.parentDevice ?? parent) === parent) return named;
	return listLinks(sandbox.route).find((link) => link.parentDevice === parent);
}

function rdmaOf(device: string): VfView["rdma"] {
	const [host] = namesOnHost(device);
	if (host !== undefined) return { name: host, place: "host" };
	const [name] = namesAnywhere(device);
	return name === undefined ? null : { name, place: "elsewhere" };
}

function rdmaIn(sandbox: Sandbox, device: string): VfView["rdma"] {
	const seen = rdmaOf(device);
	if (seen === null || seen.place === "host") return seen;
	const isHere = findRdmaDevice(sandbox.rdma, [seen.name], undefined) !== undefined;
	return { name: seen.name, place: isHere ? "pod" : "elsewhere" };
}
