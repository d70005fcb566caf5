/**
 * Text of an address file: whom the address is held for.
 */

/** One interface of one container. */
export interface Attachment {
	readonly containerId: string;
	readonly ifName: string;
}

/** Files of very old Go versions do not tell the interface. */
export interface Holder {
	readonly containerId: string;
	readonly ifName: string | undefined;
}

/** Container ID, CR LF, interface name: as Go writes it, and compares it, to the byte. */
export function formatHolder({ containerId, ifName }: Attachment): string {
	return `${containerId}\r\n${ifName}`;
}

/**
 * Undefined for a text that names no container: nothing that a runtime could have asked for, so nobody holds the address.
 * To Go such a file is held for ever, whatever is in it. White space around is ignored, as in Go; a bare LF is accepted too.
 */
export function parseHolder(text: string): Holder | undefined {
	const match = HOLDER.exec(text);
	return match === null ? undefined : { containerId: match[1]!, ifName: match[2] };
}

/** The characters of a container ID are those of lib/cni/environment.ts. */
const HOLDER = /^\s*([a-zA-Z0-9][a-zA-Z0-9_.-]*)(?:\r?\n(\S+))?\s*$/;
