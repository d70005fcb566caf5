/**
 * TCP connections that are waited for no longer than there is time.
 */
import type { Ip } from "../ip/address.ts";
import { familyNumber, socketAddress } from "../ip/socket-address.ts";
import * as sys from "../sys/sys.ts";

/** netinet/in.h, netinet/tcp.h */
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;

/** Time until `deadline`, a time of `sys.monotonicMs()`. */
export const timeLeft = (deadline: number): number => Math.max(0, deadline - sys.monotonicMs());

/** A connected non-blocking socket; undefined: nobody answered before the deadline. Throws SystemError. */
export function connectTcp(ip: Ip, port: number, deadline: number): number | undefined {
	const address = socketAddress(ip, port);
	const fd = sys.socket(familyNumber(ip), sys.SOCK_STREAM | sys.SOCK_NONBLOCK, 0);
	let isConnected = false;
	try {
		// What is sent is sent whole: nothing is to be gained by waiting for more.
		sys.setSocketOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
		isConnected = tryConnect(fd, address);
		if (!isConnected) {
			sys.poll([{ fd, events: sys.POLLOUT }], timeLeft(deadline));
			isConnected = tryConnect(fd, address);
		}
	} finally {
		if (!isConnected) sys.discard(fd);
	}
	return isConnected ? fd : undefined;
}

/** connect(2) again tells what became of the first one: 0 or the error, or that it is still under way. */
function tryConnect(fd: number, address: Uint8Array): boolean {
	return sys.failureOf(() => sys.connect(fd, address), "EINPROGRESS", "EALREADY") === undefined;
}
