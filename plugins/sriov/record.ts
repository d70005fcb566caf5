/**
 * What this node knows of the VFs in pods: a record per attachment and a marker per VF, under /var/lib/cni/sriov.
 *
 * The files are those of the Go plugin (sriov-cni v2.10.0), so that either can delete what the other added:
 *   <container>-<ifname>      the configuration with `OrigVfState`, JSON. Ours has one key more, `berth`.
 *   pci/<address>             the marker: path of the sandbox that has the VF
 *   pci/vf_lock/<address>.lock
 * Order: marker, record, then the first change; back: device, record, marker. So every record of ours has a marker,
 * and a VF whose marker is stale is one that some record may still tell how to restore.
 */
import { isPciAddress } from "../../lib/linux/pci.ts";
import { partsOf, RecordDirectory, type RecordFile, type RecordOwner } from "../../lib/state/directory.ts";
import type { Told } from "../../lib/state/json.ts";
import * as files from "../../lib/sys/files.ts";
import { formatRecord, ownerIn, parseRecord, pciIn, type VfRecord } from "./record-format.ts";

/** Compiled in, as in the Go plugin. */
const records = new RecordDirectory("/var/lib/cni/sriov");
const MARKER_DIRECTORY = `${records.path}/pci`;
const LOCK_DIRECTORY = `${MARKER_DIRECTORY}/vf_lock`;

/**
 * The name that Go gives an attachment's record. Two attachments may have the same: a dash may be part of either
 * name.
 */
export const recordName = (containerId: string, ifName: string): string => `${containerId}-${ifName}`;
export const markerPath = (pci: string): string => `${MARKER_DIRECTORY}/${pci}`;
/**
 * Where marker and record are written before they get their names: one file for each VF, written by the holder of its
 * lock.
 */
const temporaryPath = (pci: string): string => `${MARKER_DIRECTORY}/.${pci}.tmp`;

/** Throws SystemError where no record could be written: a read-only or full file system, no permission. */
export function requireWritable(): void {
	files.makeDirectories(LOCK_DIRECTORY, 0o700);
	records.requireWritable();
}

/**
 * Same file as the Go plugin's. Its directory is the deepest: with the lock held, all directories of the state are
 * there.
 */
export const lockPath = (pci: string): string => `${LOCK_DIRECTORY}/${pci}.lock`;

/** Sandbox path in the VF's marker, or undefined where it has none: what is no file is no marker. */
export function readMarker(pci: string): string | undefined {
	const path = files.readTextIfFile(markerPath(pci));
	return path === undefined ? undefined : files.withoutNewline(path);
}

/** False where the VF has one by now: the lock that should keep others out may have been removed. */
export function writeMarker(pci: string, netns: string): boolean {
	return files.writeNew(markerPath(pci), netns, 0o600, temporaryPath(pci));
}
export function removeMarker(pci: string): void {
	files.removeWritten(markerPath(pci), temporaryPath(pci));
}
/** What a process that was killed while it wrote left. The caller holds the VF's lock. */
export function removeTemporary(pci: string): void {
	files.removeIfPresent(temporaryPath(pci));
}

/** PCI addresses of the VFs that have a marker, or what a killed process left of one. */
export function listMarked(): string[] {
	const names = (files.listIfPresent(MARKER_DIRECTORY) ?? []).map((name) => name.replace(/^\.(.*)\.tmp$/, "$1"));
	return [...new Set(names.filter(isPciAddress))];
}

/** Whose a record is. A request is of one attachment, too. */
export type RecordKey = Pick<VfRecord, "containerId" | "ifName">;
const partsFor = ({ containerId, ifName }: RecordKey): [string, string] => [containerId, ifName];

/**
 * By what the file says inside; a damaged one of which that is not left, and Go's, is the attachment's that has its
 * name.
 */
function ownerOf(told: Told, key: RecordKey): RecordOwner {
	const own = ownerIn(told);
	return own !== undefined && (own.containerId !== key.containerId || own.ifName !== key.ifName) ? "other" : "own";
}

/**
 * Writes a record that has none yet, or is this VF's own. False where the attachment has one of another VF, or a
 * damaged one of who knows which: that must not be lost. The caller holds the lock of the VF: only its holder makes,
 * replaces or removes a record of a VF.
 */
export function writeRecord(record: VfRecord): boolean {
	const judge = (told: Told): RecordOwner => {
		const owner = ownerOf(told, record);
		return owner === "own" && pciIn(told) !== record.pci ? "taken" : owner;
	};
	return records.write(partsFor(record), formatRecord(record), temporaryPath(record.pci), judge);
}

/**
 * Removes the record of an attachment, if it is of VF `pci` (undefined: if nobody can tell of which). The caller
 * holds that VF's lock.
 */
export function removeRecord(key: RecordKey, pci: string | undefined): void {
	const file = find(key);
	if (file !== undefined && (pciIn(file.told) ?? pci) === pci) records.remove(file.name);
}

const find = (key: RecordKey): RecordFile | undefined => records.find(partsFor(key), (told) => ownerOf(told, key));

/** The record of an attachment: undefined where there is none, "damaged" where its file cannot be understood. */
export function readRecord(key: RecordKey): VfRecord | "damaged" | undefined {
	const file = find(key);
	return file && (parseRecord(file.told, key.containerId, key.ifName) ?? "damaged");
}

/** What is left of a damaged record; nothing where there is none. */
export const readDamagedRecord = (key: RecordKey): Told => find(key)?.told ?? { json: {}, isWhole: false };

/** All records that can be read, of any network. */
export function listRecords(): VfRecord[] {
	return readAll().flatMap(({ record }) => record ?? []);
}

/** What cannot be understood, with the attachment that its file name tells: exact but for dashes. */
export interface DamagedRecord extends RecordKey {
	readonly told: Told;
}
export function listDamaged(): DamagedRecord[] {
	return readAll().filter(({ record }) => record === undefined);
}

function readAll(): (DamagedRecord & { file: RecordFile; record: VfRecord | undefined })[] {
	return records.readAll().flatMap((file) => {
		const { told } = file;
		// Ours says inside which container and interface it is; for Go's the last dash is the best guess.
		const [containerId, ifName] = partsOf(file.name, 2) ?? [];
		if (containerId === undefined || ifName === undefined) return [];
		return [
			{ ...(ownerIn(told) ?? { containerId, ifName }), told, file, record: parseRecord(told, containerId, ifName) },
		];
	});
}

/** How many records there are, damaged ones too: none of them is read. */
export const countRecords = (): number => records.names().length;

/**
 * The records of a VF, the newest first: what an older one says of the VF's original state is nearer to the truth.
 * Ours are older than Go's, since we leave none of another when we make one. Between Go's, whose order nothing else
 * tells, the files' times decide.
 */
export function recordsOf(pci: string): VfRecord[] {
	const found = readAll().filter(({ record }) => record?.pci === pci);
	if (found.length > 1) {
		const age = ({ file, record }: (typeof found)[number]): number =>
			record?.bootId === "" ? -records.writtenMs(file) : Number.POSITIVE_INFINITY;
		found.sort((a, b) => age(a) - age(b));
	}
	return found.flatMap(({ record }) => record ?? []);
}
