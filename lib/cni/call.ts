/**
 * A call that does something: environment, configuration and version checked, then the plugin's verb.
 */
import { mainAsIpam } from "./delegation.ts";
import { isSameNetnsAllowed, isValidName, readEnvironment } from "./environment.ts";
import { CniError, Code } from "./error.ts";
import { sentence } from "./failures.ts";
import { type PluginIo, writeAnswer } from "./io.ts";
import { isObject, JsonError, parseJson } from "./json.ts";
import { parseMerging } from "./json-merge.ts";
import { memberOf } from "./keys.ts";
import { excerpt, quote } from "./quote.ts";
import type { JsonObject, JsonValue, Plugin, Plugins, Request, Verb } from "./types.ts";
import { runVerb, undoAdd } from "./verb.ts";
import { DEFAULT_VERSION, isAtLeast, isSupported, requireSupported, SUPPORTED_VERSIONS } from "./version.ts";

/**
 * Runs the verb `command` of `plugin`, which is called `name`, and answers on stdout. Throws what the protocol has to
 * say against it, what the verb throws, and AnswerLostError. A call that succeeds may end the process: no caller may
 * have anything left to do then.
 */
export function performCall(io: PluginIo, command: string, name: string, plugin: Plugin, plugins: Plugins): void {
	const environment = readEnvironment(command, io.variable);
	const stdin = readStdin(io);
	const { config, unclear } = readConfig(io, stdin);
	const network = networkName(config);
	const verb = knownVerb(command);
	const cniVersion = checkVersion(verb, memberOf(config, "cniVersion"));
	// DEL and GC work with what there is.
	if (verb !== "DEL" && verb !== "GC") {
		if (unclear !== undefined)
			throw new CniError(Code.invalidConfig, `key ${quote(unclear)} stands twice in one object`);
		if (plugin.isMain) requireOtherIpam(config, io.calledAs());
	}
	const { containerId, ifName, args, path } = environment;
	const netns = sandboxOf(io, verb, environment.netns);
	const request: Request = {
		verb,
		containerId,
		netns,
		ifName,
		args,
		path,
		stdin,
		config,
		network,
		cniVersion,
		plugins,
	};
	io.useLockTimeout(config);
	const report = (what: string): void => io.writeStderr(`${name}: ${what}\n`);
	const answer = runVerb(plugin, request, report);
	try {
		if (answer !== undefined) writeAnswer(io, io.formatAnswer(answer));
	} catch (error) {
		undoAdd(plugin, request, report);
		throw error;
	}
	io.succeed();
}

function readStdin(io: PluginIo): Uint8Array {
	try {
		return io.readStdin();
	} catch (error) {
		throw new CniError(Code.io, `error reading from stdin: ${sentence(error)}`);
	}
}

interface NetworkConfig {
	readonly config: JsonObject;
	/** A key that stands twice, so that nobody knows what is meant. */
	readonly unclear: string | undefined;
}

/** Throws code 6 for what is no JSON object. */
function readConfig(io: PluginIo, stdin: Uint8Array): NetworkConfig {
	let parsed: JsonValue;
	let unclear: string | undefined;
	try {
		parsed = parseJson(stdin, io.decodeUtf8);
		if (io.mayRepeatKeys(stdin)) ({ value: parsed, unclear } = parseMerging(io.decodeUtf8(stdin)));
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
	return { config, unclear };
}

/** Throws code 6 or 7 for none, and for one that is no name. */
function networkName(config: JsonObject): string {
	const name = memberOf(config, "name") ?? "";
	if (typeof name !== "string") {
		throw new CniError(Code.decoding, `error unmarshall network config: name must be a string, not ${excerpt(name)}`);
	}
	if (name === "") throw new CniError(Code.invalidConfig, "missing network name");
	if (!isValidName(name)) throw new CniError(Code.invalidConfig, "invalid characters found in network name", name);
	return name;
}

/**
 * Throws code 7 where the file that we are called by is to be the IPAM plugin, too: we would call it, and it would call
 * itself.
 */
function requireOtherIpam(config: JsonObject, calledAs: string): void {
	const ipam = memberOf(config, "ipam");
	if (isObject(ipam) && memberOf(ipam, "type") === calledAs) throw mainAsIpam(calledAs);
}

/** The version from which on the specification has a verb. */
const VERB_SINCE = { ADD: undefined, DEL: undefined, CHECK: "0.4.0", GC: "1.1.0", STATUS: "1.1.0" } as const;

function knownVerb(command: string): Verb {
	if (Object.hasOwn(VERB_SINCE, command)) return command as Verb;
	throw new CniError(Code.invalidEnvironment, `unknown CNI_COMMAND: ${command}`);
}

/** The configuration's version, where the verb exists in it and we speak it. */
function checkVersion(verb: Verb, field: JsonValue | undefined): string {
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
	if (since !== undefined && !isSupported(version) && SUPPORTED_VERSIONS.every((ours) => !isAtLeast(ours, version))) {
		throw new CniError(Code.incompatibleVersion, `plugin version does not allow ${verb}`);
	}
	requireSupported(version);
	return version;
}

/**
 * CNI_NETNS, unless it is the namespace that we are in. ADD refuses that. For DEL it means that the sandbox is gone and
 * its path now leads to us (/proc/PID/ns/net, its PID used again): there is nothing in it, and DEL must not fail for
 * ever (Go: code 8, after the work).
 */
function sandboxOf(io: PluginIo, verb: Verb, netns: string): string {
	if ((verb !== "ADD" && verb !== "DEL") || netns === "" || !io.isOwnNetns(netns)) return netns;
	if (isSameNetnsAllowed(io.variable)) return netns;
	if (verb === "DEL") return "";
	throw new CniError(Code.invalidNetns, "plugin's netns and netns from CNI_NETNS should not be the same");
}
