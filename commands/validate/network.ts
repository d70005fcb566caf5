/**
 * A network's configuration: a conflist or a single conf.
 */
import type { Validator } from "../../lib/cni/config.ts";
import { isObject } from "../../lib/cni/json.ts";
import { nearest } from "../../lib/cni/nearest.ts";
import { excerpt } from "../../lib/cni/quote.ts";
import type { JsonObject } from "../../lib/cni/types.ts";
import { isSupported, SUPPORTED_VERSIONS } from "../../lib/cni/version.ts";
import { type Checked, entryOf, IPAM_PLUGINS, MAIN_PLUGINS } from "./checked.ts";
import { reportKeys } from "./keys.ts";
import type { Report } from "./problem.ts";
import { reportRefusals } from "./refusals.ts";
import { reportIpamSlips, reportMainSlips } from "./slips.ts";
import { memberOf, type ObjectTree, type Path, type Tree, textOf, toJson } from "./tree.ts";

/** What is known of a network besides its configuration. */
interface Surroundings {
	/** Multus names a network after its NetworkAttachmentDefinition where its configuration has no name. */
	readonly defaultName: string | undefined;
	/** Plugins that nothing here knows are put here. */
	readonly unchecked: Set<string>;
}

/** Members of a conflist: specification 1.1.0, section 1. */
const CONFLIST: Validator = {
	members: {
		...{ cniVersion: {}, cniVersions: {}, name: {}, plugins: {} },
		...{ disableCheck: {}, disableGC: {}, loadOnlyInlinedPlugins: {} },
	},
};

/** Reports what is wrong with the network `config`. Returns the types of its plugins. */
export function checkNetwork(config: Tree, surroundings: Surroundings, report: Report): string[] {
	if (config.kind !== "object") {
		report("error", [], `the configuration must be an object, not ${excerpt(toJson(config))}`);
		return [];
	}
	const name = checkName(config, surroundings.defaultName, report);
	const cniVersion = checkVersion(config, report);
	const network = { name, cniVersion };
	const plugins = memberOf(config, "plugins");
	if (plugins === undefined) return [checkPlugin(config, network, [], surroundings, report)];
	const others = config.members.filter((each) => each !== plugins);
	reportKeys({ ...config, members: others }, CONFLIST, "a conflist", report);
	if (plugins.value.kind !== "list") {
		const message = `plugins must be a list, not ${excerpt(toJson(plugins.value))}`;
		report("error", ["plugins"], message, "put it into brackets: [ ]");
		return [];
	}
	if (plugins.value.items.length === 0) report("error", ["plugins"], "plugins is empty", "a conflist needs a plugin");
	const typesBefore: string[] = [];
	for (const [index, plugin] of plugins.value.items.entries()) {
		const path = ["plugins", index];
		const below: Report = (severity, inside, message, hint) => report(severity, [...path, ...inside], message, hint);
		if (plugin.kind !== "object") below("error", [], `a plugin must be an object, not ${excerpt(toJson(plugin))}`);
		typesBefore.push(plugin.kind === "object" ? checkPlugin(plugin, network, typesBefore, surroundings, below) : "");
		if (typesBefore.at(-1) === "rdma" && plugins.value.items.slice(0, index).some(movesRdma)) {
			below("error", ["type"], 'sriov with "rdma": true has moved the RDMA device already', "take one of both out");
		}
	}
	return typesBefore;
}

function checkName(config: Tree, defaultName: string | undefined, report: Report): string {
	const name = readText(config, [], "name", report, "put it in quotes");
	if (name === undefined) return "network";
	if (name === "") {
		if (defaultName === undefined) report("error", ["name"], "missing network name", 'add "name"');
		return defaultName ?? "network";
	}
	if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name)) return name;
	const hint = 'letters, digits, "_", "." and "-", the first a letter or a digit';
	report("error", ["name"], `invalid characters found in network name ${excerpt(name)}`, hint);
	return "network";
}

/** The text of the member `key` of `tree`, at `path`: "" where it has none; undefined for no text: that is reported. */
function readText(tree: Tree, path: Path, key: string, report: Report, hint?: string): string | undefined {
	const value = memberOf(tree, key)?.value;
	if (value === undefined || (value.kind === "scalar" && value.value === null)) return "";
	if (value.kind === "scalar" && typeof value.value === "string") return value.value;
	report("error", [...path, key], `${key} must be a string, not ${excerpt(toJson(value))}`, hint);
	return undefined;
}

/** The version that plugins are called with. */
function checkVersion(config: Tree, report: Report): string {
	const version = readText(config, [], "cniVersion", report, "put it in quotes");
	if (version !== undefined && isSupported(version)) return version;
	if (version === "") {
		report("warning", ["cniVersion"], "cniVersion is missing, which means 0.1.0", 'add "cniVersion": "1.0.0"');
	} else if (version !== undefined) {
		const known = SUPPORTED_VERSIONS.join(", ");
		const meant =
			SUPPORTED_VERSIONS.find((each) => each.startsWith(`${version}.`)) ?? nearest(version, SUPPORTED_VERSIONS);
		const hint = meant === undefined ? "" : `did you mean "${meant}"?`;
		report("error", ["cniVersion"], `cniVersion ${excerpt(version)} is none of ${known}`, hint);
	}
	return "1.0.0";
}

