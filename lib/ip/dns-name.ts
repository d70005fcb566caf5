/**
 * Names of the DNS in messages: RFC 1035, sections 3.1 and 4.1.4.
 */
import { decodeUtf8 } from "../sys/sys.ts";

/** A name with its dots, and where what follows it begins. */
export interface DnsName {
	readonly text: string;
	readonly end: number;
}

const MOST_LABEL = 63;
/** Bytes of a name with the lengths of its labels, without the root's. */
const MOST_NAME = 254;

/**
 * The name at `start`; undefined where it is malformed. A pointer leads to an earlier place only, so that no name is
 * without an end.
 */
export function readDnsName(bytes: Uint8Array, start: number): DnsName | undefined {
	const labels: string[] = [];
	let length = 0;
	let end: number | undefined;
	let earliest = start;
	for (let at = start; ; ) {
		const size = bytes[at];
		if (size === undefined) return undefined;
		if (size === 0) return { text: labels.join("."), end: end ?? at + 1 };
		if (size >= 0xc0) {
			const target = (size & 0x3f) * 256 + (bytes[at + 1] ?? bytes.length);
			if (target >= earliest) return undefined;
			end ??= at + 2;
			earliest = target;
			at = target;
			continue;
		}
		length += 1 + size;
		if (size > MOST_LABEL || at + 1 + size > bytes.length || length > MOST_NAME) return undefined;
		labels.push(decodeUtf8(bytes.subarray(at + 1, at + 1 + size)));
		at += 1 + size;
	}
}
