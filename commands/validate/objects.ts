/**
 * Networks among the documents of a file: NetworkAttachmentDefinitions, also in lists and among other objects, and
 * conflists and confs by themselves.
 *
 * Source: Kubernetes Network Custom Resource Definition De-facto Standard 1.3, sections 3 and 4.
 */
import { formatPath } from "../../lib/cni/config.ts";
import { excerpt } from "../../lib/cni/quote.ts";
import { ReadError, readJson } from "./json.ts";
import { checkNetwork } from "./network.ts";
import type { Problem, Report, Severity } from "./problem.ts";
import { itemsOf, memberOf, placeOf, type Tree, textOf, toJson } from "./tree.ts";
import { charactersOf, readYaml, type Written } from "./yaml.ts";

const KIND = "NetworkAttachmentDefinition";
const API_VERSION = "k8s.cni.cncf.io/v1";
const RESOURCE = "k8s.v1.cni.cncf.io/resourceName";

export interface Findings {
	readonly problems: Problem[];
	networks: number;
	/** Types of plugins of which only the protocol was checked. */
	readonly unchecked: Set<string>;
}

interface Reading {
	readonly name: string;
	readonly text: string;
	/** Where each line of `text` begins. */
	readonly lines: readonly number[];
	readonly written: Map<Tree, Written>;
	readonly findings: Findings;
}

export function checkText(name: string, text: string, findings: Findings): void {
	const reading: Reading = { name, text, lines: lineStarts(text), written: new Map(), findings };
	// A byte order mark is no part of a document; the place of what follows stays.
	const start = text.startsWith("\uFEFF") ? 1 : 0;
	const json = text.slice(start);
	const isJson = /^\s*[{[]/.test(json);
	for (const document of isJson ? [readJson(json, (at) => start + at)] : readYaml(text, reading.written)) {
		if (document instanceof ReadError) report(reading, "error", document.at, "", document.message, "");
		else checkObject(document, reading);
	}
}

function checkObject(object: Tree, reading: Reading): void {
	const kind = textOf(object, "kind");
	if (kind === KIND) checkAttachmentDefinition(object, reading);
	else if (kind?.endsWith("List") === true) {
		for (const item of itemsOf(object, "items")) checkObject(item, reading);
	} else if (kind === undefined || memberOf(object, "apiVersion") === undefined) {
		reading.findings.networks++;
		const surroundings = { defaultName: undefined, unchecked: reading.findings.unchecked };
		checkNetwork(object, surroundings, reportIn(object, reading));
	} else if (kind.toLowerCase() === KIND.toLowerCase()) {
		report(reading, "error", placeOf(object, ["kind"]), "kind", `there is no kind "${kind}"`, `write "${KIND}"`);
	}
}

/** What puts problems of `tree` on the list. */
const reportIn =
	(tree: Tree, reading: Reading): Report =>
	(severity, path, message, hint = "") =>
		report(reading, severity, placeOf(tree, path), path.length === 0 ? "" : formatPath(path), message, hint);

function checkAttachmentDefinition(object: Tree, reading: Reading): void {
	reading.findings.networks++;
	const here = reportIn(object, reading);
	const apiVersion = textOf(object, "apiVersion");
	if (apiVersion !== API_VERSION) {
		const message = apiVersion === undefined ? "apiVersion is missing" : `there is no ${KIND} in ${apiVersion}`;
		here("error", ["apiVersion"], message, `write "${API_VERSION}"`);
	}
	const metadata = memberOf(object, "metadata")?.value;
	const name = textOf(metadata, "name");
	if (!name) here("error", ["metadata", "name"], "metadata.name is missing", "");
	const resource = textOf(memberOf(metadata, "annotations")?.value, RESOURCE);
	if (resource !== undefined && !/^[^/\s]+\/[^/\s]+$/.test(resource)) {
		const hint = "it is the prefix and the name of a resource of a device plugin, such as intel.com/sriov";
		here("warning", ["metadata", "annotations", RESOURCE], `${excerpt(resource)} is no name of a resource`, hint);
	}
	const config = memberOf(memberOf(object, "spec")?.value, "config");
	// Without one, Multus takes the configuration of that name in the node's own directory.
	if (config === undefined) return;
	if (config.value.kind !== "scalar" || typeof config.value.value !== "string") {
		const hint = 'put it into a text: "config: |" and JSON below, or quotes around it';
		here("error", ["spec", "config"], `spec.config must be a string, not ${excerpt(toJson(config.value))}`, hint);
		return;
	}
	if (config.value.value.trim() === "") return;
	checkEmbedded(object, config.value, config.value.value, { name: name || "network", resource }, reading);
}

/** Checks the configuration `text`, which is the string `tree` of a file. */
function checkEmbedded(
	object: Tree,
	tree: Tree,
	text: string,
	{ name, resource }: { name: string; resource: string | undefined },
	reading: Reading,
): void {
	const written = reading.written.get(tree);
	const characters =
		written === undefined ? jsonStringPlaces(reading.text, tree.at) : charactersOf(reading.text, written, text);
	const config = readJson(text, characters);
	if (config instanceof ReadError) {
		report(reading, "error", config.at, "spec.config", config.message, "");
		return;
	}
	const inside = reportIn(config, reading);
	const types = checkNetwork(config, { defaultName: name, unchecked: reading.findings.unchecked }, inside);
	const position = types.indexOf("sriov");
	if (position < 0) return;
	const plugin = memberOf(config, "plugins")?.value;
	const path = plugin === undefined ? [] : ["plugins", position];
	const own = plugin?.kind === "list" ? plugin.items[position] : config;
	const device = ["deviceID", "pciBusID"].find((key) => textOf(own, key));
	if (device !== undefined) {
		const hint = `leave it out: Multus sets it for a network with the annotation ${RESOURCE}`;
		inside("warning", [...path, device], `${device} stands in the configuration: each pod would want this VF`, hint);
	} else if (resource === undefined) {
		const hint = `without it nothing sets deviceID, and ADD fails: add the resource of the device plugin`;
		const place = placeOf(object, ["metadata", "annotations"]);
		report(reading, "warning", place, "metadata.annotations", `the annotation ${RESOURCE} is missing`, hint);
	}
}

/** Where in the file each character of the JSON string at `start` is. */
function jsonStringPlaces(file: string, start: number): (offset: number) => number {
	const places: number[] = [];
	let at = start + 1;
	while (at < file.length && file[at] !== '"') {
		places.push(at);
		if (file[at] === "\\") at += file[at + 1] === "u" ? 6 : 2;
		else at++;
	}
	places.push(at);
	return (offset) => places[Math.min(offset, places.length - 1)]!;
}

function report(
	{ name, text, lines, findings }: Reading,
	severity: Severity,
	at: number,
	path: string,
	message: string,
	hint: string,
): void {
	let low = 0;
	let high = lines.length - 1;
	while (low < high) {
		const middle = Math.ceil((low + high) / 2);
		if (lines[middle]! <= at) low = middle;
		else high = middle - 1;
	}
	const column = [...text.slice(lines[low]!, at).replace("\uFEFF", "")].length + 1;
	findings.problems.push({ severity, file: name, line: low + 1, column, path, message, hint });
}

function lineStarts(text: string): number[] {
	const starts = [0];
	for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
	return starts;
}
