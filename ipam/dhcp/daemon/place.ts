/**
 * The interface of a lease: found in its namespace, given its address and relieved of it.
 */
import type { CniResult } from "../../../lib/cni/types.ts";
import { announce } from "../../../lib/linux/announce.ts";
import { deleteAddress, newAddress } from "../../../lib/netlink/address.ts";
import { getLink, type Link } from "../../../lib/netlink/link.ts";
import { deleteRoute, newRoute } from "../../../lib/netlink/route.ts";
import type { Change } from "../../../lib/netlink/socket.ts";
import { Sandbox } from "../../../lib/plugin/sandbox.ts";
import { readLinkIfPresent } from "../../../lib/sys/files.ts";
import * as sys from "../../../lib/sys/sys.ts";
import type { Place } from "./journal.ts";

/**
 * The sandbox at `path`, or, where that path is gone or leads elsewhere, the same namespace by a process that is in it.
 * Undefined: it is gone. The caller closes it.
 */
export function findSandbox(path: string, place: Place): Sandbox | undefined {
	const sandbox = openIfSame(path, place);
	if (sandbox !== undefined) return sandbox;
	for (const pid of sys.readDirectory("/proc")) {
		if (!/^[0-9]+$/.test(pid)) continue;
		const link = `/proc/${pid}/ns/net`;
		// A process may end, or be nobody's to look at.
		if (sys.unlessFailed(() => readLinkIfPresent(link)) !== `net:[${place.netnsInode}]`) continue;
		const found = openIfSame(link, place);
		if (found !== undefined) return found;
	}
	return undefined;
}

function openIfSame(path: string, place: Place): Sandbox | undefined {
	const sandbox = Sandbox.openIfAlive(path);
	if (sandbox === undefined || isSame(sandbox, place)) return sandbox;
	sandbox[Symbol.dispose]();
	return undefined;
}

const isSame = (sandbox: Sandbox, { netnsIdentity, netnsInode }: Place): boolean =>
	netnsIdentity === "" ? inodeOf(sandbox) === netnsInode : sandbox.identity === netnsIdentity;

export const inodeOf = (sandbox: Sandbox): number => sys.fstat(sandbox.netns.fd).ino;

/** The interface, whatever it is called now; undefined where it has left, or another has its number. */
export function findLink(sandbox: Sandbox, place: Place): Link | undefined {
	const link = getLink(sandbox.route, place.linkIndex);
	return link?.mac === place.mac ? link : undefined;
}

/**
 * Takes `before` (address with prefix, and the routes that came with it) off the interface and puts `after` on it. What
 * is as it shall be already is no failure: it may have been done by a daemon that was killed before it could say so.
 * What the kernel refuses is told to `refused`, and the rest is done: a server's route by a gateway that is nowhere
 * must not cost the address.
 */
export function replaceOnInterface(
	sandbox: Sandbox,
	link: Link,
	before: CniResult | string | undefined,
	after: CniResult | undefined,
	refused: (reason: string) => void,
): void {
	const old = typeof before === "string" ? before : before?.ips?.[0]?.address;
	const fresh = after?.ips?.[0]?.address;
	const socket = sandbox.route;
	const attempt = (benign: string, change: () => void): void => {
		const error = sys.failureOf(change);
		if (error !== undefined && error.code !== benign) refused(error.message);
	};
	if (old !== undefined && old !== fresh) {
		attempt("EADDRNOTAVAIL", () => deleteAddress(socket, link.index, old));
	} else if (typeof before === "object") {
		const kept = new Set(after?.routes?.map((route) => JSON.stringify(route)));
		for (const route of before.routes ?? []) {
			if (kept.has(JSON.stringify(route))) continue;
			attempt("ESRCH", () => deleteRoute(socket, { ...route, linkIndex: link.index }));
		}
	}
	if (fresh === undefined) return;
	const make = ({ message, name }: Change): void => attempt("EEXIST", () => socket.change(message, name));
	make(newAddress(socket, link.index, fresh));
	for (const route of after?.routes ?? []) make(newRoute(socket, { ...route, linkIndex: link.index }));
	if (old !== fresh) sandbox.netns.run(() => announce(link, [{ address: fresh }]));
}
