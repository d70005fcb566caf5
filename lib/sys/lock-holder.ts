/**
 * Who holds a lock, for the message of those who waited in vain.
 */
import { listIfPresent, readLineIfPresent, readTextIfPresent, statIfPresent } from "./files.ts";
import * as sys from "./sys.ts";

/**
 * Who holds the lock now: `process 4711 (sriov, ADD of container 1f3c...)`. Undefined where that cannot be found out.
 */
export function describeHolder(path: string): string | undefined {
	// It may have ended meanwhile, or is not ours to look at.
	return sys.unlessFailed(() => {
		const pid = holderOf(path);
		return pid === undefined ? undefined : describeProcess(pid);
	});
}

/**
 * A line of /proc/locks: "1: FLOCK  ADVISORY  WRITE 4711 08:01:1234 0 EOF", "->" after the number for one that waits.
 * The device number is not what stat(2) tells on file systems such as overlayfs, so the inode number picks and the open
 * files of the owner confirm.
 */
function holderOf(path: string): string | undefined {
	const ino = statIfPresent(path)?.ino;
	for (const line of readTextIfPresent("/proc/locks")?.split("\n") ?? []) {
		const [, kind, , , pid, file] = line.split(/ +/);
		if (kind === "FLOCK" && pid !== undefined && file?.endsWith(`:${ino}`) && hasOpen(pid, path)) return pid;
	}
	return undefined;
}

function hasOpen(pid: string, path: string): boolean {
	const directory = `/proc/${pid}/fd`;
	return listIfPresent(directory)?.some((fd) => sys.readlinkat(sys.AT_FDCWD, `${directory}/${fd}`) === path) ?? false;
}

function describeProcess(pid: string): string {
	const name = readLineIfPresent(`/proc/${pid}/comm`);
	const variables = readTextIfPresent(`/proc/${pid}/environ`)?.split("\0") ?? [];
	const value = (key: string): string | undefined =>
		variables.find((each) => each.startsWith(`${key}=`))?.slice(key.length + 1);
	const container = value("CNI_CONTAINERID");
	const work = container === undefined ? "" : `, ${value("CNI_COMMAND") ?? "a verb"} of container ${container}`;
	return name === undefined ? `process ${pid}` : `process ${pid} (${name}${work})`;
}
