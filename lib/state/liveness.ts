/**
 * Whether the sandbox that a record is of is still there: a path may lead to another namespace by now, and nothing of a
 * pod outlives a boot. No clock is asked: it may be set at any moment.
 */
import type { JsonObject } from "../cni/types.ts";
import { type Protocol, Sandbox } from "../plugin/sandbox.ts";
import { bootId } from "../sys/boot.ts";
import { readLinkIfPresent } from "../sys/files.ts";
import * as sys from "../sys/sys.ts";
import { text } from "./json.ts";

/** A sandbox as a record has it. */
export interface RecordedSandbox {
	/** CNI_NETNS of ADD; "" in a record of Go's. */
	readonly netns: string;
	/** `Sandbox.identity` of ADD, unique within a boot; "" where it is not known. */
	readonly netnsIdentity: string;
	/** `bootId` of ADD; "" where it is not known. */
	readonly bootId: string;
}

/** As our own part of a record has it; the Go plugins' have none. */
export const sandboxIn = (own: JsonObject | undefined): RecordedSandbox => ({
	netns: text(own?.netns),
	netnsIdentity: text(own?.netnsIdentity),
	bootId: text(own?.bootId),
});

/** Whether `sandbox` is the one of the record: it is, where the record does not tell. */
const isSandboxOf = ({ netnsIdentity }: RecordedSandbox, sandbox: Sandbox): boolean =>
	netnsIdentity === "" || sandbox.identity === netnsIdentity;

/**
 * The sandbox of the record, found at `path`; undefined where it is gone, or another has its path. `protocol` is that
 * of the socket which the caller needs. The caller closes it.
 */
export function openSandboxOf(record: RecordedSandbox, path: string, protocol?: Protocol): Sandbox | undefined {
	const sandbox = Sandbox.openIfAlive(path, protocol);
	if (sandbox === undefined || isSandboxOf(record, sandbox)) return sandbox;
	sandbox[Symbol.dispose]();
	return undefined;
}

/** Whether the sandbox of the record is at `path`, its own unless another is given. */
export function isAlive(record: RecordedSandbox, path = record.netns): boolean {
	using sandbox = openSandboxOf(record, path);
	return sandbox !== undefined && !isOfEarlierBoot(record);
}

/** Whether a record says that it is from before the running boot. One of Go's does not say. */
export const isOfEarlierBoot = (record: RecordedSandbox): boolean => record.bootId !== "" && record.bootId !== bootId();

/** "unknown": nothing says where it was. */
export type Fate = "alive" | "gone" | "unknown";

/**
 * What became of the sandbox of a record, seen from the host. A namespace whose path is gone lives on as long as a
 * process is in it. `inode`: number of its namespace, for records without `netnsIdentity`; 0 where that is not known.
 */
export function fateOf(record: RecordedSandbox, path = record.netns, inode = 0): Fate {
	if (isOfEarlierBoot(record) && BOOT_ID.test(record.bootId)) return "gone";
	if (path === "") return "unknown";
	if (isAlive({ ...record, bootId: "" }, path)) return "alive";
	const isInUse =
		(record.netnsIdentity !== "" && hasProcess(record.netnsIdentity)) || (inode !== 0 && hasProcessAt(inode));
	return isInUse ? "alive" : "gone";
}

/** What a damaged record has in its place says nothing. */
const BOOT_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Whether a process is in the namespace with this `Sandbox.identity`. */
function hasProcess(identity: string): boolean {
	for (const path of namespaces().values()) {
		using sandbox = sys.unlessFailed(() => Sandbox.openIfAlive(path));
		if (sandbox?.identity === identity) return true;
	}
	return false;
}

/** The same by the number of the namespace's inode, which another may have later. */
const hasProcessAt = (inode: number): boolean => namespaces().has(`net:[${inode}]`);

/** "net:[INODE]" of each namespace, and a path to it. */
function namespaces(): Map<string, string> {
	const found = new Map<string, string>();
	for (const pid of sys.readDirectory("/proc")) {
		if (!/^[0-9]+$/.test(pid)) continue;
		const path = `/proc/${pid}/ns/net`;
		// A process may end at any moment, and some are not for everybody to look at.
		const name = sys.unlessFailed(() => readLinkIfPresent(path));
		if (name !== undefined) found.set(name, path);
	}
	return found;
}
