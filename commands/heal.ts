/**
 * `berth heal`: gives back what sandboxes have left that no longer live, as GC would if the runtime called it (Multus
 * and NRI never do). From our records and the kernel alone.
 */
import { findOrphans as findEarlierAddresses } from "../ipam/host-local/orphans.ts";
import { findOrphans as findAddresses } from "../ipam/whereabouts/orphans.ts";
import { attempt, sentence } from "../lib/cni/failures.ts";
import type { Request } from "../lib/cni/types.ts";
import { type Command, printAnswer } from "../lib/plugin/command.ts";
import { parseFlags } from "../lib/plugin/flags.ts";
import { formatTable } from "../lib/plugin/table.ts";
import { requireHostView } from "../lib/state/host-view.ts";
import type { Orphan } from "../lib/state/orphan.ts";
import { writeStderr } from "../lib/sys/stderr.ts";
import * as sys from "../lib/sys/sys.ts";
import { findOrphans as findRdmaDevices } from "../plugins/rdma/orphans.ts";
import { findOrphans as findVfs, recordedAttachments } from "../plugins/sriov/orphans.ts";
import { callOfNobody } from "./call.ts";

export const heal: Command = {
	about: "gives back VFs, RDMA devices and addresses of sandboxes that no longer live",
	synopsis: "[--dry-run] [--json] [-cni-path DIRS] [-networks DIR] [-whereabouts DIR]",
	help: `Looks at the records of this node and at the kernel: what belongs to a sandbox that is gone, or to one from before the
last boot, goes back to the host as GC would do it. What lives is not touched, and neither is what nobody can tell of; the
latter is listed. One shot: run it on the host after a boot, or now and then. Exit status 1 where something is left to do.

  --dry-run         lists what would go back, and changes nothing
  --json            prints JSON
  -cni-path DIRS    where IPAM plugins are, separated by ":" (/opt/cni/bin)
  -networks DIR     dataDir of host-local (/var/lib/cni/networks)
  -whereabouts DIR  dataDir of whereabouts (/var/lib/cni/whereabouts)
`,
	run: healAll,
};

function healAll(args: readonly string[]): number {
	const flags = parseFlags(args, {
		"dry-run": false,
		json: false,
		"cni-path": "/opt/cni/bin",
		networks: "/var/lib/cni/networks",
		whereabouts: "/var/lib/cni/whereabouts",
	});
	requireHostView();
	const request = callOfNobody(flags["cni-path"]);
	const outcomes: ReturnType<typeof treat> = [];
	const failures: unknown[] = [];
	// In the order of DEL: what is last in a chain goes first, and addresses of VFs go with them.
	const searches = [
		findRdmaDevices,
		findVfs,
		() => findAddresses(flags.whereabouts),
		() => findEarlierAddresses(flags.networks, recordedAttachments()),
	];
	for (const search of searches) {
		attempt(failures, () => {
			for (const orphan of search()) outcomes.push(...treat(orphan, request, flags["dry-run"]));
		});
	}
	const rows = outcomes.map(({ error, ...row }) => ({
		...row,
		container: row.container.slice(0, 13),
		outcome: error === undefined ? row.outcome : `${row.outcome}: ${error}`,
	}));
	const columns = ["kind", "name", "container", "interface", "network", "why", "outcome"] as const;
	printAnswer(flags.json, outcomes, () => (rows.length === 0 ? "nothing to heal\n" : formatTable(columns, rows)));
	for (const failure of failures) writeStderr(`berth heal: ${sentence(failure)}\n`);
	const isDone = outcomes.every(({ outcome }) => outcome === "freed" || outcome === "left alone");
	return failures.length === 0 && isDone ? 0 : 1;
}

/** What became of an orphan; nothing for what had an owner after all. */
function treat(orphan: Orphan, request: Request, isDryRun: boolean) {
	const { kind, name, containerId: container, ifName, network, why, reclaim } = orphan;
	const became = (outcome: "would be freed" | "freed" | "left alone" | "not yet" | "failed", error?: string) => [
		{ kind, name, container, interface: ifName, network, why, outcome, ...(error !== undefined && { error }) },
	];
	if (reclaim === undefined) return became("left alone");
	if (isDryRun) return became("would be freed");
	// A device may take seconds to come back.
	if (sys.terminalColumns(2) > 0) writeStderr(`berth heal: ${kind} ${name}: ${why}\n`);
	try {
		const isBack = reclaim(request);
		return isBack === undefined ? [] : became(isBack ? "freed" : "not yet");
	} catch (error) {
		return became("failed", sentence(error));
	}
}
