/**
 * What the files of a store say, read without its lock: as they were at some moment.
 */
import { readContents } from "./address-files.ts";
import { type Allocation, Index } from "./index.ts";
import { isSameOwner } from "./owner.ts";

interface Glimpse {
	/** Allocated since an earlier boot, as far as there is a record of that. */
	readonly earlier: readonly Allocation[];
	/** Allocated otherwise. */
	readonly others: readonly Allocation[];
}

/** For who only looks: nothing is written, and nobody waits. Throws SystemError. */
export function glimpse(directory: string): Glimpse {
	const recorded = new Map(Index.earlierAllocations(directory).map((each) => [each.name, each]));
	const earlier: Allocation[] = [];
	const others: Allocation[] = [];
	for (const [name, owner] of readContents(directory).owners) {
		if (typeof owner !== "object") continue;
		const then = recorded.get(name);
		(then !== undefined && isSameOwner(owner, then) ? earlier : others).push({ name, ...owner });
	}
	return { earlier, others };
}
