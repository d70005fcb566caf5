/**
 * Asks one nameserver for the addresses of a name: over UDP, and over TCP what does not fit.
 */
import type { Ip } from "../ip/address.ts";
import { familyNumber, socketAddress } from "../ip/socket-address.ts";
import * as sys from "../sys/sys.ts";
import { type Answer, type Question, readAnswer, renderQuestion, TYPE_A, TYPE_AAAA } from "./dns-message.ts";
import { connectTcp, timeLeft } from "./tcp.ts";

const PORT = 53;
/** Without EDNS no answer over UDP is longer than 512 bytes; what a server sends all the same is read. */
const MOST = 4096;

/**
 * The answers for IPv4 and IPv6 that came before the deadline: both, one or none. Throws SystemError, ECONNREFUSED
 * where nothing listens.
 *
 * The socket is connected, so that the kernel drops what another address sends; it has a port of its own at random, as
 * the questions have their ids.
 */
export function ask(server: Ip, name: string, deadline: number): Answer[] {
	const fd = sys.socket(familyNumber(server), sys.SOCK_DGRAM | sys.SOCK_NONBLOCK, 0);
	try {
		sys.connect(fd, socketAddress(server, PORT));
		const [first = 0, second = 0, third = 0] = sys.random(3);
		const id = first * 256 + second;
		// Never the same for both: how far they are apart is 1 to 256.
		const open = new Set<Question>([
			{ id, name, type: TYPE_A },
			{ id: (id + 1 + third) & 0xffff, name, type: TYPE_AAAA },
		]);
		for (const question of open) sys.send(fd, renderQuestion(question), 0);
		const answers: Answer[] = [];
		while (open.size > 0) {
			if (sys.poll([{ fd, events: sys.POLLIN }], timeLeft(deadline))[0] === 0) break;
			// A datagram with a wrong checksum wakes us up, and is gone.
			const message = sys.unlessFailed(() => sys.receive(fd, MOST, 0).data, "EAGAIN");
			for (const question of open) {
				const answer = message && readAnswer(message, question);
				if (answer === undefined) continue;
				open.delete(question);
				const whole = answer.isTruncated ? askOverTcp(server, question, deadline) : answer;
				if (whole !== undefined) answers.push(whole);
			}
		}
		return answers;
	} finally {
		sys.discard(fd);
	}
}

/** Each message has its length before it: RFC 1035, section 4.2.2. */
function askOverTcp(server: Ip, question: Question, deadline: number): Answer | undefined {
	const fd = connectTcp(server, PORT, deadline);
	if (fd === undefined) return undefined;
	try {
		const message = renderQuestion(question);
		// A new connection has room for so little.
		sys.send(fd, Uint8Array.of(message.length >> 8, message.length & 0xff, ...message), 0);
		const [high = 0, low = 0] = receiveAll(fd, 2, deadline) ?? [];
		const answer = receiveAll(fd, high * 256 + low, deadline);
		return answer && readAnswer(answer, question);
	} finally {
		sys.discard(fd);
	}
}

/** Undefined where the connection or the time ends before. */
function receiveAll(fd: number, length: number, deadline: number): Uint8Array | undefined {
	const bytes = new Uint8Array(length);
	for (let at = 0; at < length; ) {
		if (sys.poll([{ fd, events: sys.POLLIN }], timeLeft(deadline))[0] === 0) return undefined;
		const { data } = sys.receive(fd, length - at, 0);
		if (data.length === 0) return undefined;
		bytes.set(data, at);
		at += data.length;
	}
	return bytes;
}
