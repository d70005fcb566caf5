/**
 * What `install`, `uninstall` and `verify` are told alike: which files, and where.
 */
import { quote } from "../../lib/cni/quote.ts";
import { FlagError, parseFlags } from "../../lib/plugin/flags.ts";
import { findPlace } from "./place.ts";

/** A name that the executable gets in the directory. */
export interface Target {
	/** "berth", or the plugin that it is to be. */
	readonly applet: string;
	readonly name: string;
	readonly path: string;
}

const SHARED = {
	host: "",
	"cni-bin-dir": "",
	only: "",
	rename: [] as readonly string[],
	"whereabouts-kubeconfig": "",
	json: false,
};

const OF_INSTALL = {
	...SHARED,
	replace: "",
	"keep-foreign": false,
	"whereabouts-conf": "",
	stay: false,
	"no-sleep": false,
	interval: 60_000,
	// Of the entry points of sriov-cni and rdma-cni: they name the file in the image that is to be installed.
	"sriov-bin-file": "",
	"rdma-cni-bin-file": "",
};

export const HELP_OF_SHARED = `  --host DIR           where the node's file system is (/)
  --cni-bin-dir DIR    the runtime's directory of plugins, as this process sees it; without it the runtime's
                       configuration below --host tells, or else it is /opt/cni/bin below --host
  --only NAMES         these plugins, separated by ","; berth itself always
  --rename NAME=NEW    NAME is called NEW: a runtime finds it by "type": "NEW". May be repeated
  --whereabouts-kubeconfig PATH
                       of the plugin whereabouts, a path on the node
  --json               prints JSON
`;

export type InstallChoice = ReturnType<typeof parseInstall>;

/** Whether another's file of this name is to stay where it is. */
export const isLeftToOthers = ({ applet }: Target, { replace, keepForeign }: InstallChoice): boolean =>
	keepForeign && !replace.has(applet) && applet !== "berth";

/** `plugins` are the names of all that there are, here and below. Throws FlagError. */
export function parseUninstall(args: readonly string[], plugins: readonly string[]) {
	const flags = parseFlags(args, { ...SHARED, stay: false });
	return { ...choose(flags, "", namesOf(plugins)), stay: flags.stay };
}

/** The executable under its own name, which people call, comes first. */
const namesOf = (plugins: readonly string[]): string[] => ["berth", ...plugins];

export function parseInstall(args: readonly string[], plugins: readonly string[]) {
	const names = namesOf(plugins);
	const flags = parseFlags(args, OF_INSTALL);
	const roles = [flags["sriov-bin-file"] && "sriov", flags["rdma-cni-bin-file"] && "rdma"].filter(Boolean);
	if (flags["whereabouts-conf"] !== "" && flags["whereabouts-kubeconfig"] === "") {
		throw new FlagError("-whereabouts-conf is written beside the kubeconfig: -whereabouts-kubeconfig is missing");
	}
	return {
		...choose(flags, roles.join(","), names),
		/** Whose foreign namesakes are replaced. */
		replace: new Set(flags.replace === "all" ? names : listOf(flags.replace, "replace", names)),
		keepForeign: flags["keep-foreign"],
		/** The flat file that is copied beside the kubeconfig; "": none. */
		conf: flags["whereabouts-conf"],
		stay: flags.stay && !flags["no-sleep"],
		intervalMs: flags.interval,
	};
}

function choose(flags: typeof SHARED, roles: string, names: readonly string[]) {
	const host = flags.host.replace(/\/+$/, "");
	const kubeconfig = flags["whereabouts-kubeconfig"];
	if (kubeconfig !== "" && !kubeconfig.startsWith("/")) throw new FlagError("-whereabouts-kubeconfig must be absolute");
	const directory = flags["cni-bin-dir"].replace(/(?<=.)\/+$/, "") || findPlace(host);
	return {
		/** Before each path on the node: "" or "/host". */
		host,
		directory,
		targets: targetsIn(directory, flags.only || roles, flags.rename, names),
		/** As this process sees it; "": whereabouts gets none. */
		kubeconfig: kubeconfig && `${host}${kubeconfig}`,
		isJson: flags.json,
	};
}

function targetsIn(directory: string, only: string, renames: readonly string[], all: readonly string[]): Target[] {
	const wanted = only === "" ? all : ["berth", ...listOf(only, "only", all)];
	const newNames = new Map<string, string>();
	for (const rename of renames.flatMap((text) => text.split(","))) {
		const [applet = "", name = ""] = rename.split("=");
		requireName(applet, "rename", all);
		if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) {
			throw new FlagError(`-rename ${rename}: NAME=NEW is wanted, and NEW must be the name of a file`);
		}
		newNames.set(applet, name);
	}
	const targets = all
		.filter((applet) => wanted.includes(applet))
		.map((applet) => {
			const name = newNames.get(applet) ?? applet;
			return { applet, name, path: `${directory}/${name}` };
		});
	const twice = targets.find(({ name }, index) => targets.findIndex((other) => other.name === name) < index);
	if (twice !== undefined) throw new FlagError(`-rename: two of them would be called ${twice.name}`);
	return targets;
}

function listOf(text: string, flag: string, all: readonly string[]): string[] {
	const names = text.split(",").filter((name) => name !== "");
	for (const name of names) requireName(name, flag, all);
	return names;
}

function requireName(name: string, flag: string, all: readonly string[]): void {
	if (!all.includes(name)) throw new FlagError(`-${flag}: there is no ${quote(name)}; there are ${all.join(", ")}`);
}
