/**
 * Who has a VF by a record, also by what is left of a damaged one.
 */
import { object, text } from "../../lib/state/json.ts";
import type { DamagedRecord } from "../../plugins/sriov/record.ts";
import { parseRdma, pciIn, type VfRecord } from "../../plugins/sriov/record-format.ts";
import { networkIn } from "../../plugins/sriov/recover.ts";

export interface RecordedHolder
	extends Pick<
		VfRecord,
		"containerId" | "ifName" | "network" | "pod" | "podUid" | "netns" | "netnsIdentity" | "bootId" | "pci"
	> {
	/** Name of the netdev's device on its bus; "" where that is not known. */
	readonly parentDevice: string;
	readonly isGo: boolean;
	/** Whether the VF's RDMA device is on record with it. */
	readonly hasRdma: boolean;
}

export function fromRecord({ original, ...record }: VfRecord): RecordedHolder {
	const parentDevice = original.netdev?.parentDevice ?? "";
	return { ...record, parentDevice, isGo: record.bootId === "", hasRdma: record.rdma !== undefined };
}

/** Nothing where it does not say which VF it is of. */
export function fromDamaged({ told, containerId, ifName }: DamagedRecord): RecordedHolder[] {
	const pci = pciIn(told);
	if (pci === undefined) return [];
	const own = object(told.json.berth);
	return [
		{
			...{ containerId, ifName, network: networkIn(told), pci },
			...{ pod: text(own?.pod), podUid: text(own?.podUid) },
			...{ netns: text(own?.netns), netnsIdentity: text(own?.netnsIdentity), bootId: text(own?.bootId) },
			parentDevice: text(object(own?.netdev)?.parentDevice),
			isGo: own === undefined,
			hasRdma: parseRdma(own) !== undefined,
		},
	];
}
