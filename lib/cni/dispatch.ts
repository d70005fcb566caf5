/**
 * One call of a plugin, from its variables to its exit status: what Go's skel does, in its order.
 *
 * Source: containernetworking/cni v1.3.0, pkg/skel. Two differences, both on purpose: the sandbox is compared with our own
 * network namespace before the work (Go: after it, with the result already printed; DEL takes it for gone), and whatever happens, stdout gets one
 * document, written once, at the end.
 */
import { addAsVersion } from "./add.ts";
import { type Environment, isValidName, readEnvironment } from "./environment.ts";
import { CniError, Code } from "./error.ts";
import { validAttachments } from "./gc.ts";
import { isObject, JsonError, parseJson } from "./json.ts";
import { foldKeys } from "./keys.ts";
import { excerpt } from "./quote.ts";
import type { JsonObject, JsonValue, Plugin, Request, Verb } from "./types.ts";
import { DEFAULT_VERSION, isAtLeast, requireSupported, SUPPORTED_VERSIONS, versionAnswer } from "./version.ts";

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
	io.writeStderr(`${messageOf(error)}\n${error instanceof Error ? error.stack : ""}\n`);
	return new CniError(Code.internal, messageOf(error));
}

function messageOf(error: unknown): string {
	return error instanceof Error ? error.message : String(error);
}

/** Does the work and returns what goes to stdout. */
function perform(io: PluginIo, descriptor: PluginDescriptor): string {
	if (!io.variables.CNI_COMMAND && descriptor.about !== "") {
		io.writeStderr(`${descriptor.about}\nCNI protocol versions supported: ${SUPPORTED_VERSIONS.join(", ")}\n`);
		return "";
	}
	const environment = readEnvironment(io.variables);
	if (environment.command === "VERSION") return versionAnswer();
	const { stdin, config, network, versionField } = readNetworkConfig(io);
	const verb = knownVerb(environment.command);
	const cniVersion = checkVersion(verb, versionField);
	const { containerId, ifName, args, path } = environment;
	const netns = sandboxOf(io, verb, environment);
	const request: Request = { verb, containerId, netns, ifName, args, path, stdin, config, network, cniVersion };
	return callVerb(io, descriptor, request);
}

interface NetworkConfig {
	readonly stdin: Uint8Array;
	readonly config: JsonObject;
	readonly network: string;
	/** `cniVersion` as it came, undefined where there is none: its checks belong to the verbs. */
	readonly versionField: JsonValue | undefined;
}

const BASE_KEYS = { members: { name: {}, cniVersion: {} } };

/** stdin as a configuration with a name. Throws code 5, 6 or 7. */
function readNetworkConfig(io: PluginIo): NetworkConfig {
	let stdin: Uint8Array;
	try {
		stdin = io.readStdin();
	} catch (error) {
		throw new CniError(Code.io, `error reading from stdin: ${messageOf(error)}`);
	}
	let parsed: JsonValue;
	try {
		parsed = parseJson(stdin, io.decodeUtf8);
	} catch (error) {
		if (!(error instanceof JsonError)) throw error;
		throw new CniError(Code.decoding, `error unmarshall network config: ${error.message}`);
	}
	// Go takes the document "null" for an empty object.
	const config = parsed ?? {};
	if (!isObject(config)) {
		throw new CniError(
			Code.decoding,
			`error unmarshall network config: the configuration must be an object, not ${excerpt(config)}`,
		);
	}
	const { name = "", cniVersion } = foldKeys(config, BASE_KEYS) as JsonObject;
	if (typeof name !== "string") {
		throw new CniError(Code.decoding, `error unmarshall network config: name must be a string, not ${excerpt(name)}`);
	}
	if (name === "") throw new CniError(Code.invalidConfig, "missing network name");
	if (!isValidName(name)) throw new CniError(Code.invalidConfig, "invalid characters found in network name", name);
	return { stdin, config, network: name, versionField: cniVersion };
}

type WorkingVerb = Exclude<Verb, "VERSION">;

/** The version from which on the specification has a verb. */
const VERB_SINCE = { ADD: undefined, DEL: undefined, CHECK: "0.4.0", GC: "1.1.0", STATUS: "1.1.0" } as const;

function knownVerb(command: string): WorkingVerb {
	if (Object.hasOwn(VERB_SINCE, command)) return command as WorkingVerb;
	throw new CniError(Code.invalidEnvironment, `unknown CNI_COMMAND: ${command}`);
}

/** The configuration's version, where the verb exists in it and we speak it. */
function checkVersion(verb: WorkingVerb, field: JsonValue | undefined): string {
	if (field !== undefined && typeof field !== "string") {
		throw new CniError(
			Code.decoding,
			`decoding version from network config: cniVersion must be a string, not ${excerpt(field)}`,
		);
	}
	const version = field || DEFAULT_VERSION;
	const since = VERB_SINCE[verb];
	if (since !== undefined && !isAtLeast(version, since)) {
		throw new CniError(Code.incompatibleVersion, `config version does not allow ${verb}`);
	}
	if (since !== undefined && !SUPPORTED_VERSIONS.some((ours) => isAtLeast(ours, version))) {
		throw new CniError(Code.incompatibleVersion, `plugin version does not allow ${verb}`);
	}
	requireSupported(version);
	return version;
}

/**
 * CNI_NETNS, unless it is the namespace that we are in. ADD refuses that. For DEL it means that the sandbox is gone and its path now leads
 * to us (/proc/PID/ns/net, its PID used again): there is nothing in it, and DEL must not fail for ever (Go: code 8, after the work).
 */
function sandboxOf(io: PluginIo, verb: WorkingVerb, { netns, sameNetnsAllowed }: Environment): string {
	if ((verb !== "ADD" && verb !== "DEL") || netns === "" || sameNetnsAllowed || !io.isOwnNetns(netns)) return netns;
	if (verb === "DEL") return "";
	throw new CniError(Code.invalidNetns, "plugin's netns and netns from CNI_NETNS should not be the same");
}

function callVerb(io: PluginIo, descriptor: PluginDescriptor, request: Request): string {
	const plugin = descriptor.load();
	switch (request.verb) {
		case "ADD":
			return JSON.stringify(
				addAsVersion(plugin, request, (failure) =>
					io.writeStderr(`${descriptor.name}: undoing the failed ADD: ${messageOf(failure)}\n`),
				),
				null,
				4,
			);
		case "DEL":
			plugin.del(request);
			return "";
		case "CHECK":
			plugin.check(request);
			return "";
		case "GC": {
			const valid = validAttachments(request.config);
			if (valid === undefined) {
				io.writeStderr(`${descriptor.name}: GC without cni.dev/valid-attachments: nothing is released\n`);
			}
			plugin.gc(request, valid);
			return "";
		}
		default:
			plugin.status(request);
			return "";
	}
}
