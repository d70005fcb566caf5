/**
 * What sandboxes that no longer live have left on this node: for `berth heal`, which gives it back, and `berth node`,
 * which shows it.
 */
import type { Request } from "../cni/types.ts";

export interface Orphan {
	/** "VF", "RDMA device", "address", "marker" */
	readonly kind: string;
	/** Which one: a PCI address, an IP address. */
	readonly name: string;
	/** "" where nobody knows. */
	readonly containerId: string;
	readonly ifName: string;
	readonly network: string;
	/** Why nobody has it, or why it is not known whether somebody has. */
	readonly why: string;
	/**
	 * Gives it back as GC does; false where that is not finished, and has to be tried again. Looks again before, with
	 * the lock held: undefined where it has an owner by now, or somebody else has given it back. `request` is whose
	 * call it is: GC's, of no attachment. Undefined where it is better left alone.
	 */
	readonly reclaim: ((request: Request) => boolean | undefined) | undefined;
}

/** A sentence for a sandbox that is gone, or of which nobody knows whether it is. */
export function whyGone(netns: string, isOfEarlierBoot: boolean): string {
	if (isOfEarlierBoot) return "from before the last boot";
	return netns === "" ? "its sandbox is not known" : `sandbox ${netns} is gone`;
}
