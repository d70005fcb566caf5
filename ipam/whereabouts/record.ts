/**
 * What this node remembers of an attachment: which addresses it may have claimed. Written before each claim, removed
 * when all are released. Pools do not tell which node an entry is of, so GC and DEL go by these.
 */
import { isObject } from "../../lib/cni/json.ts";
import type { JsonObject, JsonValue, Request } from "../../lib/cni/types.ts";
import { RecordDirectory, type RecordFile, type RecordOwner } from "../../lib/state/directory.ts";
import { integer, text } from "../../lib/state/json.ts";
import * as files from "../../lib/sys/files.ts";

/** An address, and where its claim is. */
export interface Claim {
	readonly ip: string;
	readonly pool: string;
	/** The pool's network, as CIDR. */
	readonly range: string;
	readonly offset: string;
	/** Name of the reservation; "" where the pool's entry is the claim. */
	readonly reservation: string;
}

export type AttachmentRecord = Readonly<NonNullable<ReturnType<typeof parseRecord>>>;

/** In place of a network: what this node has taken over from the Go plugin, which does not say of which one it is. */
export const TAKEN_OVER = "*";

/** A record, and the file that it is in. */
export interface FoundRecord {
	readonly file: RecordFile;
	readonly record: AttachmentRecord;
}

type Attachment = Pick<AttachmentRecord, "network" | "containerId" | "ifName">;

export class Records {
	readonly #directory: RecordDirectory;

	constructor(dataDir: string) {
		this.#directory = new RecordDirectory(`${dataDir}/attachments`);
	}

	requireWritable(): void {
		this.#directory.requireWritable();
	}

	find(attachment: Attachment): FoundRecord | undefined {
		const file = this.#directory.find(partsOf(attachment), (told) => ownerOf(told.json, attachment));
		const record = file && parseRecord(file.told.json);
		return record && { file, record };
	}

	write(record: AttachmentRecord): void {
		this.#directory.prepare();
		const json = JSON.stringify({ version: 1, ...record });
		const isWritten = this.#directory.write(partsOf(record), json, this.#temporary(record), (there) =>
			ownerOf(there.json, record),
		);
		if (!isWritten)
			throw new Error(`${this.#directory.path} has no room for the record of ${partsOf(record).join("-")}`);
	}

	remove({ file, record }: FoundRecord): void {
		this.#directory.remove(file.name);
		files.removeIfPresent(this.#temporary(record));
	}

	/** Removes the record of an attachment, if there is one, and what a killed process left of it. */
	forget(attachment: Attachment): void {
		const found = this.find(attachment);
		if (found !== undefined) this.remove(found);
		else files.removeIfPresent(this.#temporary(attachment));
	}

	/** Removes what killed processes have left of records of a network, but of those that `keep` says. */
	removeTemporary(network: string, keep: (attachment: Attachment) => boolean): void {
		for (const name of files.listIfPresent(this.#directory.path) ?? []) {
			const [, of, containerId, ifName] = /^\.([^@]*)@([^@]*)@(.*)\.tmp$/s.exec(name) ?? [];
			if (of !== network || !containerId || !ifName || keep({ network, containerId, ifName })) continue;
			files.removeIfPresent(`${this.#directory.path}/${name}`);
		}
	}

	#temporary(attachment: Attachment): string {
		return `${this.#directory.path}/.${partsOf(attachment).join("@")}.tmp`;
	}

	/** One that cannot be understood is nobody's. */
	all(): FoundRecord[] {
		return this.#directory.readAll().flatMap((file) => {
			const record = parseRecord(file.told.json);
			return record === undefined ? [] : [{ file, record }];
		});
	}
}

/** What a record says of the attachment of a call and its sandbox: which namespace is at the path while it lives. */
export const recordedOf = ({ network, containerId, ifName, netns }: Request, boot: string) => {
	return { network, containerId, ifName, netns, inode: files.statIfPresent(netns)?.ino ?? 0, boot };
};

const partsOf = ({ network, containerId, ifName }: Attachment): string[] => [network, containerId, ifName];

function ownerOf(json: JsonObject, { network, containerId, ifName }: Attachment): RecordOwner {
	const record = parseRecord(json);
	// One that cannot be understood says nothing that could be lost.
	if (record === undefined) return "own";
	const isOwn = record.network === network && record.containerId === containerId && record.ifName === ifName;
	return isOwn ? "own" : "other";
}

function parseRecord(json: JsonObject) {
	const [network, containerId, ifName] = [text(json.network), text(json.containerId), text(json.ifName)];
	if (network === "" || containerId === "" || ifName === "" || !Array.isArray(json.claims)) return undefined;
	const claims: readonly Claim[] = json.claims.flatMap(readClaim);
	return {
		network,
		containerId,
		ifName,
		podRef: text(json.podRef),
		kubeconfig: text(json.kubeconfig),
		/** Where the objects are. */
		namespace: text(json.namespace),
		claims,
		/** Name of the store of the node's block that its address is in (node-block.ts); "" for none. */
		store: text(json.store),
		/** PCI address of the VF that its address belongs to; "" where it belongs to none. */
		device: text(json.device),
		/** CNI_NETNS of ADD, and the boot of then; "" in a record that says nothing of it. */
		netns: text(json.netns),
		/** Number of the inode of its namespace; 0 where that is not known. */
		inode: integer(json.inode, 0xffff_ffff) ?? 0,
		boot: text(json.boot),
	};
}

function readClaim(value: JsonValue): Claim[] {
	if (!isObject(value)) return [];
	const [ip, pool, range, offset] = [value.ip, value.pool, value.range, value.offset].map(text);
	return ip && pool && offset ? [{ ip, pool, range: range ?? "", offset, reservation: text(value.reservation) }] : [];
}
