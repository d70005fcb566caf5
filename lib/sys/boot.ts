/**
 * Which boot this is: state on disk outlives it, devices and namespaces do not.
 */
import { readLine } from "./files.ts";

/** The kernel's random identifier of the running boot (random(4)). */
export function bootId(): string {
	return readLine("/proc/sys/kernel/random/boot_id");
}
