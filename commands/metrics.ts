/**
 * `berth metrics`: what `berth node` shows, as a text file for node-exporter's textfile collector.
 *
 * Verbs write no counters: an ADD shall not pay for them.
 */
import { loadHostLocal } from "../ipam/host-local/config.ts";
import { blockOfStore } from "../ipam/whereabouts/node-block.ts";
import { usableOf } from "../ipam/whereabouts/ranges.ts";
import { type FoundRecord, Records } from "../ipam/whereabouts/record.ts";
import { CniError } from "../lib/cni/error.ts";
import type { JsonObject } from "../lib/cni/types.ts";
import { capacityOf, sizeOfBlock } from "../lib/ip/range.ts";
import { type Command, print } from "../lib/plugin/command.ts";
import { FlagError, parseCommandLine } from "../lib/plugin/flags.ts";
import { gauge, type Sample } from "../lib/plugin/gauge.ts";
import { readContents } from "../lib/store/address-files.ts";
import { isAllocated } from "../lib/store/owner.ts";
import { listIfPresent, statIfPresent, writeAtomic } from "../lib/sys/files.ts";
import * as sys from "../lib/sys/sys.ts";
import { listRecords } from "../plugins/sriov/record.ts";
import { callOfNobody } from "./call.ts";
import { CHECKPOINT } from "./node/node.ts";
import type { NodeView } from "./node/schema.ts";
import { viewTwice } from "./node/view.ts";

export const metrics: Command = {
	about: "writes the state of VFs and addresses for node-exporter's textfile collector",
	synopsis: "DIR [-networks DIR] [-whereabouts DIR] [-checkpoint PATH]",
	help: `Writes DIR/berth.prom in one step; "-" is stdout. For a timer or a CronJob: it changes nothing else.

  -networks DIR     dataDir of host-local (/var/lib/cni/networks)
  -whereabouts DIR  dataDir of whereabouts (/var/lib/cni/whereabouts)
  -checkpoint PATH  of the kubelet's device manager
`,
	run: write,
};

function write(args: readonly string[]): number {
	const { flags, operands } = parseCommandLine(args, {
		networks: "/var/lib/cni/networks",
		whereabouts: "/var/lib/cni/whereabouts",
		checkpoint: CHECKPOINT,
	});
	const [directory, ...more] = operands;
	if (directory === undefined || more.length > 0) throw new FlagError("one directory is wanted");
	const text = [
		...devices(viewTwice(flags.checkpoint)),
		...addresses(flags.networks, flags.whereabouts),
		gauge("berth_metrics_timestamp_seconds", "When this was written, in seconds since 1970.", [
			[{}, Math.floor(sys.realtimeMs() / 1000)],
		]),
	].join("");
	if (directory === "-") print(text);
	else writeAtomic(`${directory}/berth.prom`, text, 0o644);
	return 0;
}

const STATES = ["free", "used", "orphaned", "unknown"] as const;

function devices({ pfs, marks }: NodeView): string[] {
	const vfs = pfs.flatMap(({ netdev, pci, vfs: own }) => own.map((vf) => ({ pf: netdev ?? pci, ...vf })));
	const states = pfs.flatMap(({ netdev, pci, vfs: own }) =>
		STATES.map((state): Sample => [{ pf: netdev ?? pci, state }, own.filter((vf) => vf.state === state).length]),
	);
	const held = vfs.flatMap(({ pf, index, pci, holder }): Sample[] => {
		if (holder === null) return [];
		const { pod, container, interface: ifName, network } = holder;
		return [[{ pf, vf: String(index), pci, pod, container, interface: ifName, network }, 1]];
	});
	const places = ["host", "pod", "elsewhere"] as const;
	const rdma = places.map((place): Sample => [{ place }, vfs.filter((vf) => vf.rdma?.place === place).length]);
	const marked = vfs.reduce((sum, vf) => sum + vf.marks.length, marks.length);
	return [
		gauge("berth_vfs", "VFs by state.", states),
		gauge(
			"berth_vf_capacity",
			"VFs that a PF can have.",
			pfs.map(({ netdev, pci, totalVfs }) => [{ pf: netdev ?? pci }, totalVfs]),
		),
		gauge("berth_vf_held", "Which pod has which VF, by the records of the node.", held),
		gauge("berth_rdma_devices", "RDMA devices of VFs by where they are.", rdma),
		gauge("berth_marks", "What berth node marks: orphans, damaged records, VFs that are not where they should be.", [
			[{}, marked],
		]),
	];
}

function addresses(networks: string, whereabouts: string): string[] {
	const names = (listIfPresent(networks) ?? []).filter((name) => !name.startsWith("."));
	const stores = names.flatMap((network): Sample[] => {
		const directory = `${networks}/${network}`;
		// What is no store has no lock. None is taken: an ADD or a DEL shall not wait for a statistic.
		if (statIfPresent(`${directory}/lock`) === undefined) return [];
		const contents = [...readContents(directory).owners.values()];
		return [[{ ipam: "host-local", network }, contents.filter(isAllocated).length]];
	});
	const attachments = new Records(whereabouts).all();
	const counts = new Map<string, number>();
	for (const { record } of attachments) {
		counts.set(record.network, (counts.get(record.network) ?? 0) + Math.max(1, record.claims.length));
	}
	const records = [...counts].map(([network, count]): Sample => [{ ipam: "whereabouts", network }, count]);
	return [
		gauge("berth_addresses", "Addresses that this node has handed out and not got back.", [...stores, ...records]),
		gauge(
			"berth_address_capacity",
			"Addresses that a network can hand out on this node, where the configuration of a VF or a node block tells.",
			[...rangesOfVfs(), ...blocksOf(attachments)],
		),
	];
}

/** Of host-local, whose store does not know them. */
function rangesOfVfs(): Sample[] {
	const capacities = new Map<string, bigint>();
	for (const { network, config } of listRecords()) {
		if (config.ipam?.type !== "host-local" || capacities.has(network)) continue;
		const { ipam } = config as JsonObject;
		try {
			const { sets } = loadHostLocal({ ...callOfNobody(""), network, config: { name: network, ipam: ipam! } });
			const capacity = sets.reduce((sum, set) => sum + capacityOf(set), 0n);
			capacities.set(network, capacity);
		} catch (error) {
			// Go's records have of `ipam` the type alone, and what is truncated may be anything.
			if (!(error instanceof CniError)) throw error;
		}
	}
	return [...capacities].map(([network, size]) => [{ ipam: "host-local", network }, Number(size)]);
}

/** Of whereabouts' node blocks; what is left out of a block by the configuration is not known here. */
function blocksOf(attachments: readonly FoundRecord[]): Sample[] {
	const sizes = attachments.flatMap(({ record: { network, store } }): [string, number][] => {
		const block = blockOfStore(store);
		return block === undefined ? [] : [[network, Number(sizeOfBlock(usableOf(block)))]];
	});
	return [...new Map(sizes)].map(([network, size]) => [{ ipam: "whereabouts", network }, size]);
}
