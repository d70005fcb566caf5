/**
 * What this node knows of RDMA devices in pods: a record per attachment, under /var/lib/cni/rdma.
 *
 * The files are those of the Go plugin (rdma-cni v1.6.0) and of NVIDIA's fork (`rdmaQoS`), so that each can delete
 * what another added: <network>-<container>-<ifname>, JSON. Ours have one key more, `berth`. A record is written
 * before the first change and removed after the last, with the lock held.
 */
import type { Request } from "../cni/types.ts";
import { requireLock } from "../plugin/verb-lock.ts";
import { partsOf, RecordDirectory } from "../state/directory.ts";
import { namePart, object, type Told, text } from "../state/json.ts";
import { sandboxIn } from "../state/liveness.ts";
import * as files from "../sys/files.ts";
import type { Lock } from "../sys/lock.ts";
import { formatJson } from "../sys/sys.ts";
import { toDeviceId } from "./device.ts";
import { type GivenDevice, qosFromJson, stateFromJson, stateToJson } from "./given.ts";

/** Compiled in, as in the Go plugin. */
const records = new RecordDirectory("/var/lib/cni/rdma");
const LOCK_PATH = `${records.path}/move.lock`;
/** Where a record is written before it gets its name: one file, for the holder of the lock. */
const TEMPORARY = `${records.path}/.record.tmp`;

/** Whose it is: the three parts of a record's file name. A request has them. */
export type RecordKey = Pick<Request, "network" | "containerId" | "ifName">;

/** What can be known of an attachment. A record that was truncated, or Go's, lacks some of it: "" then. */
export interface RdmaRecord extends RecordKey, GivenDevice {
	/** Name of the file that it was read from. */
	readonly file?: string;
	/** Written by this plugin, and whole: it tells what its file name cannot. */
	readonly own: boolean;
}

const partsFor = ({ network, containerId, ifName }: RecordKey): string[] => [network, containerId, ifName];
const fileName = (key: RecordKey): string => partsFor(key).join("-");

/** Whether a record is that of `key`: one of Go's, or a damaged one, is whoever's has its name. */
export const isRecordOf = (record: RdmaRecord, key: RecordKey): boolean =>
	record.own
		? record.network === key.network && record.containerId === key.containerId && record.ifName === key.ifName
		: fileName(record) === fileName(key);

/**
 * The lock that every verb holds from its look at the state to the end of its changes: one for the node, not one per
 * device. Moves at the same moment swap the numbers of device nodes, since the kernel makes `uverbsN` again at each
 * move, with the lowest free number; and with the device's record read under it, no two verbs work on one device.
 */
export const takeLock = (): Lock => requireLock(LOCK_PATH, "moves of RDMA devices");

/** Throws SystemError where no record could be written. */
export const requireWritable = (): void => records.requireWritable();

/** False where the attachment has a record of another device, which must not be lost. The caller holds the lock. */
export function writeRecord(record: RdmaRecord): boolean {
	return records.write(partsFor(record), formatJson(toJson(record), 0), TEMPORARY, (told) => {
		const there = parseRecord(told, record);
		if (!isRecordOf(there, record)) return "other";
		return there.deviceId === "" || there.deviceId === record.deviceId ? "own" : "taken";
	});
}

/** Removes a record, and what a process left that was killed while it wrote one. The caller holds the lock. */
export function removeRecord(record: RdmaRecord): void {
	const name = record.file ?? readRecord(record)?.file;
	if (name !== undefined) records.remove(name);
	removeTemporary();
}

/** Removes the latter alone; false where there was nothing. The caller holds the lock. */
export const removeTemporary = (): boolean => files.removeIfPresent(TEMPORARY);

/** What a process has begun to write, or left when it was killed; "" for nothing. */
export const temporaryIfAny = (): string => (files.statIfPresent(TEMPORARY) === undefined ? "" : TEMPORARY);

/** The record of an attachment, with what is left of it; undefined where there is none. */
export function readRecord(key: RecordKey): (RdmaRecord & { readonly file: string }) | undefined {
	let record: RdmaRecord | undefined;
	const found = records.find(partsFor(key), (told) => {
		record = parseRecord(told, key);
		return isRecordOf(record, key) ? "own" : "other";
	});
	return found && record && Object.assign(record, { file: found.name });
}

/** An attachment without a record, as far as the call tells of it. */
export function emptyRecord(key: RecordKey): RdmaRecord {
	return parseRecord({ json: {}, isWhole: true }, key);
}

/** All records, of any network, but that of `except`; damaged ones with what is left of them. */
export function listRecords(except?: RdmaRecord): RdmaRecord[] {
	return records.readAll(except?.file).flatMap(({ name, told }) => {
		// Ours says inside what the parts are; elsewhere a network's name without a dash and an interface's without
		// one are the best guess.
		const [network, containerId, ifName] = partsOf(name, 3) ?? [];
		if (network === undefined || containerId === undefined || ifName === undefined) return [];
		const record = parseRecord(told, { network, containerId, ifName });
		return except !== undefined && isRecordOf(record, except) ? [] : [record];
	});
}

function toJson(record: RdmaRecord): object {
	const { tos, trafficClass } = record.qos;
	const isTold = tos !== undefined || trafficClass !== undefined;
	return {
		version: "1.0",
		deviceID: record.deviceId,
		sandboxRdmaDevName: record.hostName,
		containerRdmaDevName: record.podName,
		rdmaQoS: isTold ? { tos: tos ?? 0, tc: trafficClass ?? 0 } : undefined,
		berth: {
			network: record.network,
			containerID: record.containerId,
			ifname: record.ifName,
			netns: record.netns,
			netnsIdentity: record.netnsIdentity,
			bootId: record.bootId,
			...stateToJson(record),
		},
	};
}

/**
 * Reads what is there: the Go plugin does not write its files in one step, so that they may be truncated anywhere.
 * What becomes a path is checked like a user's, and is as good as lost where it makes no sense.
 */
function parseRecord({ json: told, isWhole }: Told, key: RecordKey): RdmaRecord {
	const own = isWhole ? object(told.berth) : undefined;
	const state = stateFromJson(own, told.sandboxRdmaDevName, told.containerRdmaDevName);
	return {
		network: namePart(own?.network) || key.network,
		containerId: namePart(own?.containerID) || key.containerId,
		ifName: namePart(own?.ifname) || key.ifName,
		own: own !== undefined,
		deviceId: toDeviceId(text(told.deviceID)) ?? "",
		...sandboxIn(own),
		...state,
		qos: own === undefined ? qosFromJson(isWhole && told.rdmaQoS) : state.qos,
	};
}
