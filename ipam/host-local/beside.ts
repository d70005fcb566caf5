/**
 * Where we keep what the Go plugin knows nothing of: outside of the store, which it walks.
 */
import { statIfPresent } from "../../lib/linux/files.ts";

/** Folder of what we keep beside the store. A network's name begins with a letter or a digit: this is none. */
export function besideStore(store: string): string {
	const slash = store.lastIndexOf("/");
	return `${store.slice(0, slash)}/.berth/${store.slice(slash + 1)}`;
}

/** Whether there is anything beside the store: most are small, and have nothing. One system call, which may throw SystemError. */
export function isAnythingBeside(store: string): boolean {
	return statIfPresent(besideStore(store)) !== undefined;
}
