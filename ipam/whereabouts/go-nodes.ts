/**
 * Whether nodes with the Go plugin are at work in this cluster.
 *
 * Its DEL removes the reservation of an address without a look at whose it is, where its own ADD failed because we
 * had reserved that address. Nothing is lost if our entry is in the pool by then: its ADD cannot have come so far. So
 * while Go nodes are at work, no ADD leaves its entry for later.
 */
import { isStatus, NoAnswerError } from "../../lib/kube/errors.ts";
import { object, text } from "../../lib/state/json.ts";
import * as sys from "../../lib/sys/sys.ts";
import type { Session } from "./session.ts";

/** Each of its calls takes this lease. */
const leasePath = (namespace: string): string =>
	`/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/whereabouts`;
/** A call of it takes two minutes at most; the rest is for clocks that differ. */
const LATELY_MS = 15 * 60_000;

/** Asked after a claim: a call that looked for the reservation before holds the lease still. */
export function areGoNodesActive({ client, namespace }: Session): boolean {
	try {
		const lease = client.get(leasePath(namespace));
		if (lease === undefined) return false;
		const renewed = Date.parse(text(object(lease.spec)?.renewTime));
		return Number.isNaN(renewed) || sys.realtimeMs() - renewed < LATELY_MS;
	} catch (error) {
		// Who may not look cannot know.
		if (isStatus(error, 401, 403) || error instanceof NoAnswerError) return true;
		throw error;
	}
}
