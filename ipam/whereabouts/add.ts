/**
 * ADD: an address of each range.
 */
import type { CniIp, CniResult, Request } from "../../lib/cni/types.ts";
import { formatIp } from "../../lib/ip/address.ts";
import { UndoStack } from "../../lib/plugin/undo-stack.ts";
import { bootId } from "../../lib/sys/boot.ts";
import { invalidConfig } from "../fields.ts";
import { addFromBlock } from "./block-addresses.ts";
import { Claimer } from "./claim.ts";
import { loadWhereabouts, podRefOf, resultAddress, type Whereabouts } from "./config.ts";
import { findClaim, holderOf, type IpamClaim, writeStatus } from "./ipam-claim.ts";
import { logOf } from "./log.ts";
import { mayHandOut } from "./ranges.ts";
import { Records, recordedOf } from "./record.ts";
import { releaseRecord } from "./release.ts";
import { type Session, withApiServer } from "./session.ts";

export function add(request: Request): CniResult {
	const config = loadWhereabouts(request);
	const podRef = podRefOf(request);
	const { slicing, ranges } = config;
	const ips =
		slicing === undefined
			? withApiServer(config.kubeconfig, (session) => claimAll(request, config, podRef, session))
			: [resultAddress(ranges[0]!, addFromBlock(request, config, slicing, podRef))];
	return { ips: [...ips, ...config.addresses], routes: config.routes, ...(config.dns && { dns: config.dns }) };
}

/** All or nothing. */
function claimAll(request: Request, config: Whereabouts, podRef: string, session: Session): CniIp[] {
	const { dataDir } = config;
	const records = new Records(dataDir);
	// What an ADD that was killed may have claimed is tried first.
	const earlier = records.find(request)?.record;
	const { kubeconfig } = config;
	const claim = config.mayClaim ? findClaim(session.client, podRef, request.ifName, request.network) : undefined;
	const wanted = claim === undefined ? config : withClaim(config, claim);
	const claimer = new Claimer(session, wanted, records, {
		...recordedOf(request, bootId()),
		podRef: claim === undefined ? podRef : holderOf(claim),
		kubeconfig,
		namespace: session.namespace,
		claims: earlier?.claims ?? [],
		store: earlier?.store ?? "",
		device: earlier?.device ?? "",
	});
	using undo = new UndoStack((what, error) => logOf(request).error(`could not ${what} after a failed ADD: ${error}`));
	undo.push("release what was claimed", () => {
		const found = records.find(request);
		if (found === undefined) return;
		const record = { ...found.record, claims: claimer.claims };
		// Nobody has had it.
		releaseRecord(session, records, { ...found, record }, { dataDir, reuseDelayMs: 0 });
	});
	const ips = config.ranges.map((range) => resultAddress(range, claimer.claim(range)));
	if (claim !== undefined) {
		const addresses = ips.map(({ address }) => address);
		writeStatus(session.client, claim, addresses, podRef);
	}
	undo.commit();
	return ips;
}

/** The configuration with the addresses of a claim as those that are asked for. Throws code 7. */
function withClaim(config: Whereabouts, { namespace, name, ips }: IpamClaim): Whereabouts {
	const refuse = (reason: string): never => {
		throw invalidConfig(`IPAMClaim ${namespace}/${name} ${reason}`);
	};
	if (config.requested.length > 0) refuse("is named by a pod that asks for addresses, too: either, not both");
	for (const ip of ips) {
		if (!config.ranges.some((range) => mayHandOut(range, ip))) refuse(`has ${formatIp(ip)}, which no range hands out`);
	}
	return { ...config, requested: ips };
}
