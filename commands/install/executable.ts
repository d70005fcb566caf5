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

/** Program headers and notes come first in an executable. */
const FIRST = 4096;
/** ELFMAG, 64 bits, little-endian: <elf.h>. */
const ELF = "\x7fELF\x02\x01";
/** How the note's owner stands there: 6 bytes, filled up to 8. */
const OWNER = "Berth\0\0\0";
const OWNER_LENGTH = "\x06\0\0\0";

/** The version that the ELF note of a Berth has (runtime/src/main.rs); undefined for any other file. */
function versionOf(path: string): string | undefined {
	// Root without capabilities, as in a pod, may not read each file. One of ours everybody may.
	const open = (): number => sys.openat(sys.AT_FDCWD, path, sys.O_RDONLY | sys.O_NONBLOCK, 0);
	const fd = sys.unlessFailed(open, "EACCES", "EPERM");
	if (fd === undefined) return undefined;
	try {
		const text = String.fromCharCode(...sys.read(fd, FIRST));
		const at = text.indexOf(OWNER);
		// Elf64_Nhdr: the lengths of owner and content, and a type, 4 bytes each.
		if (!text.startsWith(ELF) || at < 12 || !text.startsWith(OWNER_LENGTH, at - 12)) return undefined;
		const start = at + OWNER.length;
		return text.slice(start, start + text.charCodeAt(at - 8));
	} finally {
		sys.close(fd);
	}
}
