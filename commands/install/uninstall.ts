/**
 * `berth uninstall`: the way back.
 */
import { type Command, print } from "../../lib/plugin/command.ts";
import { formatTable } from "../../lib/plugin/table.ts";
import { removeIfPresent } from "../../lib/sys/files.ts";
import { filesFor } from "./credentials.ts";
import { uninstallFiles } from "./files.ts";
import { HELP_OF_SHARED, parseShared } from "./flags.ts";

export const uninstall = (plugins: readonly string[]): Command => ({
	about: "removes the plugins, and puts back what they replaced",
	synopsis:
		"[--host DIR] [--cni-bin-dir DIR] [--only NAMES] [--rename NAME=NEW] [--whereabouts-kubeconfig PATH] [--json]",
	help: `Removes Berth's files of these names from the runtime's directory, and puts NAME.prev back where there is one. Another's
files stay. Pods that run keep what they have: what is on record below /var/lib/cni is not touched, and a plugin that was
put back reads it where it is the Go plugin of that name. With --whereabouts-kubeconfig that file goes, and the token and
whereabouts.conf beside it.

${HELP_OF_SHARED}`,
	run: (args) => runUninstall(args, plugins),
});

function runUninstall(args: readonly string[], plugins: readonly string[]): number {
	const choice = parseShared(args, plugins);
	const removals = uninstallFiles(choice.directory, choice.targets);
	if (choice.kubeconfig !== "") for (const path of filesFor(choice.kubeconfig)) removeIfPresent(path);
	const rows = removals.map(({ target: { applet, path }, outcome, is }) => ({ plugin: applet, path, outcome, is }));
	const cells = rows.map((row) => Object.values(row).map((cell) => cell || "-"));
	print(choice.isJson ? `${JSON.stringify(rows, null, 4)}\n` : formatTable(["PLUGIN", "PATH", "OUTCOME", "IS"], cells));
	return 0;
}
