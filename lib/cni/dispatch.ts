/**
 * One call of a plugin, from its variables to its exit status: what Go's skel does, in its order.
 *
 * Source: containernetworking/cni v1.3.0, pkg/skel. Two differences, both on purpose: the sandbox is compared with our own
 * network namespace before the work (Go: after it, with the result already printed; DEL takes it for gone), and whatever happens, stdout gets one
 * document, written once, at the end.
 */
import { performCall } from "./call.ts";
import { CniError, Code } from "./error.ts";
import { sentence } from "./failures.ts";
import type { PluginIo } from "./io.ts";
import { SUPPORTED_VERSIONS, VERSION_ANSWER } from "./supported.ts";
import type { Plugin, Plugins } from "./types.ts";

/** Runs the verb of `plugin`, which is called `name`, that the variables name. Answers on stdout; returns the exit status, 0 or 1. */
export function runPlugin(io: PluginIo, name: string, plugin: Plugin, plugins: Plugins): number {
	let answer = "";
	let status = 0;
	try {
		answer = perform(io, name, plugin, plugins);
	} catch (error) {
		answer = renderError(toCniError(error, io));
		status = 1;
	}
	try {
		if (answer !== "") io.writeStdout(answer);
	} catch (error) {
		io.writeStderr(`${name}: the answer cannot be written to stdout: ${sentence(error)}\n`);
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
	io.writeStderr(`${sentence(error)}\n${stack}\n`);
	return new CniError(Code.internal, sentence(error));
}

/** Does the work and returns what goes to stdout. */
function perform(io: PluginIo, name: string, plugin: Plugin, plugins: Plugins): string {
	const { CNI_COMMAND: command } = io.variables;
	if (!command && plugin.about !== "") {
		io.writeStderr(`${plugin.about}\nCNI protocol versions supported: ${SUPPORTED_VERSIONS.join(", ")}\n`);
		return "";
	}
	// What runtimes ask most, and with the least ado.
	return command === "VERSION" ? VERSION_ANSWER : performCall(io, name, plugin, plugins);
}
