/**
 * Delegation: another plugin, mostly IPAM, does a part of this call's work.
 *
 * A delegate that is this very executable runs in this process, with the same request; anything else is executed.
 * Nobody can tell the difference but by the clock.
 */
import {
	type DelegateEnd,
	delegateCandidates,
	delegateNotFound,
	mainAsIpam,
	readDelegateResult,
	requireSuccess,
} from "../cni/delegation.ts";
import { CniError, Code } from "../cni/error.ts";
import { quote } from "../cni/quote.ts";
import { parseResult } from "../cni/result.ts";
import type { CniResult, JsonObject, Plugin, Request, Verb } from "../cni/types.ts";
import { runVerb } from "../cni/verb.ts";
import { writeStderr } from "../sys/stderr.ts";
import * as sys from "../sys/sys.ts";
import { appletNamed } from "./applets.ts";

/** For one call of a delegate, its retries included. The kubelet gives a pod's whole chain of plugins 4 minutes. */
const DEADLINE_MS = 120_000;

/** Retries while the file is being written (ETXTBSY), one second apart: as many as libcni makes. */
const BUSY_ATTEMPTS = 6;
const BUSY_PAUSE_MS = 1000;

/** No result or error comes near this. */
const MAX_ANSWER = 16 * 1024 * 1024;

/**
 * ADD by the plugin `type`, found in `request.path`. Throws its error, or code 103 where it cannot be found, run or
 * understood.
 */
export function delegateAdd(request: Request, type: string): CniResult {
	const delegated: Request = { ...request, verb: "ADD" };
	const { file, plugin } = findDelegate(request, type);
	if (plugin?.isMain) throw mainAsIpam(type);
	if (plugin === undefined) {
		return readDelegateResult(type, execute(file, delegated, type), request.cniVersion, sys.decodeUtf8);
	}
	return parseResult(run(plugin, delegated, type) ?? null, request.cniVersion);
}

/**
 * The verb of the plugin `type`; DEL is also the way to undo `delegateAdd`. The attachment may be another than this
 * call's. Throws as `delegateAdd`.
 */
export function delegate(verb: Exclude<Verb, "ADD">, call: Request, type: string): void {
	const request: Request = { ...call, verb };
	const { file, plugin } = findDelegate(request, type);
	if (plugin === undefined) requireSuccess(type, execute(file, request, type), sys.decodeUtf8);
	else if (!plugin.isMain) run(plugin, request, type);
	// It has given nothing that could be taken back.
	else if (verb === "DEL" || verb === "GC") writeStderr(`${mainAsIpam(type).message}\n`);
	else throw mainAsIpam(type);
}

function run(plugin: Plugin, request: Request, type: string): JsonObject | undefined {
	return runVerb(plugin, request, (what) => writeStderr(`${type}: ${what}\n`));
}

/** The delegate's file, and its code where the file is this executable. */
interface Delegate {
	readonly file: string;
	readonly plugin: Plugin | undefined;
}

/** The first regular file in CNI_PATH, symbolic links followed, whether executable or not: Go's rule. */
function findDelegate(request: Request, type: string): Delegate {
	for (const file of delegateCandidates(type, request.path)) {
		const status = statOrNothing(file);
		if (status === undefined || !sys.isRegular(status.mode)) continue;
		// Following /proc/self/exe reaches the inode that runs, also when its name has been given to a newer file.
		const own = statOrNothing("/proc/self/exe");
		const isOwn = own !== undefined && own.dev === status.dev && own.ino === status.ino;
		return { file, plugin: isOwn ? appletNamed(request.plugins, type) : undefined };
	}
	throw delegateNotFound(type, request.path);
}

/** A candidate that cannot be looked at is passed over, as in Go: the next directory may have one. */
function statOrNothing(path: string): sys.FileStatus | undefined {
	return sys.unlessFailed(() => sys.statat(sys.AT_FDCWD, path, true));
}

/**
 * Runs the delegate with the request's stdin, and the same environment but for CNI_COMMAND (and for the attachment,
 * if it is another).
 */
function execute(file: string, request: Request, type: string): DelegateEnd {
	const started = sys.monotonicMs();
	for (let attempt = 1; ; attempt++) {
		const left = Math.max(1, DEADLINE_MS - (sys.monotonicMs() - started));
		try {
			return runOnce(file, request, left);
		} catch (error) {
			if (!sys.isSystemError(error)) throw error;
			if (error.code === "ETXTBSY" && attempt < BUSY_ATTEMPTS) {
				sys.sleepMs(BUSY_PAUSE_MS);
				continue;
			}
			throw new CniError(Code.delegation, `plugin ${quote(type)} cannot be run: ${error.message}`);
		}
	}
}

function runOnce(file: string, request: Request, deadlineMs: number): DelegateEnd {
	const end = sys.spawn({
		path: file,
		args: [file],
		variables: changedVariables(request),
		stdin: request.stdin,
		deadlineMs,
		maxOutput: MAX_ANSWER,
	});
	const signal = end.signal === null ? undefined : `signal ${end.signal}`;
	const stoppedBy = end.timedOut ? `its deadline of ${DEADLINE_MS / 1000} s` : signal;
	return { stoppedBy, status: end.status ?? 0, stdout: end.stdout };
}

function changedVariables({ verb, containerId, ifName, netns, args, path }: Request): Record<string, string> {
	const wanted = {
		CNI_COMMAND: verb,
		CNI_CONTAINERID: containerId,
		CNI_IFNAME: ifName,
		CNI_NETNS: netns,
		CNI_ARGS: args,
		CNI_PATH: path,
	};
	// What is absent stays so.
	return Object.fromEntries(Object.entries(wanted).filter(([name, value]) => (sys.variable(name) ?? "") !== value));
}
