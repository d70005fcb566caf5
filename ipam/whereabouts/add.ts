/**
 * ADD: an address of each range.
 */
import { Code } from "../../lib/cni/error.ts";
import type { CniIp, CniResult, Request } from "../../lib/cni/types.ts";
import { UndoStack } from "../../lib/plugin/undo-stack.ts";
import { addFromBlock } from "./block-addresses.ts";
import { Claimer } from "./claim.ts";
import { loadWhereabouts, podRefOf, resultAddress, type Whereabouts } from "./config.ts";
import { logOf } from "./log.ts";
import { attachmentOf, Records } from "./record.ts";
import { releaseRecord } from "./release.ts";
import { ANSWER_MS, type Session, withApiServer } from "./session.ts";

export function add(request: Request): CniResult {
	const config = loadWhereabouts(request);
	const podRef = podRefOf(request);
	const { slicing, ranges } = config;
	const ips =
		slicing === undefined
			? withApiServer(config.kubeconfig, ANSWER_MS, Code.tryAgain, (session) =>
					claimAll(request, config, podRef, session),
				)
			: [resultAddress(ranges[0]!, addFromBlock(request, config, slicing, podRef))];
	return { ips: [...ips, ...config.addresses], routes: config.routes, ...(config.dns && { dns: config.dns }) };
}

/** All or nothing. */
function claimAll(request: Request, config: Whereabouts, podRef: string, session: Session): CniIp[] {
	const { dataDir } = config;
	const records = new Records(dataDir);
	const attachment = attachmentOf(request);
	// What an ADD that was killed may have claimed is tried first.
	const earlier = records.find(attachment)?.record;
	const { kubeconfig } = config;
	const claimer = new Claimer(session, config, dataDir, records, {
		...attachment,
		podRef,
		kubeconfig,
		namespace: session.namespace,
		claims: earlier?.claims ?? [],
		store: earlier?.store ?? "",
		device: earlier?.device ?? "",
	});
	using undo = new UndoStack((what, error) => logOf(request).error(`could not ${what} after a failed ADD: ${error}`));
	undo.push("release what was claimed", () => {
		const found = records.find(attachment);
		if (found === undefined) return;
		releaseRecord(session, records, { ...found, record: { ...found.record, claims: claimer.claims } }, dataDir);
	});
	const ips = config.ranges.map((range) => resultAddress(range, claimer.claim(range)));
	undo.commit();
	return ips;
}
