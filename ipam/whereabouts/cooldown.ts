/**
 * Addresses that were released a short time ago (`reuseDelaySeconds`): the reservation stays, and names as its
 * holder, where others have "namespace/pod", until when. Go nodes pass over it as over any other. The pod that had
 * the address may have it again at once.
 *
 * Time is the releasing node's: a clock that is wrong makes the delay longer or shorter, and gives nobody what
 * another one has.
 */
import * as sys from "../../lib/sys/sys.ts";

/** In the place of a pod's name, which has no ":". */
const MARK = "cooldown:";

/** The holder of an address that `podRef` releases now. */
export function coolingHolder(podRef: string, delayMs: number): string {
	const slash = podRef.indexOf("/");
	const until = Math.ceil((sys.realtimeMs() + delayMs) / 1000);
	return `${podRef.slice(0, slash)}/${MARK}${until}:${podRef.slice(slash + 1)}`;
}

/**
 * What a holder says of a release: who had the address ("namespace/name"), and how long it is not for others yet, in
 * ms; 0 where that is over. Undefined for a holder that is none.
 */
export function readCooldown(holder: string) {
	const [, namespace = "", until = "", pod = ""] = HOLDER.exec(holder) ?? [];
	if (until === "") return undefined;
	return { podRef: `${namespace}/${pod}`, leftMs: Math.max(0, Number(until) * 1000 - sys.realtimeMs()) };
}

const HOLDER = new RegExp(`^([^/]*)/${MARK}(\\d+):(.*)$`, "s");
