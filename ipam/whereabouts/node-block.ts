/**
 * What this node remembers of its blocks: which one it has of a NodeSlicePool, and whose the addresses of it are.
 *
 * - `<dataDir>/blocks/<pool>.json`: the block. It counts in the boot in which it was learnt: while a node is off, its
 *   block may become another's; and a state directory that is copied to another machine says nothing there.
 * - `<dataDir>/blocks/<pool>@<block>/`: the store (lib/store) of the block's addresses. Those of blocks that the node
 *   had before stay until all is released.
 */
import { type Cidr, formatCidr, parseCidr } from "../../lib/ip/cidr.ts";
import { readTold, text } from "../../lib/state/json.ts";
import { bootId } from "../../lib/sys/boot.ts";
import { listIfPresent, makeDirectories, readTextIfFile, writeAtomic } from "../../lib/sys/files.ts";
import { poolName } from "./objects.ts";
import type { Slicing } from "./slicing.ts";

export type NodeBlock = Readonly<NonNullable<ReturnType<typeof readBlock>>>;

const directoryOf = (dataDir: string): string => `${dataDir}/blocks`;
const fileOf = (dataDir: string, pool: string): string => `${directoryOf(dataDir)}/${pool}.json`;

/** Directory of the store of a block. */
export const storeOf = (dataDir: string, block: BlockName): string => storePath(dataDir, storeName(block));

/** The same by what a record has of it. */
export const storePath = (dataDir: string, name: string): string => `${directoryOf(dataDir)}/${name}`;

export const storeName = ({ pool, block }: BlockName): string => `${pool}@${block.replace("/", "-")}`;

type BlockName = Pick<NodeBlock, "pool" | "block">;

/** Lock of those who learn the block of a pool. */
export const lockOf = (dataDir: string, pool: string): string => `${directoryOf(dataDir)}/${pool}@lock`;

/** Stores of all blocks that this node has or had of `pool`: directories. */
export function storesOf(dataDir: string, pool: string): string[] {
	const names = listIfPresent(directoryOf(dataDir)) ?? [];
	return names.filter((name) => isStoreOf(name, pool)).map((name) => storePath(dataDir, name));
}

export const isStoreOf = (name: string, pool: string): boolean =>
	name.startsWith(`${pool}@`) && blockOfStore(name) !== undefined;

/** The block that a store is named after. */
export function blockOfStore(path: string): Cidr | undefined {
	const name = path.slice(path.lastIndexOf("@") + 1);
	const dash = name.lastIndexOf("-");
	return parseCidr(`${name.slice(0, dash)}/${name.slice(dash + 1)}`);
}

/**
 * The block that this node has by what it learnt in this boot, whatever became of it; undefined where it must ask.
 */
export function knownBlock(dataDir: string, { pool, network, prefix }: Slicing): NodeBlock | undefined {
	const known = readBlock(dataDir, pool);
	const isSame = known?.range === formatCidr(network) && known.sliceSize === `/${prefix}` && known.boot === bootId();
	return isSame ? known : undefined;
}

/** What is on record of a pool, of any boot. */
export function readBlock(dataDir: string, pool: string) {
	const { json, isWhole } = readTold(readTextIfFile(fileOf(dataDir, pool)) ?? "");
	const takenOver: readonly string[] = Array.isArray(json.takenOver) ? json.takenOver.map(text) : [];
	const block = {
		/** Name of the NodeSlicePool. */
		pool,
		/** Where it is. */
		namespace: text(json.namespace),
		kubeconfig: text(json.kubeconfig),
		/** `network_name` of the configuration, or "". */
		networkName: text(json.networkName),
		/** What is sliced, and how, when the block was learnt: "10.0.0.0/16" and "/26". */
		range: text(json.range),
		sliceSize: text(json.sliceSize),
		node: text(json.node),
		/** CIDR. */
		block: text(json.block),
		boot: text(json.boot),
		/** Why it is this node's no longer; "" while it is. */
		lost: text(json.lost),
		/** Names of the IPPools whose entries the stores have: from then on the stores know better. */
		takenOver,
	};
	const isUsable = isWhole && block.node !== "" && parseCidr(block.block) !== undefined;
	return isUsable && json.pool === pool ? block : undefined;
}

/** Every block on record. */
export function knownBlocks(dataDir: string): NodeBlock[] {
	const names = (listIfPresent(directoryOf(dataDir)) ?? []).filter((name) => name.endsWith(".json"));
	return names.flatMap((name) => readBlock(dataDir, name.slice(0, -".json".length)) ?? []);
}

export function writeBlock(dataDir: string, block: NodeBlock): void {
	makeDirectories(directoryOf(dataDir), 0o700);
	writeAtomic(fileOf(dataDir, block.pool), JSON.stringify({ version: 1, ...block }), 0o600);
}

/** Name of the IPPool of a block, as the Go plugin has it: it names the node. */
export const poolOfBlock = ({ networkName, node }: Pick<NodeBlock, "networkName" | "node">, block: Cidr): string =>
	poolName(networkName === "" ? node : `${networkName}-${node}`, block);
