/**
 * `berth node`: what an operator asks at 3 a.m.
 */
import { type Command, printAnswer } from "../../lib/plugin/command.ts";
import { parseFlags } from "../../lib/plugin/flags.ts";
import { formatTableForTerminal } from "../../lib/plugin/table.ts";
import { prepare } from "./prepare.ts";
import type { NodeView, VfView } from "./schema.ts";
import { isMarked, viewTwice } from "./view.ts";

export const CHECKPOINT = "/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint";

export const node: Command = {
	about: "PFs and VFs of this node: who has which, and what is wrong",
	synopsis: "[--json] [-checkpoint PATH] | prepare --help",
	help: `Prints every VF with its driver, settings, RDMA device, and the pod that has it, by the kernel and by the records of
this node; and what a person should look at, marked with "!". Changes nothing, and waits for nobody. Exit status 1 where
something is marked.

"berth node prepare" makes VFs: "berth node prepare --help".

  --json            prints JSON (schemas/node.schema.json)
  -checkpoint PATH  of the kubelet's device manager
                    (${CHECKPOINT})
`,
	subcommands: { prepare },
	run: show,
};

function show(args: readonly string[]): number {
	const flags = parseFlags(args, { json: false, checkpoint: CHECKPOINT });
	const view = viewTwice(flags.checkpoint);
	printAnswer(flags.json, view, () => describe(view));
	return isMarked(view) ? 1 : 0;
}

const COLUMNS = [
	"vf",
	"pci",
	"driver",
	"netdev",
	"mac",
	"vlan",
	"trust",
	"rdma",
	"pod",
	"interface",
	"addresses",
	"state",
] as const;

function describe({ pfs, rdmaMode, marks, notes }: NodeView): string {
	const parts = pfs.map(({ pci, netdev, driver, vfs, totalVfs }) => {
		const head = `PF ${netdev ?? "without an interface"} ${pci}, ${driver ?? "no driver"}: ${vfs.length} of ${totalVfs} VFs\n`;
		return vfs.length === 0 ? head : `${head}${formatTableForTerminal(COLUMNS, vfs.map(rowOf))}${marksOf(vfs)}`;
	});
	if (pfs.length === 0) parts.push("no PF: there is no network card that can have VFs\n");
	if (rdmaMode !== null) parts.push(`RDMA devices: ${rdmaMode} mode\n`);
	if (marks.length > 0) parts.push(marks.map((mark) => `! ${mark}\n`).join(""));
	if (notes.length > 0) parts.push(notes.map((note) => `not known: ${note}\n`).join(""));
	return parts.join("\n");
}

function rowOf({ index, pci, driver, netdev, place, mac, settings, rdma, holder, addresses, state }: VfView) {
	const vlan = settings === null ? "?" : settings.qos > 0 ? `${settings.vlan}/${settings.qos}` : settings.vlan;
	const trust = settings?.trust === null || settings === null ? "?" : settings.trust ? "on" : "off";
	return {
		...{ vf: index, pci, driver: driver ?? "", netdev: place === "elsewhere" ? "?" : (netdev ?? "") },
		...{ mac: mac ?? settings?.mac ?? "", vlan, trust },
		rdma: rdma === null ? "" : rdma.place === "elsewhere" ? `${rdma.name}?` : rdma.name,
		pod: holder === null ? "" : holder.pod || holder.container.slice(0, 13),
		interface: holder?.interface ?? "",
		addresses: addresses.filter((address) => !address.startsWith("fe80:")).join(" "),
		state,
	};
}

function marksOf(vfs: readonly VfView[]): string {
	return vfs.flatMap(({ index, marks }) => marks.map((mark) => `! VF ${index}: ${mark}\n`)).join("");
}
