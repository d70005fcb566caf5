/**
 * CHECK: the addresses of prevResult are the attachment's, by the record of this node and by the API.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { previousAddresses } from "../../lib/cni/result.ts";
import type { Request } from "../../lib/cni/types.ts";
import { formatIp, type Ip } from "../../lib/ip/address.ts";
import { formatCidr, parseCidr } from "../../lib/ip/cidr.ts";
import { holdsInBlock } from "./block-addresses.ts";
import { loadWhereabouts, podRefOf, type Whereabouts } from "./config.ts";
import type { Allocation } from "./objects.ts";
import { poolOf } from "./pool.ts";
import { mayHandOut, offsetOf, type PoolRange } from "./ranges.ts";
import { Records } from "./record.ts";
import { isOf, Reservations } from "./reservations.ts";
import { type Session, withApiServer } from "./session.ts";

export function check(request: Request): void {
	const config = loadWhereabouts(request);
	// The record tells whether a claim holds it in place of the pod.
	const record = config.mayClaim ? new Records(config.dataDir).find(request)?.record : undefined;
	const podref = record?.podRef ?? podRefOf(request);
	const owner = { id: request.containerId, podref, ifname: request.ifName };
	const previous = (previousAddresses(request) ?? []).map(({ address }) => parseCidr(address)!.ip);
	const { slicing } = config;
	if (slicing !== undefined) {
		const ip = previous.find((each) => mayHandOut(config.ranges[0]!, each));
		if (ip === undefined) throw failed(`prevResult has no address of ${formatCidr(slicing.network)}`, request);
		if (!holdsInBlock(config.dataDir, slicing, ip, request)) {
			throw failed(`${formatIp(ip)} of prevResult is not held for the container`, request);
		}
		return;
	}
	withApiServer(config.kubeconfig, (session) => {
		for (const range of config.ranges) {
			const ip = previous.find((each) => mayHandOut(range, each));
			if (ip === undefined) throw failed(`prevResult has no address of ${formatCidr(range.network)}`, request);
			const holder = holderOf(session, config, range, ip);
			if (holder === undefined) throw failed(`${formatIp(ip)} of prevResult is held by nobody`, request);
			if (!isOf({ ...holder, id: holder.id || owner.id }, owner)) {
				throw failed(`${formatIp(ip)} of prevResult is held by pod ${holder.podref}`, request);
			}
		}
	});
}

function holderOf(session: Session, config: Whereabouts, range: PoolRange, ip: Ip): Allocation | undefined {
	if (config.isExclusive) {
		const reservations = new Reservations(session.client, session.namespace, config.networkName);
		return reservations.find(reservations.nameOf(ip));
	}
	return poolOf(session, config.networkName, range.network, config.dataDir).read()?.get(offsetOf(range, ip));
}

const failed = (reason: string, { containerId, ifName }: Request): CniError =>
	new CniError(Code.checkFailed, `whereabouts: ${reason}`, `container ${containerId}, interface ${ifName}`);
