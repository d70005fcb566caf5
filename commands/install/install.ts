/**
 * `berth install`: puts the plugins into the runtime's directory, and with --stay keeps them there.
 */
import { attempt, sentence } from "../../lib/cni/failures.ts";
import { type Command, printAnswer } from "../../lib/plugin/command.ts";
import { formatTable } from "../../lib/plugin/table.ts";
import { writeStderr } from "../../lib/sys/stderr.ts";
import * as sys from "../../lib/sys/sys.ts";
import { Credentials } from "./credentials.ts";
import { Executables } from "./executable.ts";
import { installFiles, notAskedFor, type Outcome } from "./files.ts";
import { HELP_OF_SHARED, type InstallChoice, parseInstall } from "./flags.ts";

export const install = (plugins: readonly string[]): Command => ({
	about: "puts the plugins into the container runtime's directory",
	synopsis:
		"[--host DIR] [--cni-bin-dir DIR] [--only NAMES] [--rename NAME=NEW] [--replace NAMES|all] [--keep-foreign] [--stay] ...",
	help: `Puts berth and a link for each plugin where the runtime looks for plugins. Each name has at any moment its old file or its
new one, so it may be run while pods start. What is there already is not written again. Exit status 1 where something
could not be done.

${HELP_OF_SHARED}  --replace NAMES|all  of these plugins another's file is replaced, and stays as NAME.prev; they are copies,
                       not links: others may write into them
  --keep-foreign       another's file of that name is left alone; without either of the two, nothing is installed
  --whereabouts-conf FILE
                       is copied beside the kubeconfig, as whereabouts.conf
  --stay               goes on: puts back what is missing or damaged, and renews whereabouts' token at half of its life.
                       SIGTERM ends it, and removes nothing
  --interval 1m        how often it looks
  --no-sleep           undoes --stay

Of the entry points of sriov-cni and rdma-cni: --sriov-bin-file and --rdma-cni-bin-file mean --only sriov and --only rdma.
The kubeconfig is written from within a pod, for its service account; and what NODENAME says as the file nodename beside it.
`,
	run: (args) => runInstall(args, plugins),
});

function runInstall(args: readonly string[], plugins: readonly string[]): number {
	const choice = parseInstall(args, plugins);
	if (choice.stay) return stay(choice);
	const executables = new Executables();
	const outcomes = installFiles(choice, executables);
	if (choice.kubeconfig !== "") new Credentials(choice.kubeconfig, choice.conf, say).write();
	show([...outcomes, ...notAskedFor(choice, executables)], choice);
	return 0;
}

const say = (what: string): void => writeStderr(`berth install: ${what}\n`);

function show(outcomes: readonly Outcome[], { isJson }: InstallChoice): void {
	const rows = outcomes.map(({ target: { applet, path }, outcome, was }) => ({ plugin: applet, path, outcome, was }));
	printAnswer(isJson, rows, () => formatTable(["plugin", "path", "outcome", "was"], rows));
}

/** Until SIGTERM or SIGINT. What fails is said once and tried again. */
function stay(choice: InstallChoice): number {
	// Process 1 of a container has no other way to hear of them.
	const fd = sys.signalFd([sys.SIGINT, sys.SIGTERM]);
	const credentials = choice.kubeconfig === "" ? undefined : new Credentials(choice.kubeconfig, choice.conf, say);
	let said = "";
	let isFirst = true;
	do {
		const failures: unknown[] = [];
		attempt(failures, () => {
			const executables = new Executables();
			const outcomes = installFiles(choice, executables);
			if (isFirst) show([...outcomes, ...notAskedFor(choice, executables)], choice);
			else for (const outcome of outcomes) tell(outcome);
			isFirst = false;
		});
		if (credentials !== undefined) attempt(failures, () => credentials.write());
		const failed = failures.map(sentence).join("\n");
		if (failed !== said && failed !== "") say(failed);
		said = failed;
	} while (sys.poll([{ fd, events: sys.POLLIN }], choice.intervalMs)[0] === 0);
	return 0;
}

function tell({ target, outcome, was }: Outcome): void {
	if (outcome === "installed") say(`${target.path} was gone: it is back`);
	if (outcome === "replaced") say(`${target.path} was ${was}: it is replaced`);
}
