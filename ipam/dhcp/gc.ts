/**
 * GC: the daemon gives back the leases of this network that no valid attachment owns.
 */
import type { Request, ValidAttachment } from "../../lib/cni/types.ts";
import { ask, QUICK_MS } from "./ask.ts";
import { socketPathOf } from "./config.ts";

export function gc(request: Request, attachments: readonly ValidAttachment[] | undefined): void {
	if (attachments === undefined) return;
	const valid = attachments.map(({ containerID, ifname }) => `${containerID}/${ifname}`);
	ask(socketPathOf(request), { method: "gc", network: request.network, valid }, QUICK_MS);
}
