/**
 * Ranges of the configuration, and the addresses of one as a list that is counted, not made.
 */
import { addressBits, formatIp, type Ip, nextIp, parseIp, previousIp } from "../../lib/ip/address.ts";
import { type Cidr, contains, formatCidr, lastAddressOf, networkOf, parseCidr } from "../../lib/ip/cidr.ts";
import { type Block, sizeOfBlock, sizeOfBlocks } from "../../lib/ip/range.ts";
import { invalidConfig, optionalAddress } from "../fields.ts";
import type { WhereaboutsConfig } from "./schema.ts";

export type RangeConfig = NonNullable<WhereaboutsConfig["ipam"]["ipRanges"]>[number];

export type PoolRange = Readonly<ReturnType<typeof readRange>>;

/**
 * Reads and completes the range at `path` of the configuration. `gateway` is the one of all ranges. Throws code 7.
 */
export function readRange(config: RangeConfig, gateway: Ip | undefined, path: string) {
	const refuse = (reason: string): never => {
		throw invalidConfig(reason, `field ${path}`);
	};
	const { network, from, to } = parseRange(config.range) ?? refuse(`invalid CIDR ${config.range}`);
	const usable = usableOf(network);
	const bound = (text: string | undefined, key: string): Ip | undefined => {
		const ip = optionalAddress(text && withoutZeros(text), `${path}.${key}`);
		if (ip !== undefined && !contains(network, ip)) refuse(`${key} ${text} is not in ${formatCidr(network)}`);
		return ip;
	};
	const start = latest(usable.first, bound(config.range_start, "range_start") ?? from);
	const end = earliest(usable.last, bound(config.range_end, "range_end") ?? to);
	if (end.value < start.value) refuse(`the range ends at ${formatIp(end)}, before its start ${formatIp(start)}`);
	const own = optionalAddress(config.gateway, `${path}.gateway`);
	const inherited = gateway?.family === network.ip.family ? gateway : undefined;
	const excluded = (config.exclude ?? []).map((text) => {
		return readBlock(text) ?? refuse(`could not parse exclude range, err: "invalid CIDR address: ${text}"`);
	});
	for (const ip of [own, inherited]) if (ip !== undefined) excluded.push({ first: ip, last: ip });
	const blocks: readonly Block[] = without({ first: start, last: end }, excluded);
	return {
		/** Its first address is the one that offsets of the pool count from. */
		network,
		start,
		end,
		gateway: own ?? inherited,
		/** What may be handed out: in order, with no address in common. */
		blocks,
		size: sizeOfBlocks(blocks),
		/** As configured, for sentences. */
		exclude: config.exclude ?? [],
	};
}

/** The addresses of a network but its first and last; of one that has no more than two, all. */
export function usableOf(network: Cidr): Block {
	const last = lastAddressOf(network);
	const isTiny = network.prefix > addressBits(network.ip.family) - 2;
	return isTiny ? { first: network.ip, last } : { first: nextIp(network.ip)!, last: previousIp(last)! };
}

/** "10.0.0.0/8" with host bits or without, or "10.0.0.5-10.0.0.9/24"; leading zeros allowed, as in the Go plugin. */
function parseRange(text: string): { network: Cidr; from?: Ip; to?: Ip } | undefined {
	const dash = text.indexOf("-");
	const cidr = parseCidr(withoutZeros(text.slice(dash + 1)));
	if (cidr === undefined) return undefined;
	const network = networkOf(cidr);
	if (dash < 0) return { network };
	const from = parseIp(withoutZeros(text.slice(0, dash)));
	if (from === undefined || !contains(network, from)) return undefined;
	return { network, from, to: cidr.ip };
}

const withoutZeros = (text: string): string => text.trim().replace(/(^|\.)0+(?=\d+(\.|\/|$))/g, "$1");

function readBlock(text: string): Block | undefined {
	const cidr = parseCidr(text.includes("/") ? text : `${text}/${text.includes(":") ? 128 : 32}`);
	return cidr && { first: networkOf(cidr).ip, last: lastAddressOf(cidr) };
}

const latest = (a: Ip, b: Ip | undefined): Ip => (b !== undefined && b.value > a.value ? b : a);
const earliest = (a: Ip, b: Ip | undefined): Ip => (b !== undefined && b.value < a.value ? b : a);

/** What is left of `whole` without the blocks of its family in `holes`. */
function without(whole: Block, holes: readonly Block[]): Block[] {
	let left = [whole];
	for (const hole of holes) {
		if (hole.first.family !== whole.first.family) continue;
		left = left.flatMap((block) => cut(block, hole));
	}
	return left;
}

function cut(block: Block, hole: Block): Block[] {
	if (hole.last.value < block.first.value || hole.first.value > block.last.value) return [block];
	const parts: Block[] = [];
	if (hole.first.value > block.first.value) parts.push({ first: block.first, last: previousIp(hole.first)! });
	if (hole.last.value < block.last.value) parts.push({ first: nextIp(hole.last)!, last: block.last });
	return parts;
}

/** The address number `index` of what may be handed out, from 0 to below `size`. */
export function addressAt({ blocks }: PoolRange, index: bigint): Ip {
	let rest = index;
	for (const block of blocks) {
		const { family, value } = block.first;
		if (rest < sizeOfBlock(block)) return { family, value: value + rest };
		rest -= sizeOfBlock(block);
	}
	throw new RangeError(`there is no address ${index}`);
}

export const mayHandOut = ({ blocks }: PoolRange, ip: Ip): boolean =>
	blocks.some(({ first, last }) => {
		return first.family === ip.family && first.value <= ip.value && ip.value <= last.value;
	});

/** The key of an address in a pool of this network: its distance from the network address, exact, in decimal digits. */
export const offsetOf = ({ network }: Pick<PoolRange, "network">, ip: Ip): string =>
	String(ip.value - network.ip.value);

/** Of a key of the pool. */
export const addressOfOffset = ({ network }: Pick<PoolRange, "network">, offset: string): Ip => ({
	family: network.ip.family,
	value: network.ip.value + BigInt(offset),
});

/** As the Go plugin says it. */
export function exhaustion({ network, start, end, exclude }: PoolRange): string {
	return `Could not allocate IP in range: ip: ${formatIp(start)} / - ${formatIp(end)} / range: ${formatCidr(network)} / excludeRanges: [${exclude.join(" ")}]`;
}
