/**
 * One call of a plugin, from its variables to its exit status: what Go's skel does, in its order.
 *
 * Source: containernetworking/cni v1.3.0, pkg/skel. Two differences, both on purpose: the sandbox is compared with our own
 * network namespace before the work (Go: after it, with the result already printed; DEL takes it for gone), and whatever happens, stdout gets one
 * document, written once, at the end.
 */
import loadCall from "later:lib/cni/call.ts";
import type * as Call from "./call.ts";
import { CniError, Code } from "./error.ts";
import { SUPPORTED_VERSIONS, versionAnswer } from "./supported.ts";
import type { Plugin } from "./types.ts";

/** The process, as far as the protocol needs it. Failing functions throw what the host throws (an Error with `errno`). */
export interface PluginIo {
	readonly variables: Readonly<Record<string, string>>;
	/** All of stdin. */
	readStdin(): Uint8Array;
	decodeUtf8(bytes: Uint8Array): string;
	writeStdout(text: string): void;
	writeStderr(text: string): void;
	/** Whether `path` is this process's own network namespace; false where it cannot be opened. */
	isOwnNetns(path: string): boolean;
}

export interface PluginDescriptor {
	readonly name: string;
	/** First line of what is said when there is no CNI_COMMAND; "" for none, which makes that an error. */
	readonly about: string;
	/** The plugin's code, loaded when a verb is about to run: VERSION and bad calls do without. */
	load(): Plugin;
}

/** Runs the verb that the variables name. Answers on stdout; returns the exit status, 0 or 1. */
export function runPlugin(io: PluginIo, descriptor: PluginDescriptor): number {
	let answer = "";
	let status = 0;
	try {
		answer = perform(io, descriptor);
	} catch (error) {
		answer = renderError(toCniError(error, io));
		status = 1;
	}
	try {
		if (answer !== "") io.writeStdout(answer);
	} catch (error) {
		io.writeStderr(`${descriptor.name}: the answer cannot be written to stdout: ${messageOf(error)}\n`);
		return 1;
	}
	return status;
}

/** The JSON of an error: indented by 4, `details` only where there are any, no newline at the end. */
export function renderError({ code, message, details }: CniError): string {
	return JSON.stringify(details === "" ? { code, msg: message } : { code, msg: message, details }, null, 4);
}

/** What was thrown, as an error of the protocol. A failed system call is code 5; anything else is a bug: 999, stack on stderr. */
function toCniError(error: unknown, io: PluginIo): CniError {
	if (error instanceof CniError) return error;
	if (error instanceof Error && "errno" in error) return new CniError(Code.io, error.message);
	// Of places the engine knows nothing: bundles have no lines.
	const stack = error instanceof Error ? error.stack?.replaceAll(" (<null>:0:1)", "") : "";
	io.writeStderr(`${messageOf(error)}\n${stack}\n`);
	return new CniError(Code.internal, messageOf(error));
}

/** What was thrown, in words. */
export function messageOf(error: unknown): string {
	return error instanceof Error ? error.message : String(error);
}

/** Does the work and returns what goes to stdout. */
function perform(io: PluginIo, descriptor: PluginDescriptor): string {
	if (!io.variables.CNI_COMMAND && descriptor.about !== "") {
		io.writeStderr(`${descriptor.about}\nCNI protocol versions supported: ${SUPPORTED_VERSIONS.join(", ")}\n`);
		return "";
	}
	// What runtimes ask most, and with the least ado.
	if (io.variables.CNI_COMMAND === "VERSION") return versionAnswer();
	return (loadCall() as typeof Call).performCall(io, descriptor);
}
