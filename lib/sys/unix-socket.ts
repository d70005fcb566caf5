/**
 * Sockets of the file system: unix(7).
 */
import * as sys from "./sys.ts";

/** Bytes of `sun_path`, with its final NUL. */
const PATH_BYTES = 108;

/** `struct sockaddr_un`. Undefined where the path is too long for one. */
export function unixAddress(path: string): Uint8Array | undefined {
	const name = sys.encodeUtf8(path);
	if (name.length >= PATH_BYTES) return undefined;
	const bytes = new Uint8Array(2 + name.length + 1);
	new Uint16Array(bytes.buffer, 0, 1)[0] = sys.AF_UNIX;
	bytes.set(name, 2);
	return bytes;
}

/** User id of the process at the other end: SO_PEERCRED, `struct ucred` (process, user, group). */
export function peerUser(fd: number): number {
	const bytes = sys.getSocketOption(fd, sys.SOL_SOCKET, sys.SO_PEERCRED, 12);
	return new Uint32Array(bytes.buffer)[1]!;
}
