/** Tables for people, at 100 columns. */
import { alignColumns } from "../../test/lab/table.ts";
import type { VfState } from "./state.ts";

type Column = readonly [heading: string, cell: (vf: VfState) => string];

const onOff = (on: boolean) => (on ? "on" : "off");

const columns: readonly Column[] = [
	["VF", (vf) => String(vf.index)],
	["PCI address", (vf) => vf.pci],
	["where", (vf) => vf.pod ?? (vf.netdev === undefined ? "?" : "host")],
	["netdev", (vf) => vf.netdev ?? "-"],
	["MAC", (vf) => vf.mac ?? vf.adminMac],
	["VLAN", (vf) => (vf.vlan === 0 ? "-" : String(vf.vlan))],
	["address", (vf) => vf.addresses.join(" ") || "-"],
	["rate", (vf) => (vf.maxTxRate === 0 ? "-" : `${vf.maxTxRate}M`)],
	["trust", (vf) => onOff(vf.trust)],
	["spoof", (vf) => onOff(vf.spoofchk)],
	["RDMA", (vf) => vf.rdma ?? "-"],
];

/** The column RDMA only if there is any. */
export function vfTable(vfs: readonly VfState[]): string {
	const shown = vfs.some((vf) => vf.rdma !== undefined) ? columns : columns.slice(0, -1);
	const rows = [shown.map(([heading]) => heading), ...vfs.map((vf) => shown.map(([, cell]) => cell(vf)))];
	return alignColumns(rows, shown.length).replaceAll(/^/gm, "  ");
}
