/**
 * ADD of host-local.
 */
import type { CniResult, Request } from "../../lib/cni/types.ts";
import { formatIp } from "../../lib/ip/address.ts";
import { contains, formatCidr } from "../../lib/ip/cidr.ts";
import type { RangeSet } from "../../lib/ip/range.ts";
import { UndoStack } from "../../lib/plugin/undo-stack.ts";
import { allocate } from "../../lib/store/allocate.ts";
import { Store } from "../../lib/store/store.ts";
import { loadHostLocal } from "./config.ts";
import { logOf } from "./log.ts";
import { readDns } from "./resolv-conf.ts";
import { storeSettings } from "./settings.ts";

export function add(request: Request): CniResult {
	const config = loadHostLocal(request);
	const settings = storeSettings(request);
	const dns = config.resolvConf === "" ? undefined : readDns(config.resolvConf);
	warnOfGateways(request, config.sets);
	using store = Store.open(settings.directory, settings);
	if (settings.reclaimAfterReboot) reclaim(request, store);
	using undo = new UndoStack((what, error) => logOf(request).error(`could not ${what} after a failed ADD: ${error}`));
	const ips = allocate(store, config.sets, config.requested, request, undo);
	undo.commit();
	return { ips, routes: config.routes, ...(dns && { dns }) };
}

/** What containers had before the last reboot: they are gone. */
function reclaim(request: Request, store: Store): void {
	const released = store.releaseEarlier();
	if (released.length === 0) return;
	logOf(request).warning(`released what was held since before the last reboot: ${released.join(", ")}`);
}

/**
 * Go takes any gateway. One that is out of reach is most often a slip, but need not be: a route of link scope may lead
 * to it.
 */
function warnOfGateways(request: Request, sets: readonly RangeSet[]): void {
	for (const { gateway, subnet } of sets.flat()) {
		if (gateway === undefined || contains(subnet, gateway)) continue;
		logOf(request).warning(`gateway ${formatIp(gateway)} is not in subnet ${formatCidr(subnet)}`);
	}
}
