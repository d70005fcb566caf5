/**
 * Which boot this is: state on disk outlives it, devices and namespaces do not.
 */
import { readText } from "./files.ts";
import * as sys from "./sys.ts";

/** The kernel's random identifier of the running boot (random(4)). */
export function bootId(): string {
	return readText("/proc/sys/kernel/random/boot_id").trim();
}

/** When the running boot began, in ms since 1970, as the clock has it now. */
export function bootTimeMs(): number {
	return sys.realtimeMs() - Number.parseFloat(readText("/proc/uptime")) * 1000;
}
