/**
 * Which boot this is: state on disk outlives it, devices and namespaces do not.
 */
import { readText } from "./files.ts";

/** The kernel's random identifier of the running boot (random(4)). */
export function bootId(): string {
	return readText("/proc/sys/kernel/random/boot_id").trim();
}
