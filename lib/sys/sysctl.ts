/**
 * Network sysctls of the namespace that this thread is in: /proc/sys/net follows the reader, not the mount.
 *
 * Keys are paths below /proc/sys, with slashes: "net/ipv6/conf/eth0.5/disable_ipv6" (interface names may have dots).
 */
import { readLineIfPresent, writeExisting } from "./files.ts";

const path = (key: string): string => `/proc/sys/${key}`;

/** The value without the final newline, or undefined where there is no such setting (IPv6 not in the kernel). */
export function readSysctlIfPresent(key: string): string | undefined {
	return readLineIfPresent(path(key));
}

/**
 * Throws SystemError (ENOENT: the kernel has no such setting, or there is no such interface; EROFS, EACCES: /proc/sys
 * is read-only here).
 */
export function writeSysctl(key: string, value: string): void {
	writeExisting(path(key), value);
}
