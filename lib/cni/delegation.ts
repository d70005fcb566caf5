/**
 * What a delegate is called with, where it may be, and what its answers mean. Running it is lib/plugin/delegate.ts.
 *
 * Source: containernetworking/cni v1.3.0, pkg/invoke; specification 1.1.0, section 4.
 */
import { CniError, Code } from "./error.ts";
import { isObject, JsonError, parseJson } from "./json.ts";
import { foldKeys } from "./keys.ts";
import { joinPath } from "./path.ts";
import { excerpt, quote } from "./quote.ts";
import { parseResult } from "./result.ts";
import type { CniResult, JsonObject, JsonValue } from "./types.ts";

/** How a delegate ended. */
export interface DelegateEnd {
	/** Undefined where it ran to its end; else what stopped it: "signal 9", "its deadline of 120 s". */
	readonly stoppedBy: string | undefined;
	readonly status: number;
	readonly stdout: Uint8Array;
}

/**
 * The files that could be the plugin `type`, in the order of `path` (CNI_PATH). Empty entries are left out: Go would
 * take them for the current directory, which is not a place to run programs from. Throws code 103, with Go's sentences.
 */
export function delegateCandidates(type: string, path: string): string[] {
	if (type === "") throw new CniError(Code.delegation, "no plugin name provided");
	if (type.includes("/")) throw new CniError(Code.delegation, `invalid plugin name: ${type}`);
	if (path === "") throw new CniError(Code.delegation, "no paths provided");
	return path
		.split(":")
		.filter((directory) => directory !== "")
		.map((directory) => joinPath(directory, type));
}

/** A main plugin is named as IPAM plugin. */
export function mainAsIpam(type: string): CniError {
	const reason = `${quote(type)} is a main plugin and gives no addresses`;
	return new CniError(Code.invalidConfig, reason, "ipam.type must name an IPAM plugin, such as host-local");
}

/** None of the candidates is a regular file. */
export function delegateNotFound(type: string, path: string): CniError {
	return new CniError(
		Code.delegation,
		`failed to find plugin ${quote(type)} in path [${path.replaceAll(":", " ")}]`,
		"install it in a directory of CNI_PATH on this node, or correct the type in the configuration",
	);
}

/**
 * The result that a delegate's ADD printed. Throws its error, with its code, message and details; code 103 where it
 * gave none or something else.
 */
export function readDelegateResult(
	type: string,
	end: DelegateEnd,
	cniVersion: string,
	decode: (bytes: Uint8Array) => string,
): CniResult {
	requireSuccess(type, end, decode);
	const json = parseAnswer(type, "failed to unmarshal raw result", end, decode);
	try {
		const result = parseResult(json, cniVersion);
		for (const { dst, gw } of result.routes ?? []) {
			// The texts are canonical: only IPv6 has a colon.
			if (gw === undefined || gw.includes(":") === dst.includes(":")) continue;
			throw new CniError(Code.invalidConfig, `gateway ${gw} of the route to ${dst} is of another address family`);
		}
		return result;
	} catch (error) {
		if (!(error instanceof CniError)) throw error;
		throw answerError(type, error.message, end, decode);
	}
}

/** Throws the error of a delegate that failed, as `readDelegateResult` does. */
export function requireSuccess(type: string, end: DelegateEnd, decode: (bytes: Uint8Array) => string): void {
	if (end.stoppedBy !== undefined) {
		throw new CniError(Code.delegation, `plugin ${quote(type)} was stopped by ${end.stoppedBy}`);
	}
	if (end.status === 0) return;
	if (end.stdout.length === 0) {
		throw new CniError(
			Code.delegation,
			`plugin ${quote(type)} failed with exit status ${end.status} and no error message`,
			"what it wrote to stderr is in the log of the runtime",
		);
	}
	throw readError(type, end, decode);
}

const ERROR_KEYS = { members: { code: {}, msg: {}, details: {} } };

function readError(type: string, end: DelegateEnd, decode: (bytes: Uint8Array) => string): CniError {
	const json = parseAnswer(type, "it failed and its error message is not JSON", end, decode);
	const { code, msg, details = "" } = isObject(json) ? (foldKeys(json, ERROR_KEYS) as JsonObject) : {};
	if (typeof code !== "number" || typeof msg !== "string" || msg === "") {
		return answerError(type, "it failed and its answer is not an error with code and msg", end, decode);
	}
	return new CniError(code, msg, typeof details === "string" ? details : excerpt(details));
}

function parseAnswer(type: string, reason: string, end: DelegateEnd, decode: (bytes: Uint8Array) => string): JsonValue {
	try {
		return parseJson(end.stdout, decode);
	} catch (error) {
		if (!(error instanceof JsonError)) throw error;
		throw answerError(type, `${reason}: ${error.message}`, end, decode);
	}
}

function answerError(type: string, reason: string, end: DelegateEnd, decode: (bytes: Uint8Array) => string): CniError {
	return new CniError(Code.delegation, `plugin ${quote(type)}: ${reason}`, `it printed ${excerpt(decode(end.stdout))}`);
}
