/**
 * VFs of sandboxes that no longer live, by our records and the kernel alone.
 */
import type { Request } from "../../lib/cni/types.ts";
import { vfNetdev } from "../../lib/linux/pci.ts";
import { NETLINK_ROUTE } from "../../lib/netlink/constants.ts";
import { NetlinkSocket } from "../../lib/netlink/socket.ts";
import { Sandbox } from "../../lib/plugin/sandbox.ts";
import { object } from "../../lib/state/json.ts";
import { type Fate, fateOf, isOfEarlierBoot, type RecordedSandbox, sandboxIn } from "../../lib/state/liveness.ts";
import { type Orphan, whyGone } from "../../lib/state/orphan.ts";
import { collectDamaged, collectGone, collectOrphan } from "./collect.ts";
import { awaitNetdevOnHost, makesNetdev } from "./device.ts";
import { openLog } from "./log.ts";
import {
	type DamagedRecord,
	listDamaged,
	listMarked,
	listRecords,
	type RecordKey,
	readMarker,
	recordsOf,
} from "./record.ts";
import { pciIn, type VfRecord } from "./record-format.ts";
import { networkIn } from "./recover.ts";

export function findOrphans(): Orphan[] {
	const records = listRecords();
	const damaged = listDamaged();
	const known = new Set([...records.map(({ pci }) => pci), ...damaged.flatMap(({ told }) => pciIn(told) ?? [])]);
	return [
		...inOrder(records).flatMap(orphanOf),
		...damaged.flatMap(orphanOfDamaged),
		...listMarked().flatMap((pci) => (known.has(pci) ? [] : orphanOfMarker(pci))),
	];
}

/** Attachments that have a record: their addresses go when their VFs go. */
export const recordedAttachments = (): RecordKey[] => [...listRecords(), ...listDamaged()];

/** Of those of one VF the newest goes first: what an older one says of the VF is nearer to the truth. */
function inOrder(records: readonly VfRecord[]): VfRecord[] {
	const count = new Map<string, number>();
	for (const { pci } of records) count.set(pci, (count.get(pci) ?? 0) + 1);
	return [...count].flatMap(([pci, its]) =>
		its > 1 ? recordsOf(pci) : records.filter((record) => record.pci === pci),
	);
}

/** What a record says of where its VF went. */
type Whereabouts = RecordedSandbox & Pick<VfRecord, "pci">;

/** Where the sandbox of a record is: one of Go's does not tell, but the VF's marker does. */
export const sandboxOf = ({ netns, pci }: Whereabouts): string => netns || readMarker(pci) || "";

/** Where not even the marker is left, a VF whose interface is on the host is in no sandbox. */
function fate(record: Whereabouts): Fate {
	const found = fateOf(record, sandboxOf(record));
	return found === "unknown" && vfNetdev(record.pci) !== undefined ? "gone" : found;
}
const isGone = (record: VfRecord): boolean => fate(record) === "gone";

function orphanOf(record: VfRecord): Orphan[] {
	const found = fate(record);
	if (found === "alive") return [];
	const { pci, containerId, ifName, network, config, original } = record;
	const reclaim = (request: Request): boolean | undefined => {
		if (original.netdev !== undefined && !isOfEarlierBoot(record)) requireHome(pci);
		return collectGone(record, request, openLog(request, config), isGone);
	};
	return [
		{
			...{ kind: "VF", name: pci, containerId, ifName, network },
			why: whyGone(sandboxOf(record), isOfEarlierBoot(record)),
			reclaim: found === "gone" ? reclaim : undefined,
		},
	];
}

/**
 * The kernel is the last to say whether a sandbox is gone: a VF that does not come back from it is in use, or may be.
 */
function requireHome(pci: string): void {
	if (!makesNetdev(pci) || vfNetdev(pci) !== undefined) return;
	using host = NetlinkSocket.open(NETLINK_ROUTE);
	if (awaitNetdevOnHost(host, pci) !== undefined) return;
	throw new Error("the VF is still in a network namespace, which a process or a mount holds");
}

/** A damaged record may have lost its sandbox; then the marker of its VF, if that is left, is asked. */
function orphanOfDamaged(record: DamagedRecord): Orphan[] {
	const { told, containerId, ifName } = record;
	const network = networkIn(told);
	const what = { kind: "VF", containerId, ifName, network };
	const pci = pciIn(told);
	if (pci === undefined) {
		const why = "record damaged; it does not say of which VF it is";
		return [{ ...what, name: "?", why, reclaim: undefined }];
	}
	const left: Whereabouts = { pci, ...sandboxIn(object(told.json.berth)) };
	const found = fate(left);
	if (found === "alive") return [];
	const reclaim = (request: Request): boolean | undefined => {
		if (!isOfEarlierBoot(left)) requireHome(pci);
		if (fate(left) !== "gone") return undefined;
		return collectDamaged(record, network, { name: network }, openLog(request, { name: network }), request);
	};
	return [
		{
			...{ ...what, name: pci },
			why: `record damaged; ${whyGone(sandboxOf(left), isOfEarlierBoot(left))}`,
			reclaim: found === "gone" ? reclaim : undefined,
		},
	];
}

/** What an ADD that was killed at its beginning left, or a DEL at its end. */
function orphanOfMarker(pci: string): Orphan[] {
	const path = readMarker(pci) ?? "";
	using sandbox = Sandbox.openIfAlive(path);
	if (sandbox !== undefined) return [];
	const reclaim = (): true | undefined => {
		requireHome(pci);
		return collectOrphan(pci) || undefined;
	};
	return [{ kind: "marker", name: pci, containerId: "", ifName: "", network: "", why: whyGone(path, false), reclaim }];
}
