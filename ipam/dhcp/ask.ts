/**
 * Asks the daemon.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { isObject, parseObject } from "../../lib/cni/json.ts";
import * as sys from "../../lib/sys/sys.ts";
import { unixAddress } from "../../lib/sys/unix-socket.ts";
import { invalidConfig } from "../fields.ts";
import { Line, PROTOCOL, type Question } from "./daemon/protocol.ts";

/** For all but ADD: the daemon answers from memory. */
export const QUICK_MS = 5000;
/** For ADD: as long as the kubelet gives a pod. The daemon's `-resendtimeout` ends it before. */
export const ADD_MS = 240_000;
const CHUNK = 64 * 1024;

/**
 * There is no daemon that could do it: none at all, one that does not answer or ended before it did (Go's words where
 * it has any), another's.
 */
export class NoDaemonError extends CniError {}

/**
 * The daemon's answer. Throws what it says against the question, and NoDaemonError: code 11, or 1 where what listens is
 * not of this release.
 */
export function ask(socketPath: string, question: Question, deadlineMs: number): unknown {
	const line = exchange(socketPath, `${JSON.stringify({ protocol: PROTOCOL, ...question })}\n`, deadlineMs);
	if (line.startsWith("HTTP/")) {
		throw new NoDaemonError(
			Code.incompatibleVersion,
			`the DHCP daemon at ${socketPath} is the Go plugin's, which speaks another language: run "dhcp daemon" of Berth instead`,
		);
	}
	const answer = parseObject(line);
	if (answer?.protocol !== PROTOCOL) {
		throw new NoDaemonError(
			Code.incompatibleVersion,
			`what listens at ${socketPath} is no DHCP daemon of this release (protocol ${PROTOCOL}): install plugin and daemon of one release`,
		);
	}
	const { error } = answer;
	if (!isObject(error)) return answer.result;
	const code = Number(error.code);
	const Kind = code === Code.incompatibleVersion ? NoDaemonError : CniError;
	throw new Kind(code, String(error.message), String(error.details));
}

function exchange(socketPath: string, line: string, deadlineMs: number): string {
	const address = unixAddress(socketPath);
	if (address === undefined) {
		throw invalidConfig(`ipam.daemonSocketPath is too long for a socket, 107 bytes is the most: ${socketPath}`);
	}
	const fd = sys.socket(sys.AF_UNIX, sys.SOCK_STREAM, 0);
	try {
		attempt(`error dialing DHCP daemon: dial unix ${socketPath}: connect`, () => sys.connect(fd, address));
		return attempt(`the DHCP daemon at ${socketPath} did not answer`, () => {
			let unsent = sys.encodeUtf8(line);
			while (unsent.length > 0) unsent = unsent.subarray(sys.send(fd, unsent, 0));
			return receiveLine(fd, socketPath, deadlineMs);
		});
	} finally {
		sys.discard(fd);
	}
}

function attempt<T>(what: string, call: () => T): T {
	try {
		return call();
	} catch (error) {
		if (!sys.isSystemError(error)) throw error;
		throw new NoDaemonError(Code.tryAgain, `${what}: ${error.message.slice(error.call.length + 2)}`);
	}
}

/** Of an HTTP answer the first. */
function receiveLine(fd: number, socketPath: string, deadlineMs: number): string {
	const end = sys.monotonicMs() + deadlineMs;
	const line = new Line();
	for (;;) {
		const left = end - sys.monotonicMs();
		if (left <= 0 || sys.poll([{ fd, events: sys.POLLIN }], Math.ceil(left))[0] === 0) {
			throw new NoDaemonError(
				Code.tryAgain,
				`the DHCP daemon at ${socketPath} did not answer within ${deadlineMs / 1000} s`,
			);
		}
		const data = sys.read(fd, CHUNK);
		if (data.length === 0) {
			throw new NoDaemonError(Code.tryAgain, `the DHCP daemon at ${socketPath} ended before it answered`);
		}
		const text = line.add(data);
		if (text !== undefined) return text;
	}
}
