/**
 * Addresses: asked from the IPAM plugin, given to the netdev, announced to the network.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import type { CniResult, Request } from "../../lib/cni/types.ts";
import { announce } from "../../lib/linux/announce.ts";
import { delegateAdd, delegateDel } from "../../lib/linux/delegate.ts";
import { configureInterface, waitForCarrier } from "../../lib/linux/interface.ts";
import type { Sandbox } from "../../lib/linux/sandbox.ts";
import type { UndoStack } from "../../lib/linux/undo-stack.ts";
import type { Link } from "../../lib/netlink/link.ts";

/** How long announcements wait for the carrier, as in the Go plugin. */
const CARRIER_DEADLINE_MS = 200;

/**
 * Runs the IPAM plugin (undefined: there is none) and configures `link` with what it gave; a VF without a netdev
 * (undefined) has its addresses reported only. Returns the part of the result that comes from IPAM.
 */
export function addAddresses(
	request: Request,
	ipam: string | undefined,
	sandbox: Sandbox,
	link: Link | undefined,
	undo: UndoStack,
): CniResult {
	if (ipam === undefined) return {};
	// Before ADD: a delegate that fails half-way gets its DEL, too (specification 1.1.0, section 4).
	undo.push(`release the addresses of ${ipam}`, () => delegateDel(request, ipam));
	const { ips = [], routes, dns } = delegateAdd(request, ipam);
	if (ips.length === 0) throw new CniError(Code.delegation, `IPAM plugin ${ipam} returned missing IP config`);
	const result: CniResult = {
		ips: ips.map((ip) => ({ ...ip, interface: 0 })),
		...(routes && { routes }),
		...(dns && { dns }),
	};
	if (link !== undefined) configure(sandbox, link, result);
	return result;
}

function configure(sandbox: Sandbox, link: Link, { ips = [], routes = [] }: CniResult): void {
	sandbox.netns.run(() => {
		configureInterface(sandbox.route, link, { ips, routes });
		// Without a carrier the frames are lost, and so would those of the kernel be: then nobody is listening.
		if (waitForCarrier(sandbox.route, link.index, CARRIER_DEADLINE_MS)) announce(link, ips);
	});
}
