/**
 * One call of a plugin, from its variables to its exit status: what Go's skel does, in its order.
 *
 * Source: containernetworking/cni v1.3.0, pkg/skel. Two differences, both on purpose: the sandbox is compared with our
 * own network namespace before the work (Go: after it, with the result already printed; DEL takes it for gone), and
 * whatever happens, stdout gets one document, written once, at the end.
 */
import { performCall } from "./call.ts";
import { CniError, Code } from "./error.ts";
import { engineLimit, sentence } from "./failures.ts";
import { AnswerLostError, type PluginIo, writeAnswer } from "./io.ts";
import type { Plugin, Plugins } from "./types.ts";
import { SUPPORTED_VERSIONS, VERSION_ANSWER } from "./version.ts";

/**
 * Runs the verb of `plugin`, which is called `name`, that the variables name. Answers on stdout; returns the exit
 * status, 0 or 1, if a call that succeeds does not end the process.
 */
export function runPlugin(io: PluginIo, name: string, plugin: Plugin, plugins: Plugins): number {
	try {
		try {
			perform(io, name, plugin, plugins);
			return 0;
		} catch (error) {
			if (error instanceof AnswerLostError) throw error;
			writeAnswer(io, renderError(toCniError(error, io)));
		}
	} catch (error) {
		if (!(error instanceof AnswerLostError)) throw error;
		io.writeStderr(`${name}: ${error.message}\n`);
	}
	return 1;
}

/** The JSON of an error: indented by 4, `details` only where there are any, no newline at the end. */
export function renderError({ code, message, details }: CniError): string {
	return JSON.stringify(details === "" ? { code, msg: message } : { code, msg: message, details }, null, 4);
}

/**
 * What was thrown, as an error of the protocol. A failed system call is code 5; anything else is a bug: 999, stack on
 * stderr.
 */
function toCniError(error: unknown, io: PluginIo): CniError {
	if (error instanceof CniError) return error;
	if (error instanceof Error && "errno" in error) return new CniError(Code.io, error.message, processLimit(error));
	const limit = engineLimit(error);
	if (limit !== undefined) return new CniError(Code.io, limit);
	// Of places the engine knows nothing: bundles have no lines.
	const stack = error instanceof Error ? error.stack?.replaceAll(" (<null>:0:1)", "") : "";
	io.writeStderr(`${sentence(error)}\n${stack}\n`);
	return new CniError(Code.internal, sentence(error));
}

/** The limit of this process (setrlimit(2)) that a system call has met, or "". */
function processLimit(error: object): string {
	const { code, call } = error as { readonly code?: unknown; readonly call?: unknown };
	if (code === "EMFILE") return "the limit of open files of this process (ulimit -n) is reached";
	if (code === "EFBIG" && call === "write")
		return "the limit of this process for the size of a file (ulimit -f) is reached";
	if (code === "ENOMEM") return "the limit of this process for its memory (ulimit -v), or that of the node, is reached";
	return "";
}

/** Does the work and answers on stdout. */
function perform(io: PluginIo, name: string, plugin: Plugin, plugins: Plugins): void {
	const command = io.variable("CNI_COMMAND") ?? "";
	// What runtimes ask most, and with the least ado.
	if (command === "VERSION") writeAnswer(io, VERSION_ANSWER);
	else if (command !== "" || plugin.about === "") performCall(io, command, name, plugin, plugins);
	else io.writeStderr(`${plugin.about}\nCNI protocol versions supported: ${SUPPORTED_VERSIONS.join(", ")}\n`);
}
