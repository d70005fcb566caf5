/**
 * The directory in which the node's container runtime looks for CNI plugins, as its own configuration says.
 *
 * Sources: containerd docs/cri/config.md (`bin_dir`, since 2.1 `bin_dirs`; version 2 and 3), crio.conf(5)
 * (`plugin_dirs`).
 */
import { parse } from "smol-toml";
import { isObject } from "../../lib/cni/json.ts";
import { listIfPresent, readTextIfFile, statIfPresent } from "../../lib/sys/files.ts";

const DEFAULT = "/opt/cni/bin";
/** Of k3s: its own directory changes with each version, and `current` points to it. This one stays. */
const K3S_DATA = "/var/lib/rancher/k3s/data";
const K3S = `${K3S_DATA}/cni`;

const CONTAINERD = [
	"/etc/containerd/config.toml",
	"/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
	"/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
];
const CRIO = ["/etc/crio/crio.conf", "/etc/crio/crio.conf.d/"];

/** As this process sees it. Throws an Error where the runtimes of this node say different ones. */
export function findPlace(host: string): string {
	const said = new Map<string, string>();
	for (const file of CONTAINERD) {
		const directory = ofContainerd(host, file);
		if (directory !== undefined) said.set(directory, file);
	}
	const ofCrio = lastOf(CRIO.flatMap((path) => filesAt(host, path)).map((file) => firstDirectory(plugins(host, file))));
	if (ofCrio !== undefined) said.set(ofCrio, CRIO[0]!);
	const [first = DEFAULT, second] = said.keys();
	if (second !== undefined) {
		const list = [...said].map(([directory, file]) => `${directory} (${file})`).join(" and ");
		throw new Error(`this node's runtimes have different directories of plugins: ${list}; name one with -cni-bin-dir`);
	}
	return `${host}${first}`;
}

/** Undefined where there is no such runtime. */
function ofContainerd(host: string, file: string): string | undefined {
	const all = withImports(host, file);
	if (all.length === 0 || all.some(isWithoutCri)) return undefined;
	const said = all.map((config) => firstDirectory(cniOf(config)));
	const directory = lastOf(said) ?? DEFAULT;
	if (!directory.startsWith(`${K3S_DATA}/`) || directory === K3S) return directory;
	if (statIfPresent(`${host}${K3S}`) !== undefined) return K3S;
	throw new Error(
		`${file} has plugins in ${directory}, which the next version of k3s replaces; ` +
			`there is no ${K3S} (k3s since 1.31 makes it): name a directory with -cni-bin-dir`,
	);
}

/** What is read of `file`, and of what it imports, in that order. */
function withImports(host: string, file: string): Record<string, unknown>[] {
	const configs: Record<string, unknown>[] = [];
	const files = [file];
	// Grows as it is gone through. A file that imports itself is read once.
	for (const each of files) {
		const config = read(host, each);
		if (config === undefined) continue;
		configs.push(config);
		const imports = Array.isArray(config.imports) ? config.imports.filter((path) => typeof path === "string") : [];
		const parent = each.slice(0, each.lastIndexOf("/") + 1);
		const imported = imports.flatMap((path) => filesAt(host, path.startsWith("/") ? path : `${parent}${path}`));
		files.push(...imported.filter((path) => !files.includes(path)));
	}
	return configs;
}

/** As docker's package has it: no kubelet uses this containerd. */
const isWithoutCri = ({ disabled_plugins: disabled }: Record<string, unknown>): boolean =>
	Array.isArray(disabled) && disabled.some((id) => id === "cri" || String(id).startsWith("io.containerd.grpc.v1.cri"));

/** The tables of containerd's plugins that are called "cni", of which one has the directories. */
function cniOf(config: unknown): unknown {
	const plugins = isObject(config) && isObject(config.plugins) ? Object.values(config.plugins) : [];
	return plugins.map((plugin) => (isObject(plugin) ? plugin.cni : undefined)).find((cni) => firstDirectory(cni));
}

function plugins(host: string, file: string): unknown {
	const config = read(host, file);
	return isObject(config) && isObject(config.crio) ? config.crio.network : undefined;
}

/** A runtime that has several looks into all of them, into the first one first. */
function firstDirectory(table: unknown): string | undefined {
	if (!isObject(table)) return undefined;
	const { bin_dir: one, bin_dirs: many, plugin_dirs: ofCrio } = table;
	const said = [...[many ?? ofCrio].flat(), one].find((each) => typeof each === "string" && each.startsWith("/"));
	return typeof said === "string" ? said.replace(/(?<=.)\/+$/, "") : undefined;
}

/** What is read later counts. */
const lastOf = (directories: readonly (string | undefined)[]): string | undefined =>
	directories.findLast((directory) => directory !== undefined);

/** The file `path`, the files in the directory "path/", or those that a "*" in the last name stands for, sorted. */
function filesAt(host: string, path: string): string[] {
	const slash = path.lastIndexOf("/");
	const [parent, name] = [path.slice(0, slash + 1), path.slice(slash + 1)];
	if (name !== "" && !name.includes("*")) return [path];
	const [before = "", ...behind] = name.split("*");
	const names = listIfPresent(`${host}${parent}`) ?? [];
	return names
		.filter((each) => each.startsWith(before) && each.endsWith(behind.join("*")))
		.map((each) => `${parent}${each}`);
}

/** Undefined where there is no such file. */
function read(host: string, file: string): Record<string, unknown> | undefined {
	const text = readTextIfFile(`${host}${file}`);
	if (text === undefined) return undefined;
	try {
		return parse(text);
	} catch (error) {
		const reason = (error as Error).message.split("\n", 1)[0];
		throw new Error(`${host}${file} is not TOML: ${reason}; name the directory of plugins with -cni-bin-dir`);
	}
}
