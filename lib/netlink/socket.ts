/**
 * Netlink sockets: one request, one answer. Serves every family (route, RDMA).
 *
 * System calls: one to open, one before the first request (NETLINK_EXT_ACK), two per request (send, receive). There is
 * no bind(2): the kernel binds an unbound socket at its first send. NETLINK_CAP_ACK is not asked for: a refused request
 * comes back in full, and it is small.
 */
import { concatenate } from "../sys/bytes.ts";
import * as sys from "../sys/sys.ts";
import * as nl from "./constants.ts";
import { NetlinkError, type RequestName } from "./error.ts";
import { Message, type MessageWriter } from "./message.ts";

/** A change that is still to be sent: see `NetlinkSocket.changeAll`. */
export interface Change {
	/** With NLM_F_ACK in its flags. */
	readonly message: MessageWriter;
	readonly name: RequestName;
}

/**
 * Room for one datagram. A dump comes in pieces of at most 32 KiB; the one big answer is RTM_GETLINK of a PF with all
 * its VFs, and there the list of VFs is one attribute, which cannot exceed 64 KiB.
 */
const RECEIVE_BYTES = 128 * 1024;
const DEADLINE_MS = 5000;
/** How often a dump is started that the kernel calls inconsistent because something changed meanwhile. */
const DUMP_TRIES = 5;
const EVENTS_AT_ONCE = 100;

/** What an answer of a dump says: of one object, of several, or of none that is wanted. */
type Parse<T> = (answer: Message) => T | T[] | undefined;

/** A netlink socket in the network namespace that is current when it is opened; it stays there. */
export class NetlinkSocket {
	readonly fd: number;
	/** Names of links by index as last seen through this socket: errors name the link. */
	readonly linkNames = new Map<number, string>();
	private sequence = 0;
	private answers: Message | undefined;
	private prepared = false;
	private strict = false;

	private constructor(fd: number) {
		this.fd = fd;
	}

	/** Opens a socket. Throws SystemError (EPROTONOSUPPORT: the kernel lacks this family). */
	static open(protocol: number): NetlinkSocket {
		return new NetlinkSocket(sys.socket(sys.AF_NETLINK, sys.SOCK_RAW, protocol));
	}

	/**
	 * Opens a socket that hears of changes: `groups` is the bit mask of `struct sockaddr_nl` (RTMGRP_LINK = 1, ...).
	 */
	static subscribe(protocol: number, groups: number): NetlinkSocket {
		// struct sockaddr_nl: family, padding, port (0: the kernel chooses), groups; in the byte order of the host.
		const address = new Uint8Array(12);
		new Uint16Array(address.buffer)[0] = sys.AF_NETLINK;
		new Uint32Array(address.buffer)[2] = groups;
		const { fd } = NetlinkSocket.open(protocol);
		return new NetlinkSocket(sys.prepared(fd, () => sys.bind(fd, address)));
	}

	close(): void {
		sys.discard(this.fd);
	}

	[Symbol.dispose](): void {
		this.close();
	}

	/** Before the first request: some sockets only show which namespace they are in. */
	private prepare(): void {
		if (this.prepared) return;
		this.setOption(nl.NETLINK_EXT_ACK);
		this.prepared = true;
	}

	/**
	 * Kernels before 4.12 and 4.20 do not know these options; all that we lose is words in errors, and filters that we
	 * repeat.
	 */
	private setOption(option: number): void {
		try {
			sys.setSocketOption(this.fd, nl.SOL_NETLINK, option, 1);
		} catch (error) {
			if (sys.isSystemError(error, "ENOPROTOOPT")) return;
			this.close();
			throw error;
		}
	}

	/** Sends a change (with NLM_F_ACK in its flags) and waits for the acknowledgement. Throws NetlinkError. */
	change(message: MessageWriter, name: RequestName): void {
		const sent = this.send(message);
		let answer = this.next(name, sent);
		while (answer.type !== nl.NLMSG_ERROR) answer = this.next(name, sent);
		const refused = refusalOf(answer, name);
		if (refused !== undefined) throw refused;
	}

