/**
 * The leases on disk: a file for each, whole or not there, so that a daemon that is killed at any point finds them
 * again.
 */
import { parseObject } from "../../../lib/cni/json.ts";
import type { LinkIndex } from "../../../lib/netlink/link.ts";
import * as files from "../../../lib/sys/files.ts";
import type { Attachment, LeaseSpec } from "./protocol.ts";

/** Of a file. */
const VERSION = 1;

/** Which interface it is, whatever it is called now. */
export interface Place {
	/** `Sandbox.identity`; "" where the kernel has none. */
	readonly netnsIdentity: string;
	/** Inode number of the namespace: what /proc/PID/ns/net has. */
	readonly netnsInode: number;
	readonly linkIndex: LinkIndex;
	readonly mac: string;
}

/** An address, and whom it is of. */
export interface Given {
	readonly address: string;
	readonly server: string;
	/** Of whoever handed the server's answer over: RELEASE goes there. */
	readonly serverMac: string;
}

/** What the server gave. Times are milliseconds of CLOCK_BOOTTIME; null: never. */
export interface Binding extends Given {
	/** All options of the ACK, packed, in hex digits. */
	readonly options: string;
	readonly renewAt: number | null;
	readonly rebindAt: number | null;
	readonly expireAt: number | null;
}

/** What is on disk of a lease. */
export interface LeaseRecord {
	readonly spec: LeaseSpec;
	readonly place: Place;
	/** ADD has been answered: the address is, or was, on the interface. */
	answered: boolean;
	/** Undefined: asked for, or expired. */
	binding?: Binding | undefined;
	/** The address that was asked for last, and its server: to be asked for again, or released. */
	wanted?: Given | undefined;
	/** Address with prefix that is to be taken off the interface; the binding's is to be put on. */
	replaces?: string | undefined;
}

export class Journal {
	readonly #directory: string;
	readonly #bootId: string;
	#last = 0;

	/** Makes the directory, for root alone. Throws SystemError. */
	constructor(directory: string, bootId: string) {
		this.#directory = directory;
		this.#bootId = bootId;
		files.makeDirectories(directory, 0o700);
	}

	/**
	 * Calls `use` with each record of this boot. Others are removed, and `dropped` hears why: nothing of a pod outlives
	 * a boot, and what is no record is none of ours.
	 */
	load(use: (file: number, record: LeaseRecord) => void, dropped: (name: string, why: string) => void): void {
		for (const name of files.listIfPresent(this.#directory) ?? []) {
			const file = /^[0-9]+\.json$/.test(name) ? Number.parseInt(name, 10) : 0;
			// What a write that was killed left: its record has the same name, or was never acted upon.
			if (file === 0) {
				files.removeIfPresent(`${this.#directory}/${name}`);
				continue;
			}
			this.#last = Math.max(this.#last, file);
			const record = parseObject(files.readTextIfPresent(this.#path(file)) ?? "");
			// Written by us as a whole: its version is all there is to look at.
			const isOurs = record?.version === VERSION;
			if (isOurs && record.bootId === this.#bootId) {
				use(file, record as unknown as LeaseRecord);
				continue;
			}
			dropped(name, isOurs ? "it is of an earlier boot" : "it is no record of this release");
			this.remove(file);
		}
	}

	newFile(): number {
		return ++this.#last;
	}

	write(file: number, record: LeaseRecord): void {
		const text = JSON.stringify({ ...record, version: VERSION, bootId: this.#bootId });
		files.writeUntilBoot(this.#path(file), text, 0o600);
	}

	remove(file: number): void {
		files.removeWritten(this.#path(file));
	}

	#path(file: number): string {
		return `${this.#directory}/${file}.json`;
	}
}

/** The attachments whose DEL no daemon heard; their files are removed once `use` has returned. */
export function takeReleased(directory: string, use: (attachment: Attachment) => void): void {
	for (const name of files.listIfPresent(directory) ?? []) {
		const path = `${directory}/${name}`;
		// Of a half-written one the DEL went on to say so.
		const attachment = parseObject(files.readTextIfPresent(path) ?? "");
		if (attachment !== undefined) use(attachment as unknown as Attachment);
		files.removeIfPresent(path);
	}
}
