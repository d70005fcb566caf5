/**
 * GC: gives back what this node's attachments hold that are no longer valid. Those of other nodes are none of its
 * business: pools do not tell whose an entry is, this node's records do.
 */
import { attempt, throwTogether } from "../../lib/cni/failures.ts";
import type { Request, ValidAttachment } from "../../lib/cni/types.ts";
import { releaseInStore } from "./block-addresses.ts";
import { settingsOf } from "./config.ts";
import { Records } from "./record.ts";
import { releaseRecord } from "./release.ts";
import { withApiServer } from "./session.ts";

export function gc(request: Request, valid: readonly ValidAttachment[] | undefined): void {
	if (valid === undefined) return;
	const settings = settingsOf(request);
	const { dataDir, kubeconfig } = settings;
	const records = new Records(dataDir);
	const isValid = new Set(valid.map(({ containerID, ifname }) => `${containerID}/${ifname}`));
	const keep = ({ containerId, ifName }: { readonly containerId: string; readonly ifName: string }): boolean =>
		isValid.has(`${containerId}/${ifName}`);
	const stale = records.all().filter(({ record }) => record.network === request.network && !keep(record));
	records.removeTemporary(request.network, keep);
	const failures: unknown[] = [];
	for (const found of stale) {
		attempt(failures, () => {
			releaseInStore(settings, records, found);
			if (found.record.claims.length === 0) records.remove(found);
		});
	}
	const claiming = stale.filter(({ record }) => record.claims.length > 0);
	if (claiming.length > 0) {
		attempt(failures, () =>
			withApiServer(kubeconfig || claiming[0]!.record.kubeconfig, (session) => {
				const refused: unknown[] = [];
				for (const found of claiming) attempt(refused, () => releaseRecord(session, records, found, settings));
				throwTogether(refused);
			}),
		);
	}
	throwTogether(failures);
}
