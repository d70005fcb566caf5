/**
 * Text of an address file: whom the address is allocated to.
 */
import { SPACE } from "../cni/space.ts";

/** One interface of one container. */
export interface Attachment {
	readonly containerId: string;
	readonly ifName: string;
}

/** Files of very old Go versions do not tell the interface. */
export interface Owner {
	readonly containerId: string;
	readonly ifName: string | undefined;
}

/** Container ID, CR LF, interface name: as Go writes it, and compares it, to the byte. */
export function formatOwner({ containerId, ifName }: Attachment): string {
	return `${containerId}\r\n${ifName}`;
}

/**
 * What an address file says: to whom the address is allocated, that it is allocated to somebody we know nothing of, or
 * nothing.
 */
export type FileContent = Owner | "foreign" | "blank";
/** Undefined where there is no file. */
export type Content = FileContent | undefined;

/**
 * "blank" for what a crash leaves of a file, nothing or NULs: nobody has the address, though to Go it is allocated for
 * ever. Any other text that names no container is somebody's reservation. White space around is ignored, as in Go; a
 * bare LF is accepted too.
 */
export function parseOwner(text: string): FileContent {
	const match = OWNER.exec(text);
	if (match !== null) return { containerId: match[1]!, ifName: match[2] };
	return BLANK.test(text) ? "blank" : "foreign";
}

export const isSameOwner = (content: Content, { containerId, ifName }: Owner): boolean =>
	typeof content === "object" && content.containerId === containerId && content.ifName === ifName;

/** Whether an address is allocated by what its file says. */
export const isAllocated = (content: Content): boolean => content !== undefined && content !== "blank";

/**
 * The characters of a container ID are those of lib/cni/environment.ts. White space is Unicode's, as Go's
 * strings.TrimSpace takes it, of which no interface's name has any; JavaScript's would be U+FEFF, too.
 */
const OWNER = new RegExp(`^[${SPACE}]*([a-zA-Z0-9][a-zA-Z0-9_.-]*)(?:\\r?\\n([^${SPACE}]+))?[${SPACE}]*$`);
const BLANK = new RegExp(`^[\\0${SPACE}]*$`);
