/**
 * Who has a VF by a record, also by what is left of a damaged one.
 */
import { object, text } from "../../lib/state/json.ts";
import { sandboxIn } from "../../lib/state/liveness.ts";
import type { DamagedRecord } from "../../plugins/sriov/record.ts";
import { parseRdma, pciIn, type VfRecord } from "../../plugins/sriov/record-format.ts";
import { networkIn } from "../../plugins/sriov/recover.ts";

export type RecordedHolder = Readonly<ReturnType<typeof fromDamaged>[number]>;

export function fromRecord({ original, ...record }: VfRecord): RecordedHolder {
	const parentDevice = original.netdev?.parentDevice ?? "";
	return { ...record, parentDevice, isGo: record.bootId === "", hasRdma: record.rdma !== undefined };
}

/** Nothing where it does not say which VF it is of. */
export function fromDamaged({ told, containerId, ifName }: DamagedRecord) {
	const pci = pciIn(told);
	if (pci === undefined) return [];
	const own = object(told.json.berth);
	return [
		{
			...{ containerId, ifName, network: networkIn(told), pci },
			...{ pod: text(own?.pod), podUid: text(own?.podUid), ...sandboxIn(own) },
			/** Name of the netdev's device on its bus; "" where that is not known. */
			parentDevice: text(object(own?.netdev)?.parentDevice),
			isGo: own === undefined,
			/** Whether the VF's RDMA device is on record with it. */
			hasRdma: parseRdma(own) !== undefined,
		},
	];
}
