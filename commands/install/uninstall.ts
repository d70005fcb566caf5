/**
 * `berth uninstall`: the way back.
 */
import { attempt, throwTogether } from "../../lib/cni/failures.ts";
import { type Command, printAnswer } from "../../lib/plugin/command.ts";
import { formatTable } from "../../lib/plugin/table.ts";
import { removeWritten } from "../../lib/sys/files.ts";
import * as sys from "../../lib/sys/sys.ts";
import { filesFor } from "./credentials.ts";
import { type Removal, uninstallFiles } from "./files.ts";
import { HELP_OF_SHARED, parseUninstall } from "./flags.ts";

export const uninstall = (plugins: readonly string[]): Command => ({
	about: "removes the plugins, and puts back what they replaced",
	synopsis:
		"[--host DIR] [--cni-bin-dir DIR] [--only NAMES] [--rename NAME=NEW] [--whereabouts-kubeconfig PATH] [--stay] [--json]",
	help: `Removes Berth's files of these names from the runtime's directory, and puts NAME.prev back where there is one. Another's
files stay. Pods that run keep what they have: what is on record below /var/lib/cni is not touched, and a plugin that was
put back reads it where it is the Go plugin of that name. With --whereabouts-kubeconfig that file goes, and what install
has written beside it.

${HELP_OF_SHARED}  --stay               then waits for SIGTERM: a DaemonSet's pods must not end
`,
	run: (args) => runUninstall(args, plugins),
});

function runUninstall(args: readonly string[], plugins: readonly string[]): number {
	const choice = parseUninstall(args, plugins);
	const fd = sys.signalFd([sys.SIGINT, sys.SIGTERM]);
	const failures: unknown[] = [];
	let removals: Removal[] = [];
	attempt(failures, () => {
		removals = uninstallFiles(choice.directory, choice.targets);
	});
	for (const path of choice.kubeconfig === "" ? [] : filesFor(choice.kubeconfig)) {
		attempt(failures, () => removeWritten(path));
	}
	throwTogether(failures);
	const rows = removals.map(({ target: { applet, path }, outcome, is }) => ({ plugin: applet, path, outcome, is }));
	printAnswer(choice.isJson, rows, () => formatTable(["plugin", "path", "outcome", "is"], rows));
	if (choice.stay) sys.poll([{ fd, events: sys.POLLIN }], -1);
	return 0;
}