	/**
	 * Sends changes in one datagram, which the kernel makes one after the other. The last one alone is acknowledged,
	 * since refusals are answered in any case. Returns the first refusal: those after it have been tried all the same.
	 */
	changeAll(changes: readonly Change[]): { readonly index: number; readonly error: NetlinkError } | undefined {
		const last = changes.at(-1);
		if (last === undefined) return undefined;
		const first = this.send(last.message, changes.length === 1 ? undefined : changes.slice(0, -1));
		let refused: { readonly index: number; readonly error: NetlinkError } | undefined;
		for (;;) {
			const answer = this.next(last.name, first);
			if (answer.type !== nl.NLMSG_ERROR) continue;
			const index = answer.sequence - first;
			const error = refusalOf(answer, changes[index]!.name);
			if (error !== undefined) refused ??= { index, error };
			if (answer.sequence === this.sequence) return refused;
		}
	}

	/**
	 * Sends a question for one object (without NLM_F_ACK) and gives the answer. `before` is a change to be made before,
	 * in the same datagram. Throws NetlinkError.
	 */
	get(message: MessageWriter, name: RequestName, before?: Change): Message {
		const first = this.send(message, before && [before]);
		let refused: NetlinkError | undefined;
		for (;;) {
			const answer = this.next(name, first);
			const isLast = answer.sequence === this.sequence;
			if (answer.type === nl.NLMSG_ERROR) refused ??= refusalOf(answer, isLast ? name : before!.name);
			if (!isLast) continue;
			if (refused !== undefined) throw refused;
			if (answer.type === nl.NLMSG_ERROR) continue;
			// It is the caller's now, who may read it after other requests.
			this.answers = undefined;
			return answer;
		}
	}

	/**
	 * Sends a question for many objects (NLM_F_DUMP in its flags). Each answer goes through `parse`; undefined leaves
	 * it out, a list is taken apart. A dump during which something changed (NLM_F_DUMP_INTR) is made again, up to 5
	 * times in all; then EAGAIN. `again` is called before: what `parse` has kept for itself is to be forgotten.
	 */
	dump<T>(message: MessageWriter, name: RequestName, parse: Parse<T>, again?: () => void): T[] {
		this.prepare();
		if (!this.strict) {
			// The kernel then filters by what the request's header says, instead of sending all and ignoring it.
			this.setOption(nl.NETLINK_GET_STRICT_CHK);
			this.strict = true;
		}
		for (let attempt = 0; attempt < DUMP_TRIES; attempt++) {
			const found: T[] = [];
			if (attempt > 0) again?.();
			if (this.dumpOnce(message, name, parse, found)) return found;
		}
		throw new NetlinkError(name, sys.EAGAIN, "", `the list kept changing while it was read, ${DUMP_TRIES} times`);
	}

	/** False: interrupted. Reads to the end in any case, so that the next request starts with an empty queue. */
	private dumpOnce<T>(message: MessageWriter, name: RequestName, parse: Parse<T>, found: T[]): boolean {
		const first = this.send(message);
		let whole = true;
		for (;;) {
			const answer = this.next(name, first);
			if ((answer.flags & nl.NLM_F_DUMP_INTR) !== 0) whole = false;
			if (answer.type === nl.NLMSG_DONE || answer.type === nl.NLMSG_ERROR) {
				// The error of a dump that failed in its middle is in the final message.
				const error = answer.length < 4 ? undefined : refusalOf(answer, name);
				if (error !== undefined) throw error;
				return whole;
			}
			const value = parse(answer);
			if (Array.isArray(value)) found.push(...value);
			else if (value !== undefined) found.push(value);
		}
	}

