/**
 * Numbers of other namespaces in our own, and the events of all of them on one socket. A number keeps no namespace
 * alive.
 *
 * Wire format: linux/net_namespace.h, RTM_NEWNSID with `struct rtgenmsg`.
 */
import * as sys from "../sys/sys.ts";
import * as nl from "./constants.ts";
import { Message, MessageWriter } from "./message.ts";
import { NetlinkSocket } from "./socket.ts";

/** linux/net_namespace.h; NETNSA_NSID_NOT_ASSIGNED asks the kernel to choose. */
const NETNSA_NSID = 1;
const NETNSA_FD = 3;
const NOT_ASSIGNED = -1;

/** A datagram of events: the kernel's largest is a page, or what one interface takes. */
const MAX_EVENT = 64 * 1024;

/**
 * Gives the namespace of `fd` a number in the current one, where it has none. Equivalent: `ip netns set NAME auto`.
 * Throws NetlinkError.
 */
export function assignNumber(socket: NetlinkSocket, fd: number): void {
	const message = new MessageWriter(nl.RTM_NEWNSID, nl.NLM_F_ACK).u8(0).zeros(3);
	message.attributeU32(NETNSA_NSID, NOT_ASSIGNED).attributeU32(NETNSA_FD, fd);
	sys.failureOf(() => socket.change(message, { request: "RTM_NEWNSID", subject: "" }), "EEXIST");
}

/** Opens a socket that hears when an interface leaves a numbered namespace, and when such a namespace ends. */
export function watchNamespaces(): NetlinkSocket {
	const socket = NetlinkSocket.subscribe(nl.NETLINK_ROUTE, nl.RTMGRP_LINK | nl.RTMGRP_NSID);
	sys.prepared(socket.fd, () => sys.setSocketOption(socket.fd, nl.SOL_NETLINK, nl.NETLINK_LISTEN_ALL_NSID, 1));
	return socket;
}

/**
 * What has gone: interfaces by their numbers (whose namespace is not told), or anything: a namespace has ended, or
 * events were lost.
 */
export function readGone(socket: NetlinkSocket): { readonly links: number[]; readonly anything: boolean } {
	const links: number[] = [];
	let anything = false;
	for (;;) {
		let data: Uint8Array;
		try {
			data = sys.receive(socket.fd, MAX_EVENT, sys.MSG_DONTWAIT).data;
		} catch (error) {
			if (sys.isSystemError(error, "EAGAIN")) return { links, anything };
			if (!sys.isSystemError(error, "ENOBUFS")) throw error;
			anything = true;
			continue;
		}
		const message = new Message(data);
		while (message.next()) {
			if (message.type === nl.RTM_DELLINK) links.push(message.i32(4));
			else if (message.type === nl.RTM_DELNSID) anything = true;
		}
	}
}
