/**
 * CHECK: the addresses of prevResult are allocated to the attachment.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { previousAddresses } from "../../lib/cni/result.ts";
import type { Request } from "../../lib/cni/types.ts";
import { formatIp, type Ip } from "../../lib/ip/address.ts";
import { parseCidr } from "../../lib/ip/cidr.ts";
import { type RangeSet, rangeOf } from "../../lib/ip/range.ts";
import { Store } from "../../lib/store/store.ts";
import { loadHostLocal } from "./config.ts";
import { storeSettings } from "./settings.ts";

export function check(request: Request): void {
	const { sets } = loadHostLocal(request);
	const { directory, ...settings } = storeSettings(request);
	using store = Store.openIfPresent(directory, settings);
	const ours = ownAddresses(request, sets);
	const missing = ours.filter((ip) => !isOwner(store, ip, request));
	// Ranges may have changed since ADD: then, as in Go, any address will do.
	const found = ours.length > 0 ? missing.length < ours.length : (store?.addressesOf(request).length ?? 0) > 0;
	if (found && missing.length === 0) return;
	const reason = found
		? `${missing.map(formatIp).join(", ")} of prevResult is not held for container ${request.containerId}`
		: `Failed to find address added by container ${request.containerId}`;
	throw new CniError(Code.checkFailed, `host-local: ${reason}`, `interface ${request.ifName}, in ${directory}`);
}

/** The addresses of prevResult that are of our ranges: a chain may have others. */
function ownAddresses(request: Request, sets: readonly RangeSet[]): Ip[] {
	const addresses = (previousAddresses(request) ?? []).map(({ address }) => parseCidr(address)!.ip);
	return addresses.filter((ip) => sets.some((set) => rangeOf(set, ip) !== undefined));
}

function isOwner(store: Store | undefined, ip: Ip, { containerId, ifName }: Request): boolean {
	const owner = store?.ownerOf(ip);
	return typeof owner === "object" && owner.containerId === containerId && (owner.ifName ?? ifName) === ifName;
}
