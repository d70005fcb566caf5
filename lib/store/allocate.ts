/**
 * Which address an attachment gets: the one it asked for, or the next in turn, as the Go plugin takes turns.
 */
import { CniError, Code } from "../cni/error.ts";
import type { CniIp } from "../cni/types.ts";
import { formatIp, type Ip, nextIp, parseIp, sameIp } from "../ip/address.ts";
import { formatCidr } from "../ip/cidr.ts";
import {
	capacityOf,
	exclusionOf,
	formatRangeSet,
	type Range,
	type RangeSet,
	rangeContains,
	rangeOf,
} from "../ip/range.ts";
import type { UndoStack } from "../plugin/undo-stack.ts";
import { type Attachment, isAllocated } from "./owner.ts";
import type { Store } from "./store.ts";

/**
 * Allocates one address of each range set for `attachment`. Throws code 11 where a set has none left, 101 where the
 * attachment cannot have what it asks for, 5 where the store cannot be written; `undo` then releases what this call
 * allocated, no more.
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
		let choice: Choice | CniError;
		do {
			choice = request ? chooseRequested(store, set, request) : chooseNext(store, set, index, attachment);
			if (choice instanceof CniError) {
				throw new CniError(choice.code, `failed to allocate for range ${index}: ${choice.message}`, choice.details);
			}
			// Somebody has it after all, whom the lock has not kept out. It is not tried again: each turn has one
			// address less.
		} while (!store.reserve(choice.ip, attachment, choice.mayBeBlank));
		const { ip, range } = choice;
		undo.push(`release ${formatIp(ip)}`, () => store.release(ip, attachment));
		store.setLastReserved(index, ip);
		ips.push({
			address: formatCidr({ ip, prefix: range.subnet.prefix }),
			...(range.gateway && { gateway: formatIp(range.gateway) }),
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
	/** There may be a file of it that says nothing. */
	readonly mayBeBlank: boolean;
}

function chooseRequested(store: Store, set: RangeSet, ip: Ip): Choice | CniError {
	const range = rangeOf(set, ip)!;
	const text = formatIp(ip);
	if (range.gateway && sameIp(ip, range.gateway)) {
		return new CniError(Code.allocation, `requested ip ${text} is subnet's gateway`);
	}
	const refusal = `requested IP address ${text} is not available in range set ${formatRangeSet(set)}`;
	if (exclusionOf(range, ip)) return new CniError(Code.allocation, refusal, "`exclude` of the range has it");
	const owner = store.ownerOf(ip);
	if (isAllocated(owner)) {
		const whom = typeof owner === "object" ? `for container ${owner.containerId}` : "by a file that names no container";
		return new CniError(Code.allocation, refusal, `held ${whom}, in ${store.directory}/${text}`);
	}
	const remaining = store.cooldown.remaining(ip);
	if (remaining === 0) return { ip, range, mayBeBlank: true };
	return new CniError(
		Code.tryAgain,
		refusal,
		`it was released a short time ago, and is free in ${seconds(remaining)} s`,
	);
}

function seconds(ms: number): number {
	return Math.ceil(ms / 1000);
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
	const choice = chooseFree(store, set, store.lastReserved(index));
	return choice ?? new CniError(Code.tryAgain, exhaustion(set), shortage(store, set));
}

/**
 * The next in turn that is free. When the index knows of none, the files have the last word. At the very end those with
 * a blank file.
 */
export function chooseFree(store: Store, set: RangeSet, last: Ip | undefined): Choice | undefined {
	const next = (mayBeBlank: boolean) => nextInTurn(store, set, last, mayBeBlank);
	return next(false) ?? (store.readAgain() ? next(false) : undefined) ?? next(true);
}

/**
 * The first free address after `last`, through all ranges of the set and round again; `last` itself comes at the very
 * end. Where `last` is unknown or in no range, the first free address from the start. A range's own gateway and what it
 * excludes are left out, and what was released a short time ago.
 */
function nextInTurn(store: Store, set: RangeSet, last: Ip | undefined, mayBeBlank: boolean): Choice | undefined {
	const current = last === undefined ? -1 : set.findIndex((range) => rangeContains(range, last));
	const first = Math.max(current, 0);
	// The range of `last` comes twice: first what is after it, at the end the others.
	for (let turn = 0; turn < (current < 0 ? set.length : set.length + 1); turn++) {
		const range = set[(first + turn) % set.length]!;
		const from = turn === 0 && current >= 0 ? nextIp(last!) : range.start;
		const to = turn === set.length ? last! : range.end;
		const ip = nextInRange(store, range, from, to, mayBeBlank);
		if (ip !== undefined) return { ip, range, mayBeBlank };
	}
	return undefined;
}

function nextInRange(store: Store, range: Range, start: Ip | undefined, to: Ip, mayBeBlank: boolean): Ip | undefined {
	for (let from = start; from !== undefined && from.value <= to.value; ) {
		const ip = store.nextFree(from, to, mayBeBlank);
		if (ip === undefined) return undefined;
		const excluded = exclusionOf(range, ip);
		const isGateway = range.gateway !== undefined && sameIp(ip, range.gateway);
		if (excluded === undefined && !isGateway && store.cooldown.remaining(ip) === 0) return ip;
		from = nextIp(excluded?.last ?? ip);
	}
	return undefined;
}

export function exhaustion(set: RangeSet): string {
	return `no IP addresses available in range set: ${formatRangeSet(set)}`;
}

/**
 * Why the set has no address to give: how many are allocated and for how many containers, and when the first of those
 * that wait is free.
 */
export function shortage(store: Store, set: RangeSet): string {
	const { addresses, containers, nameless } = store.countAllocated((ip) => isUsable(set, ip));
	const capacity = capacityOf(set);
	if (capacity === 0n) return "it has none to give: each is a gateway or excluded";
	const by = nameless === 0 ? "" : ` and ${nameless} by files that name none`;
	const full = `${addresses} of ${capacity} addresses are held, for ${containers} containers${by}, in ${store.directory}`;
	const next = store.cooldown.first((name) => {
		const ip = parseIp(name);
		return ip !== undefined && isUsable(set, ip) && !isAllocated(store.ownerOf(ip));
	});
	if (next === undefined) return full;
	const { count, name, inMs } = next;
	return `${full}; ${count} more wait for reuseDelaySeconds, the first, ${name}, is free in ${seconds(inMs)} s`;
}

/** Whether the set could hand it out. */
function isUsable(set: RangeSet, ip: Ip): boolean {
	const range = rangeOf(set, ip);
	if (range === undefined || exclusionOf(range, ip) !== undefined) return false;
	return range.gateway === undefined || !sameIp(ip, range.gateway);
}
