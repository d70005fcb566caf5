/**
 * Node blocks: a range cut into blocks of one size (`node_slice_size`), each of which serves one node. Which node has
 * which is in an object of the Go project, a NodeSlicePool.
 */
import { quote } from "../../lib/cni/quote.ts";
import { addressBits } from "../../lib/ip/address.ts";
import { type Cidr, formatCidr, lastAddressOf } from "../../lib/ip/cidr.ts";
import { type RangeSet, sizeOfBlocks } from "../../lib/ip/range.ts";
import { invalidConfig } from "../fields.ts";
import { type PoolRange, usableOf } from "./ranges.ts";
import type { WhereaboutsConfig } from "./schema.ts";

/** What the API server takes as a name (RFC 1123, subdomain). */
export const OBJECT_NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

export type Slicing = Readonly<NonNullable<ReturnType<typeof readSlicing>>>;

/** How nodes have blocks of the range, the only one there is; undefined where they have none. Throws code 7. */
export function readSlicing(
	{ node_slice_size, address }: WhereaboutsConfig["ipam"],
	pool: string,
	networkName: string,
	ranges: readonly PoolRange[],
) {
	if (!node_slice_size) {
		if (address === undefined) return undefined;
		throw invalidConfig('ipam.address "vf-index" counts in a node\'s block: ipam.node_slice_size is missing');
	}
	const [range, ...others] = ranges;
	if (range === undefined || others.length > 0) {
		throw invalidConfig(`ipam.node_slice_size needs one range, and there are ${ranges.length}`);
	}
	if (!OBJECT_NAME.test(pool)) {
		throw invalidConfig(
			`no NodeSlicePool can be called ${quote(pool)}, as the network is: ipam.network_name gives it another name, of lower-case letters, digits, "-" and "."`,
			"ipam.node_slice_size",
		);
	}
	const { network } = range;
	const prefix = readSliceSize(node_slice_size, network);
	return {
		/** Name of the NodeSlicePool. */
		pool,
		networkName,
		network,
		/** Length of a block's prefix. */
		prefix,
		/** Whether the address follows from the VF: number N of the block for VF N. */
		isByVfIndex: address === "vf-index",
	};
}

/** etcd takes no object above this, in bytes (its flag --max-request-bytes). */
export const ETCD_LIMIT = 1_572_864;

/** Length of the prefix that `node_slice_size` says, "/26" or "26". Throws code 7. */
export function readSliceSize(size: string, network: Cidr): number {
	const refuse = (reason: string): never => {
		throw invalidConfig(`ipam.node_slice_size ${quote(size)} ${reason}`, "field ipam.node_slice_size");
	};
	const prefix = /^\/?\d{1,3}$/.test(size)
		? Number(size.replace("/", ""))
		: refuse('is no prefix length such as "/26"');
	const bits = addressBits(network.ip.family);
	if (prefix > bits) refuse(`is longer than an address of ${formatCidr(network)}, which has ${bits} bits`);
	if (prefix < network.prefix) refuse(`makes blocks larger than the range ${formatCidr(network)}`);
	const count = 1n << BigInt(prefix - network.prefix);
	const bytes = count * BigInt(sizeOfEntry(network, prefix));
	if (bytes > ETCD_LIMIT) {
		refuse(
			`cuts ${formatCidr(network)} into ${count} blocks, and the NodeSlicePool with all of them would have at least ${megabytes(bytes)} MB: etcd takes ${megabytes(BigInt(ETCD_LIMIT))}`,
		);
	}
	return prefix;
}

/** Bytes of a block that no node has, in the object's JSON. */
function sizeOfEntry(network: Cidr, prefix: number): number {
	return JSON.stringify({ nodeName: "", sliceRange: formatCidr({ ip: network.ip, prefix }) }).length + 1;
}

const megabytes = (bytes: bigint): string => (Number(bytes) / 1_000_000).toFixed(1);

/** Every block, in order. */
export function* blocksOf(network: Cidr, prefix: number): Generator<Cidr> {
	const { family } = network.ip;
	const size = 1n << BigInt(addressBits(family) - prefix);
	const end = lastAddressOf(network).value;
	for (let value = network.ip.value; value <= end; value += size) yield { ip: { family, value }, prefix };
}

/**
 * What a node with `block` may hand out of `range`. As with the Go plugin, a block's first and last address stay free
 * where it has more than two; `range_start`, `range_end` and `exclude` count, which Go does not look at. The result's
 * prefix is the range's, as Go has it.
 */
export function rangeOfBlock(range: PoolRange, block: Cidr): PoolRange {
	const { first: start, last: end } = usableOf(block);
	const blocks = range.blocks.flatMap((part) => {
		const first = part.first.value > start.value ? part.first : start;
		const stop = part.last.value < end.value ? part.last : end;
		return first.value > stop.value ? [] : [{ first, last: stop }];
	});
	return { ...range, start, end, blocks, size: sizeOfBlocks(blocks) };
}

/** The same for the store. */
export const rangeSetOf = ({ network, blocks }: PoolRange): RangeSet =>
	blocks.map(({ first, last }) => ({ subnet: network, start: first, end: last, gateway: undefined, exclude: [] }));
