/**
 * What a file in a directory of CNI plugins is: this executable, another Berth, or somebody else's.
 */
import { readLinkIfPresent } from "../../lib/sys/files.ts";
import * as sys from "../../lib/sys/sys.ts";

/** The running file, also when its name has been given to a newer one. */
export const OWN_FILE = "/proc/self/exe";

export type Found =
	| { readonly kind: "absent" }
	/** This executable, byte for byte, and everybody may run it. */
	| { readonly kind: "equal"; readonly sha256: string; readonly version: string }
	/** Another version, a damaged one, or an empty file, which nobody can have meant. */
	| { readonly kind: "berth"; readonly sha256: string; readonly version: string }
	/** `isFile` is false for a directory and the like, which nothing can be put in place of. */
	| { readonly kind: "foreign"; readonly what: string; readonly isFile: boolean };

const MODE = 0o755;

/** Looks at files, and reads one that has several names once. */
export class Executables {
	readonly ownHash = sys.sha256(OWN_FILE);
	readonly #seen = new Map<string, Found>();

	/** What is at `path`. Throws SystemError where it cannot be read. */
	at(path: string): Found {
		const status = sys.statat(sys.AT_FDCWD, path, false);
		if (status === undefined) return { kind: "absent" };
		const key = `${status.dev} ${status.ino} ${status.size} ${status.mtimeMs} ${status.ctimeMs}`;
		const found = this.#seen.get(key) ?? this.#look(path, status);
		this.#seen.set(key, found);
		return found;
	}

	#look(path: string, status: sys.FileStatus): Found {
		if (sys.isSymbolicLink(status.mode)) {
			return { kind: "foreign", what: `a symbolic link to ${readLinkIfPresent(path)}`, isFile: true };
		}
		if (!sys.isRegular(status.mode)) {
			return { kind: "foreign", what: sys.isDirectory(status.mode) ? "a directory" : "no file", isFile: false };
		}
		const version = status.size === 0 ? "" : versionOf(path);
		if (version === undefined) return { kind: "foreign", what: "another program", isFile: true };
		const sha256 = sys.sha256(path);
		const isEqual = sha256 === this.ownHash && (status.mode & MODE) === MODE;
		return { kind: isEqual ? "equal" : "berth", sha256, version };
	}
}

/** Offsets of <elf.h>, class 64: Elf64_Ehdr, Elf64_Phdr. */
const EHDR = { phoff: 32, phentsize: 54, phnum: 56 };
const PHDR = { type: 0, offset: 8, filesz: 32 };
const PT_NOTE = 4;
/** Program headers and notes come first in an executable. */
const FIRST = 4096;
const OWNER = "Berth\0";

/** The version that the ELF note of a Berth has (runtime/src/main.rs); undefined for any other file. */
function versionOf(path: string): string | undefined {
	const fd = openIfAllowed(path);
	if (fd === undefined) return undefined;
	try {
		const bytes = sys.read(fd, FIRST);
		// EI_CLASS 2: 64 bits; EI_DATA 1: little-endian.
		if (sys.decodeUtf8(bytes.subarray(0, 6)) !== "\x7fELF\x02\x01") return undefined;
		return versionIn(new DataView(bytes.buffer, bytes.byteOffset, bytes.length));
	} finally {
		sys.close(fd);
	}
}

/** Root without capabilities, as in a pod, may not read each file. One of ours everybody may. */
function openIfAllowed(path: string): number | undefined {
	try {
		return sys.openat(sys.AT_FDCWD, path, sys.O_RDONLY | sys.O_NONBLOCK, 0);
	} catch (error) {
		if (sys.isSystemError(error, "EACCES", "EPERM")) return undefined;
		throw error;
	}
}

function versionIn(view: DataView): string | undefined {
	try {
		const word = (at: number): number => view.getUint32(at, true);
		const [headers, size] = [word(EHDR.phoff), view.getUint16(EHDR.phentsize, true)];
		for (let index = 0; index < view.getUint16(EHDR.phnum, true); index++) {
			const header = headers + index * size;
			if (word(header + PHDR.type) !== PT_NOTE) continue;
			const start = word(header + PHDR.offset);
			for (let at = start; at < start + word(header + PHDR.filesz); ) {
				const [owner, length] = [word(at), word(at + 4)];
				const content = at + 12 + align(owner);
				if (textAt(view, at + 12, owner) === OWNER) return textAt(view, content, length);
				at = content + align(length);
			}
		}
	} catch (error) {
		// Headers that point to beyond what was read are not ours.
		if (!(error instanceof RangeError)) throw error;
	}
	return undefined;
}

const align = (length: number): number => (length + 3) & ~3;

const textAt = (view: DataView, at: number, length: number): string =>
	sys.decodeUtf8(new Uint8Array(view.buffer, view.byteOffset + at, length));
