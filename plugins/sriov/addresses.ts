/**
 * Addresses: asked from the IPAM plugin, given to the netdev, announced to the network.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import type { CniResult, Request } from "../../lib/cni/types.ts";
import { announce } from "../../lib/linux/announce.ts";
import type { Link } from "../../lib/netlink/link.ts";
import { delegate, delegateAdd } from "../../lib/plugin/delegate.ts";
import { configureInterface, waitForCarrier } from "../../lib/plugin/interface.ts";
import type { Log } from "../../lib/plugin/log.ts";
import type { Sandbox } from "../../lib/plugin/sandbox.ts";
import type { UndoStack } from "../../lib/plugin/undo-stack.ts";

/**
 * How long announcements wait for a carrier: as the Go plugin does, and longer where one has to come: some drivers
 * are slow to see it.
 */
const CARRIER_DEADLINE_MS = 200;
const EXPECTED_CARRIER_DEADLINE_MS = 1000;

/** Runs the IPAM plugin (undefined: there is none). Returns the part of the result that comes from it. */
export function requestAddresses(request: Request, ipam: string | undefined, undo: UndoStack): CniResult {
	if (ipam === undefined) return {};
	// Before ADD: a delegate that fails half-way gets its DEL, too (specification 1.1.0, section 4).
	undo.push(`release the addresses of ${ipam}`, () => delegate("DEL", request, ipam));
	const { ips = [], routes, dns } = delegateAdd(request, ipam);
	if (ips.length === 0) throw new CniError(Code.delegation, `IPAM plugin ${ipam} returned missing IP config`);
	return {
		ips: ips.map((ip) => ({ ...ip, interface: 0 })),
		...(routes && { routes }),
		...(dns && { dns }),
	};
}

/** Gives `link` the addresses and routes, and announces them. `expectsCarrier`: the link has one, or soon will. */
export function configureAddresses(
	sandbox: Sandbox,
	link: Link,
	{ ips = [], routes = [] }: CniResult,
	expectsCarrier: boolean,
	log: Log,
): void {
	const deadlineMs = expectsCarrier ? EXPECTED_CARRIER_DEADLINE_MS : CARRIER_DEADLINE_MS;
	sandbox.netns.run(() => {
		configureInterface(sandbox.route, link, { ips, routes });
		// Without a carrier the frames are lost, and so would those of the kernel be: then nobody is listening.
		if (!link.running && !waitForCarrier(sandbox.route, link.index, deadlineMs)) return;
		for (const failure of announce(link, ips)) log.debug(`could not announce an address: ${failure.message}`);
	});
}