/** Reports what is wrong with one plugin's configuration; `before` are the types before it. Returns its type. */
function checkPlugin(
	plugin: ObjectTree,
	network: { readonly name: string; readonly cniVersion: string },
	before: readonly string[],
	{ unchecked }: Surroundings,
	report: Report,
): string {
	const type = checkType(plugin, [], report);
	const ipamTree = memberOf(plugin, "ipam")?.value;
	const ipamType =
		ipamTree?.kind === "object" && type !== "rdma" && memberOf(ipamTree, "type")
			? checkType(ipamTree, ["ipam"], report)
			: "";
	const main = entryOf(MAIN_PLUGINS, type);
	const ipam = entryOf(IPAM_PLUGINS, ipamType);
	if (type !== "" && main === undefined) unchecked.add(type);
	if (ipamType !== "" && ipam === undefined && entryOf(MAIN_PLUGINS, ipamType) === undefined) unchecked.add(ipamType);
	checkPlace(type, ipamType, before, report);
	if (main === undefined) reportForeignKeys(plugin, ipam?.validator.members?.ipam, ipamType, report);
	else reportKeys(plugin, keysOf(main, ipam), ipamType === "" ? type : `${type} with ${ipamType}`, report);
	const json = toJson(plugin);
	if (!isObject(json)) return type;
	const config: JsonObject = { ...json, name: network.name, cniVersion: network.cniVersion };
	// What two plugins say of one member is said once.
	const said = new Set<string>();
	const once: Report = (severity, path, message, hint) => {
		const key = JSON.stringify([path, message]);
		if (!said.has(key)) report(severity, path, message, hint);
		said.add(key);
	};
	if (main !== undefined) {
		reportRefusals(main, config, withDevice, once);
		reportMainSlips(plugin, type, once);
	}
	if (ipam !== undefined) reportRefusals(ipam, config, withNode, once);
	if (type !== "rdma") reportIpamSlips(plugin, ipamType, once);
	return type;
}

function movesRdma(plugin: Tree): boolean {
	const rdma = memberOf(plugin, "rdma")?.value;
	return textOf(plugin, "type") === "sriov" && rdma?.kind === "scalar" && rdma.value === true;
}

/** The type of `tree`, at `path`; "" where it has none. */
function checkType(tree: Tree, path: Path, report: Report): string {
	const type = readText(tree, path, "type", report);
	if (type === "" && path.length === 0)
		report("error", ["type"], "type is missing", "it is the file name of the plugin");
	if (!type) return "";
	const ours = Object.keys(path.length === 0 ? MAIN_PLUGINS : IPAM_PLUGINS);
	const meant = ours.includes(type) ? undefined : nearest(type, ours);
	if (meant !== undefined) {
		report("warning", [...path, "type"], `"${type}" is no plugin that is known here`, `did you mean "${meant}"?`);
	}
	return type;
}

/** Reports a plugin where it cannot work. */
function checkPlace(type: string, ipamType: string, before: readonly string[], report: Report): void {
	if (type === "rdma" && before.length === 0) {
		const hint = 'make a conflist with "sriov" (or another plugin that makes the interface) before it';
		report("error", ["type"], "rdma works on the interface of a plugin before it, and there is none", hint);
	}
	const first = before.find((each) => each !== "");
	if (type === "sriov" && first !== undefined) {
		report("warning", ["type"], `sriov makes an interface of its own, and ${first} is before it`, "put sriov first");
	}
	if (entryOf(IPAM_PLUGINS, type) !== undefined) {
		const hint = `put it into "ipam" of another plugin`;
		report("warning", ["type"], `${type} is an IPAM plugin: alone it makes no interface`, hint);
	}
	if (entryOf(MAIN_PLUGINS, ipamType) !== undefined) {
		const hint = `IPAM plugins are ${Object.keys(IPAM_PLUGINS).join(", ")}`;
		report("error", ["ipam", "type"], `${ipamType} is no IPAM plugin`, hint);
	}
}

/** Of a plugin that is not ours, what no configuration may have, and our `ipam`. */
function reportForeignKeys(
	plugin: ObjectTree,
	ipamKeys: Validator | undefined,
	ipamType: string,
	report: Report,
): void {
	const ipam = memberOf(plugin, "ipam");
	reportKeys({ ...plugin, members: plugin.members.filter((each) => each !== ipam) }, undefined, "", report);
	if (ipam !== undefined) reportKeys(ipam.value, ipamKeys, ipamType, report, ["ipam"]);
}

/** The keys that a configuration may have: the main plugin's, and those of its IPAM plugin. */
function keysOf(main: Checked, ipam: Checked | undefined): Validator {
	const { ipam: ipamKeys = {}, ...others } = ipam?.validator.members ?? {};
	return { members: { ...others, ...main.validator.members, ipam: ipamKeys } };
}

/** Multus sets the device; any stands for it here. */
const withDevice = (config: JsonObject): JsonObject =>
	config.deviceID || config.pciBusID || (isObject(config.runtimeConfig) && config.runtimeConfig.deviceID)
		? config
		: { ...config, deviceID: "0000:00:00.0" };

/** What a node's flat file may have; this machine's own is not looked at. */
function withNode(config: JsonObject): JsonObject {
	const { ipam } = config;
	if (!isObject(ipam) || ipam.type !== "whereabouts") return config;
	const kubernetes = isObject(ipam.kubernetes) ? ipam.kubernetes : {};
	const kubeconfig = kubernetes.kubeconfig || "/kubeconfig";
	return {
		...config,
		ipam: { ...ipam, configuration_path: "/dev/null/none", kubernetes: { ...kubernetes, kubeconfig } },
	};
}
