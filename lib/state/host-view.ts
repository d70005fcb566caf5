/**
 * Whether this process sees the node as its container runtime does: from inside of a container every sandbox would look
 * gone.
 */
import { listIfPresent, readLinkIfPresent } from "../sys/files.ts";
import * as sys from "../sys/sys.ts";

/** PROC_PID_INIT_INO of linux/proc_ns.h: the first PID namespace, on every machine. */
const FIRST_PID_NAMESPACE = "pid:[4026531836]";

/** Throws an error for people where it does not. */
export function requireHostView(): void {
	const pids = readLinkIfPresent("/proc/self/ns/pid");
	if (pids === undefined) throw new Error("there is no /proc here: nobody can say which sandboxes live");
	if (listIfPresent("/sys/bus") === undefined)
		throw new Error("there is no /sys here: nobody can say where devices are");
	const isOutside = pids === FIRST_PID_NAMESPACE && ["mnt", "net"].every(isOfFirstProcess);
	if (isOutside) return;
	throw new Error(
		"this is a container, from where the node's sandboxes cannot be seen: run it on the host, in a pod with hostPID by nsenter --target 1 --mount --net",
	);
}

/** Where that cannot be told it is taken to be so: who may not look at process 1 may not change devices either. */
function isOfFirstProcess(kind: string): boolean {
	const isSame = (): boolean => {
		const first = readLinkIfPresent(`/proc/1/ns/${kind}`);
		return first === undefined || first === readLinkIfPresent(`/proc/self/ns/${kind}`);
	};
	return sys.unlessFailed(isSame, "EACCES", "EPERM") ?? true;
}
