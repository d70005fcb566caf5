/**
 * A directory of records: one file for each attachment, written before the first change to a device and removed after
 * the last.
 *
 * A record's name is the one that the Go plugin gives it: the attachment's parts, joined by dashes. Parts may hold
 * dashes, too, so two attachments can have one name: whoever comes second gets a name with "@" between the parts, which
 * no container's or network's name has in it. Go never looks at those.
 */

import * as files from "../sys/files.ts";
import { writeStderr } from "../sys/stderr.ts";
import * as sys from "../sys/sys.ts";
import { readTold, type Told } from "./json.ts";

/**
 * What the kernel says of a file that is too large, or not for us to read. Other errors are of files that may be
 * records.
 */
const NO_RECORD = ["EFBIG", "EACCES", "EPERM"];

/** Parts of a name, the interface last. */
type RecordParts = readonly string[];

/** A file, and what it says. */
export interface RecordFile {
	readonly name: string;
	readonly told: Told;
}

/** Whose a file is that has the name of an attachment. "other": of an attachment that has the same name. */
export type RecordOwner = "own" | "taken" | "other";

export class RecordDirectory {
	readonly path: string;
	#hasWarned = false;

	constructor(path: string) {
		this.path = path;
	}

	/** Makes it, and its parents. */
	prepare(): void {
		files.makeDirectories(this.path, 0o700);
	}

	/** Throws SystemError where no record could be written: a read-only or full file system, no permission. */
	requireWritable(): void {
		this.prepare();
		files.requireWritable(this.path);
	}

	/** The record of an attachment, or undefined where there is none. `ownerOf` judges a file by what it says. */
	find(parts: RecordParts, ownerOf: (told: Told) => RecordOwner): RecordFile | undefined {
		for (const separator of SEPARATORS) {
			const name = parts.join(separator);
			// What is no file is no record.
			const text = files.readTextIfFile(this.#path(name));
			const told = text === undefined ? undefined : readTold(text);
			if (told !== undefined && ownerOf(told) !== "other") return { name, told };
		}
		return undefined;
	}

	/**
	 * Writes a record whole or not at all, by way of `temporary`, which the caller alone writes. Only a file of the
	 * record's own is replaced; false, and nothing is written, where the attachment has one that is "taken". Throws
	 * SystemError.
	 */
	write(parts: RecordParts, text: string, temporary: string, ownerOf: (told: Told) => RecordOwner): boolean {
		for (const separator of SEPARATORS) {
			const path = this.#path(parts.join(separator));
			if (files.writeNew(path, text, 0o600, temporary)) return true;
			// What is no file has the name, too: then this says so.
			const there = files.readTextIfPresent(path);
			const owner = there === undefined ? "taken" : ownerOf(readTold(there));
			if (owner === "taken") return false;
			if (owner === "other") continue;
			files.writeAtomic(path, text, 0o600, temporary);
			return true;
		}
		return false;
	}

	remove(name: string): void {
		files.removeIfPresent(this.#path(name));
	}

	/** When a file was written, in ms since 1970 by the clock of then; 0 where it is gone. */
	writtenMs({ name }: RecordFile): number {
		return files.statIfPresent(this.#path(name))?.mtimeMs ?? 0;
	}

	/** Names that records have: hidden files and names without a dash or "@" are none. */
	names(): string[] {
		const entries = files.listIfPresent(this.path) ?? [];
		return entries.filter((name) => !name.startsWith(".") && (name.includes("-", 1) || name.includes("@", 1)));
	}

	/**
	 * Every file that has a record's name, but `except`. What is none, a directory or whatever somebody put there, is
	 * passed over, with one line on stderr in all. Throws SystemError.
	 */
	readAll(except?: string): RecordFile[] {
		const found: RecordFile[] = [];
		const passedOver: string[] = [];
		for (const name of this.names()) {
			if (name === except) continue;
			try {
				const text = files.readTextIfPresent(this.#path(name));
				if (text !== undefined) found.push({ name, told: readTold(text) });
			} catch (error) {
				if (!files.isNoFile(error) && !sys.isSystemError(error, ...NO_RECORD)) throw error;
				passedOver.push(error.message);
			}
		}
		const [first] = passedOver;
		if (first !== undefined && !this.#hasWarned) {
			this.#hasWarned = true;
			writeStderr(`${this.path}: ${passedOver.length} of its entries cannot be read and are passed over: ${first}\n`);
		}
		return found;
	}

	#path(name: string): string {
		return `${this.path}/${name}`;
	}
}

/** Between the parts of a name: of whoever comes first, then of another whose name would be the same. */
const SEPARATORS = ["-", "@"];

/**
 * The parts of a file's name, `count` of them; of Go's, whose name does not tell them, the likeliest: dashes only
 * within the part `wide`.
 */
export function partsOf(name: string, count: number): string[] | undefined {
	if (name.includes("@")) {
		const [...parts] = name.split("@");
		return parts.length < count ? undefined : [...parts.slice(0, count - 1), parts.slice(count - 1).join("@")];
	}
	const words = name.split("-");
	if (words.length < count) return undefined;
	// The last part is an interface, the one before it a container.
	const first = words.slice(0, count - 2);
	const parts = [...first, words.slice(count - 2, -1).join("-"), words.at(-1)!];
	return parts.every((part) => part !== "") ? parts : undefined;
}