	/**
	 * Waits until the kernel reports a change on a subscribed socket, then empties the queue (up to a bound: where
	 * events keep pouring in, the caller shall look at its clock). False: nothing within `timeoutMs`. What changed is
	 * not told: ask. (Events can be lost, so they are only a reason to look.)
	 */
	waitForEvent(timeoutMs: number): boolean {
		const [events] = sys.poll([{ fd: this.fd, events: sys.POLLIN }], timeoutMs);
		if (events === 0) return false;
		for (let event = 0; event < EVENTS_AT_ONCE; event++) {
			try {
				sys.receive(this.fd, 1, sys.MSG_DONTWAIT | sys.MSG_TRUNC);
			} catch (error) {
				if (sys.isSystemError(error, "EAGAIN")) return true;
				if (!sys.isSystemError(error, "ENOBUFS")) throw error;
			}
		}
		return true;
	}

	/** The changes before it have the sequence numbers below that of `message`. Returns the first. */
	private send(message: MessageWriter, before?: readonly Change[]): number {
		this.prepare();
		const first = this.sequence + 1;
		const parts = before?.map((change) => change.message.finish(++this.sequence, true));
		const end = message.finish(++this.sequence);
		// The length of each is a multiple of 4 (NLMSG_ALIGN), since all of its parts are.
		sys.send(this.fd, parts === undefined ? end : concatenate([...parts, end]), 0);
		return first;
	}

	/** The next message that answers what was sent last, from `first` on: others answer what was given up. */
	private next(name: RequestName, first: number): Message {
		for (;;) {
			while (!this.answers?.next()) this.answers = this.receive(name);
			const { sequence, type } = this.answers;
			if (sequence >= first && sequence <= this.sequence && type !== nl.NLMSG_NOOP) return this.answers;
		}
	}

	private receive(name: RequestName): Message {
		const { data, length } = this.receiveDatagram(name);
		if (length > data.length) {
			throw new NetlinkError(name, sys.EMSGSIZE, "", `the answer has ${length} bytes, our buffer ${data.length}`);
		}
		return new Message(data);
	}

	/** The kernel answers within send(2), so that the answer is nearly always there and no poll(2) is needed. */
	private receiveDatagram(name: RequestName): { data: Uint8Array; length: number } {
		let deadline = 0;
		for (;;) {
			try {
				const received = sys.receive(this.fd, RECEIVE_BYTES, sys.MSG_DONTWAIT | sys.MSG_TRUNC);
				if (isFromKernel(received.address)) return received;
				continue;
			} catch (error) {
				if (!sys.isSystemError(error, "EAGAIN")) throw error;
			}
			const now = sys.monotonicMs();
			if (deadline === 0) deadline = now + DEADLINE_MS;
			if (now >= deadline) {
				const text = `no answer from the kernel within ${DEADLINE_MS / 1000} s`;
				throw new NetlinkError(name, sys.ETIMEDOUT, "", text);
			}
			sys.poll([{ fd: this.fd, events: sys.POLLIN }], Math.ceil(deadline - now));
		}
	}
}

/** Port 0 in the sender's `struct sockaddr_nl`: another process may write to our port, too. */
function isFromKernel(address: Uint8Array): boolean {
	return address[4] === 0 && address[5] === 0 && address[6] === 0 && address[7] === 0;
}

/** What an NLMSG_ERROR or NLMSG_DONE message says, if it is an error; errno 0 is an acknowledgement. */
function refusalOf(answer: Message, name: RequestName): NetlinkError | undefined {
	const errno = -answer.i32(0);
	return errno <= 0 ? undefined : new NetlinkError(name, errno, kernelMessage(answer));
}

/**
 * The text of the extended acknowledgement. It follows the error number (NLMSG_DONE), or the error number and the
 * header of the refused request (NLMSG_ERROR), and, without NLM_F_CAPPED, the rest of that request.
 */
function kernelMessage(answer: Message): string {
	if ((answer.flags & nl.NLM_F_ACK_TLVS) === 0) return "";
	let skip = 4;
	if (answer.type === nl.NLMSG_ERROR) skip += (answer.flags & nl.NLM_F_CAPPED) !== 0 ? nl.NLMSG_HDRLEN : answer.u32(4);
	const attribute = answer.attributes(skip);
	while (attribute.next()) if (attribute.type === nl.NLMSGERR_ATTR_MSG) return attribute.text();
	return "";
}
