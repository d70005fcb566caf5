/**
 * The VF's RDMA device, which goes where its interface goes if the configuration says `"rdma": true`: by the code of
 * the rdma plugin and with its lock, but on record in the VF's own.
 */
import type { Request } from "../../lib/cni/types.ts";
import type { RdmaDevice } from "../../lib/netlink/rdma.ts";
import type { NetlinkSocket } from "../../lib/netlink/socket.ts";
import type { Log } from "../../lib/plugin/log.ts";
import type { Sandbox } from "../../lib/plugin/sandbox.ts";
import { lookAt, requireFree } from "../../lib/rdma/claim.ts";
import { enterPod } from "../../lib/rdma/enter.ts";
import type { DeviceState, GivenDevice } from "../../lib/rdma/given.ts";
import { withQos } from "../../lib/rdma/qos.ts";
import { reclaim } from "../../lib/rdma/reclaim.ts";
import { takeLock } from "../../lib/rdma/record.ts";
import type { WantedDevice } from "../../lib/rdma/wanted.ts";
import type { Attachment } from "./config.ts";
import { writeRecord } from "./record.ts";
import type { VfRecord } from "./record-format.ts";

/** The RDMA device of a record; undefined where it is none of the attachment's. */
export const givenDevice = ({ rdma, pci, netns, netnsIdentity, bootId }: VfRecord): GivenDevice | undefined =>
	rdma && { ...rdma, deviceId: pci, netns, netnsIdentity, bootId };

/** An RDMA device that is about to move. */
export interface Moving {
	readonly host: NetlinkSocket;
	readonly device: RdmaDevice;
	readonly wanted: WantedDevice;
	/** For the record. */
	readonly state: DeviceState;
}

/**
 * The RDMA device of the VF, by the socket `host`; undefined where none is asked for. Throws CniError where there is
 * none to be had. The caller holds the lock of moves.
 */
export function findRdma(
	host: NetlinkSocket | undefined,
	request: Request,
	{ pci, rdma: wanted }: Attachment,
	log: Log,
): Moving | undefined {
	if (host === undefined || wanted === undefined) return undefined;
	const hostName = requireFree(request, pci, () => undefined, log);
	return { host, wanted, ...lookAt(host, pci, hostName, wanted, request.ifName) };
}

/**
 * The record with the device's quality of service, written again where there is any. After the first one, since the
 * look at it changes configfs.
 */
export function recordQos(record: VfRecord, { state, wanted }: Moving, log: Log): VfRecord {
	const rdma = withQos(state, wanted, log);
	if (rdma === undefined) return record;
	const complete = { ...record, rdma };
	writeRecord(complete);
	return complete;
}

/** Moves it into the pod. The caller holds the lock of moves, and undoes with `release`. */
export function enterWithRdma({ host, device }: Moving, sandbox: Sandbox, record: VfRecord, log: Log): void {
	const given = givenDevice(record);
	if (given !== undefined) enterPod(host, sandbox, device, given, log);
}

/** Takes the lock of moves. False: it has to be put right once it is back. Throws where it could not leave the pod. */
export function returnRdma(record: VfRecord, netns: string, log: Log): boolean {
	const given = givenDevice(record);
	if (given === undefined) return true;
	using _lock = takeLock();
	return reclaim(given, netns, log);
}
