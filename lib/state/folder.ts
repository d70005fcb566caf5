/**
 * A folder of records: one file for each attachment, written before the first change to a device and removed after the last.
 */
import * as files from "../sys/files.ts";
import * as sys from "../sys/sys.ts";

export class RecordFolder {
	readonly path: string;

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

	/** The text of a record, or undefined where there is none. */
	read(name: string): string | undefined {
		return files.readTextIfPresent(this.#path(name));
	}

	/** Writes a record whole or not at all, by way of `temporary`, which the caller alone writes. */
	write(name: string, text: string, temporary: string): void {
		files.writeAtomic(this.#path(name), text, 0o600, temporary);
	}

	remove(name: string): void {
		files.removeIfPresent(this.#path(name));
	}

	/** When a record was written, in ms since 1970; now where it is gone. */
	writtenMs(name: string): number {
		return files.statIfPresent(this.#path(name))?.mtimeMs ?? sys.realtimeMs();
	}

	/** Names of the records: hidden files and names without a dash are none. */
	names(): string[] {
		const entries = files.listIfPresent(this.path) ?? [];
		return entries.filter((name) => name.lastIndexOf("-") > 0 && !name.startsWith("."));
	}

	#path(name: string): string {
		return `${this.path}/${name}`;
	}
}
