/**
 * Which address an attachment gets: the one it asked for, or the next in turn, as the Go plugin takes turns.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import type { CniIp } from "../../lib/cni/types.ts";
import { formatIp, type Ip, nextIp, sameIp } from "../../lib/ip/address.ts";
import { formatCidr } from "../../lib/ip/cidr.ts";
import { capacityOf, formatRangeSet, type Range, type RangeSet, rangeContains, rangeOf } from "../../lib/ip/range.ts";
import type { UndoStack } from "../../lib/linux/undo-stack.ts";
import type { Attachment } from "./holder.ts";
import type { Store } from "./store.ts";

/**
 * Holds one address of each range set for `attachment`. Throws code 11 where a set has none left, 101 where the attachment
 * cannot have what it asks for, 5 where the store cannot be written; `undo` then releases what this call held, no more.
 */
export function allocate(
	store: Store,
	sets: readonly RangeSet[],
	requested: readonly Ip[],
	attachment: Attachment,
	undo: UndoStack,
): CniIp[] {
	const unmet = [...requested];
	const ips: CniIp[] = [];
	for (const [index, set] of sets.entries()) {
		const wanted = unmet.findIndex((ip) => rangeOf(set, ip) !== undefined);
		const [request] = wanted < 0 ? [] : unmet.splice(wanted, 1);
		const choice = request ? chooseRequested(store, set, request) : chooseNext(store, set, index, attachment);
		if (choice instanceof CniError) {
			throw new CniError(choice.code, `failed to allocate for range ${index}: ${choice.message}`, choice.details);
		}
		store.reserve(choice.ip, attachment);
		undo.push(`release ${formatIp(choice.ip)}`, () => store.release(choice.ip, attachment));
		store.setLastReserved(index, choice.ip);
		ips.push({
			address: formatCidr({ ip: choice.ip, prefix: choice.range.subnet.prefix }),
			gateway: formatIp(choice.range.gateway),
		});
	}
	if (unmet.length > 0) {
		const list = unmet.map(formatIp).join(" ");
		throw new CniError(
			Code.allocation,
			`failed to allocate all requested IPs: ${list}`,
			"each range set gives one address, of its own ranges",
		);
	}
	return ips;
}

interface Choice {
	readonly ip: Ip;
	readonly range: Range;
}

function chooseRequested(store: Store, set: RangeSet, ip: Ip): Choice | CniError {
	const range = rangeOf(set, ip)!;
	const text = formatIp(ip);
	if (sameIp(ip, range.gateway)) return new CniError(Code.allocation, `requested ip ${text} is subnet's gateway`);
	const holder = store.holderOf(ip);
	if (holder === undefined) return { ip, range };
	return new CniError(
		Code.allocation,
		`requested IP address ${text} is not available in range set ${formatRangeSet(set)}`,
		`held for container ${holder.containerId}, in ${store.directory}/${text}`,
	);
}

function chooseNext(store: Store, set: RangeSet, index: number, attachment: Attachment): Choice | CniError {
	const already = store.addressesOf(attachment).find((ip) => rangeOf(set, ip) !== undefined);
	if (already !== undefined) {
		return new CniError(
			Code.allocation,
			`${formatIp(already)} has been allocated to ${attachment.containerId}, duplicate allocation is not allowed`,
			`interface ${attachment.ifName}, in ${store.directory}`,
		);
	}
	const last = store.lastReserved(index);
	const next = () => nextInTurn(set, last, (from, to) => store.nextFree(from, to));
	return next() ?? (store.readAgain() ? next() : undefined) ?? exhausted(store, set);
}

/**
 * The first free address after `last`, through all ranges of the set and round again; `last` itself comes at the very end.
 * Where `last` is unknown or in no range, the first free address from the start. A range's own gateway is left out.
 * `nextFree` is the first free one of those from `from` to `to`.
 */
export function nextInTurn(
	set: RangeSet,
	last: Ip | undefined,
	nextFree: (from: Ip, to: Ip) => Ip | undefined,
): Choice | undefined {
	const current = last === undefined ? -1 : set.findIndex((range) => rangeContains(range, last));
	const first = Math.max(current, 0);
	for (let turn = 0; turn <= set.length; turn++) {
		const range = set[(first + turn) % set.length]!;
		let from: Ip | undefined = range.start;
		let to = range.end;
		if (current >= 0 && turn === 0) from = sameIp(last!, to) ? undefined : nextIp(last!);
		if (turn === set.length) {
			if (current < 0) return undefined;
			to = last!;
		}
		const ip = from && nextInRange(range, from, to, nextFree);
		if (ip !== undefined) return { ip, range };
	}
	return undefined;
}

function nextInRange(range: Range, start: Ip, to: Ip, nextFree: (from: Ip, to: Ip) => Ip | undefined): Ip | undefined {
	let from: Ip | undefined = start;
	while (from !== undefined && from.value <= to.value) {
		const ip = nextFree(from, to);
		if (ip === undefined) return undefined;
		if (!sameIp(ip, range.gateway)) return ip;
		from = nextIp(ip);
	}
	return undefined;
}

function exhausted(store: Store, set: RangeSet): CniError {
	const { addresses, containers } = store.countHeld((ip) => rangeOf(set, ip) !== undefined);
	return new CniError(
		Code.tryAgain,
		`no IP addresses available in range set: ${formatRangeSet(set)}`,
		`${addresses} of ${capacityOf(set)} addresses are held, for ${containers} containers, in ${store.directory}`,
	);
}
