/**
 * What this node knows of the VFs in pods: a record per attachment and a marker per VF, under /var/lib/cni/sriov.
 *
 * The files are those of the Go plugin (sriov-cni v2.10.0), so that either can delete what the other added:
 *   <container>-<ifname>      the configuration with `OrigVfState`, JSON. Ours has one key more, `berth`.
 *   pci/<address>             the marker: path of the sandbox that has the VF
 *   pci/vf_lock/<address>.lock
 * Order: marker, record, then the first change; back: device, record, marker. So every record of ours has a marker, and
 * a VF whose marker is stale is one that some record may still tell how to restore.
 */
import { isPciAddress } from "../../lib/linux/pci.ts";
import { RecordFolder } from "../../lib/state/folder.ts";
import * as files from "../../lib/sys/files.ts";
import { formatRecord, parseRecord, type VfRecord } from "./record-format.ts";

/** Compiled in, as in the Go plugin. */
const records = new RecordFolder("/var/lib/cni/sriov");
const MARKER_DIRECTORY = `${records.path}/pci`;
const LOCK_DIRECTORY = `${MARKER_DIRECTORY}/vf_lock`;

/** Name of an attachment's record. Two attachments may have the same: a dash may be part of either name. */
export const recordName = (containerId: string, ifName: string): string => `${containerId}-${ifName}`;
const markerPath = (pci: string): string => `${MARKER_DIRECTORY}/${pci}`;
/** Where marker and record are written before they get their names: one file for each VF, written by the holder of its lock. */
const temporaryPath = (pci: string): string => `${MARKER_DIRECTORY}/.${pci}.tmp`;

/** Throws SystemError where no record could be written: a read-only or full file system, no permission. */
export function requireWritable(): void {
	files.makeDirectories(LOCK_DIRECTORY, 0o700);
	records.requireWritable();
}

/** Same file as the Go plugin's. Its folder is the deepest: with the lock held, all folders of the state are there. */
export const lockPath = (pci: string): string => `${LOCK_DIRECTORY}/${pci}.lock`;

/** Sandbox path in the VF's marker, or undefined where it has none. */
export function readMarker(pci: string): string | undefined {
	return files.readTextIfPresent(markerPath(pci))?.trim();
}
export function writeMarker(pci: string, netns: string): void {
	files.writeAtomic(markerPath(pci), netns, 0o600, temporaryPath(pci));
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

export function writeRecord(record: VfRecord): void {
	records.write(recordName(record.containerId, record.ifName), formatRecord(record), temporaryPath(record.pci));
}
export function removeRecord(record: { containerId: string; ifName: string }): void {
	records.remove(recordName(record.containerId, record.ifName));
}

/** The record of an attachment: undefined where there is none, "damaged" where its file cannot be understood. */
export function readRecord(containerId: string, ifName: string): VfRecord | "damaged" | undefined {
	const record = readNamed(containerId, ifName);
	const isOther = typeof record === "object" && (record.containerId !== containerId || record.ifName !== ifName);
	return isOther ? undefined : record;
}

/** The record that has the name of this attachment's, which may be another's. */
export function readNamed(containerId: string, ifName: string): VfRecord | "damaged" | undefined {
	const text = records.read(recordName(containerId, ifName));
	return text === undefined ? undefined : (parseRecord(text, containerId, ifName) ?? "damaged");
}

/** The text of a damaged record, as far as it goes; "" for none. */
export function readDamagedRecord(containerId: string, ifName: string): string {
	return records.read(recordName(containerId, ifName)) ?? "";
}

/** When the record was written, in ms since 1970; now where it is gone. */
export function writtenMs({ containerId, ifName }: { containerId: string; ifName: string }): number {
	return records.writtenMs(recordName(containerId, ifName));
}

/** All records that can be read, of any network. */
export function listRecords(): VfRecord[] {
	return readAll().flatMap(({ record }) => record ?? []);
}

/** What cannot be understood, with the attachment that its file name tells: exact but for dashes. */
export interface DamagedRecord {
	readonly containerId: string;
	readonly ifName: string;
	readonly text: string;
}
export function listDamaged(): DamagedRecord[] {
	return readAll().filter(({ record }) => record === undefined);
}

function readAll(): (DamagedRecord & { record: VfRecord | undefined })[] {
	const all: (DamagedRecord & { record: VfRecord | undefined })[] = [];
	for (const name of records.names()) {
		// Ours says inside which container and interface it is; for Go's the last dash is the best guess.
		const dash = name.lastIndexOf("-");
		const [containerId, ifName] = [name.slice(0, dash), name.slice(dash + 1)];
		const text = records.read(name);
		if (text !== undefined) all.push({ containerId, ifName, text, record: parseRecord(text, containerId, ifName) });
	}
	return all;
}

/** How many records there are, damaged ones too: none of them is read. */
export const countRecords = (): number => records.names().length;

/** The records of a VF, the newest first: what an older one says of the VF's original state is nearer to the truth. */
export function recordsOf(pci: string): VfRecord[] {
	const found = listRecords().filter((record) => record.pci === pci);
	return found.length < 2 ? found : found.sort((a, b) => writtenMs(b) - writtenMs(a));
}
