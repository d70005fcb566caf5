/**
 * VFs of sandboxes that no longer live, by our records and the kernel alone.
 */
import type { Request } from "../../lib/cni/types.ts";
import { Sandbox } from "../../lib/plugin/sandbox.ts";
import { object, text } from "../../lib/state/json.ts";
import { isAlive, isOfEarlierBoot } from "../../lib/state/liveness.ts";
import { type Orphan, whyGone } from "../../lib/state/orphan.ts";
import { collect, collectDamaged, collectOrphan } from "./collect.ts";
import { openLog } from "./log.ts";
import { type DamagedRecord, listDamaged, listMarked, listRecords, readMarker } from "./record.ts";
import { pciIn, type VfRecord } from "./record-format.ts";
import { networkIn } from "./recover.ts";

export function findOrphans(): Orphan[] {
	const records = listRecords();
	const damaged = listDamaged();
	const known = new Set([...records.map(({ pci }) => pci), ...damaged.flatMap(({ told }) => pciIn(told) ?? [])]);
	return [
		...records.flatMap(orphanOf),
		...damaged.flatMap(orphanOfDamaged),
		...listMarked().flatMap((pci) => (known.has(pci) ? [] : orphanOfMarker(pci))),
	];
}

/** Where the sandbox of a record is: one of Go's does not tell, but the VF's marker does. */
export const sandboxOf = ({ netns, pci }: VfRecord): string => netns || readMarker(pci) || "";

const isNeeded = (record: VfRecord): boolean => isAlive(record, sandboxOf(record));

function orphanOf(record: VfRecord): Orphan[] {
	if (isNeeded(record)) return [];
	const { pci, containerId, ifName, network } = record;
	const path = sandboxOf(record);
	const isKnown = path !== "" || isOfEarlierBoot(record);
	return [
		{
			...{ kind: "VF", name: pci, containerId, ifName, network },
			why: whyGone(path, isOfEarlierBoot(record)),
			reclaim: isKnown ? (request) => collect(record, request, openLog(request, record.config), isNeeded) : undefined,
		},
	];
}

/** A damaged record may have lost its sandbox; then the marker of its VF, if that is left, is asked. */
function orphanOfDamaged(record: DamagedRecord): Orphan[] {
	const { told, containerId, ifName } = record;
	const pci = pciIn(told);
	const own = object(told.json.berth);
	const marker = pci === undefined ? undefined : readMarker(pci);
	const sandbox = {
		netns: text(own?.netns) || marker || "",
		netnsIdentity: text(own?.netnsIdentity),
		bootId: text(own?.bootId),
	};
	if (isAlive(sandbox)) return [];
	const network = networkIn(told);
	const isKnown = pci !== undefined && (sandbox.netns !== "" || isOfEarlierBoot(sandbox));
	const reclaim = (request: Request): boolean =>
		isAlive(sandbox) ||
		collectDamaged(record, network, { name: network }, openLog(request, { name: network }), request);
	return [
		{
			...{ kind: "VF", name: pci ?? "?", containerId, ifName, network },
			why: `record damaged; ${whyGone(sandbox.netns, isOfEarlierBoot(sandbox))}`,
			reclaim: isKnown ? reclaim : undefined,
		},
	];
}

/** What an ADD that was killed at its beginning left, or a DEL at its end. */
function orphanOfMarker(pci: string): Orphan[] {
	const path = readMarker(pci) ?? "";
	using sandbox = Sandbox.openIfAlive(path);
	if (sandbox !== undefined) return [];
	const reclaim = (): boolean => {
		collectOrphan(pci);
		return true;
	};
	return [{ kind: "marker", name: pci, containerId: "", ifName: "", network: "", why: whyGone(path, false), reclaim }];
}
