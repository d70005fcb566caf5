/**
 * The daemon's socket: plugins that ask, a line each, and their answers.
 */
import { CniError, Code } from "../../../lib/cni/error.ts";
import { sentence } from "../../../lib/cni/failures.ts";
import { parseObject } from "../../../lib/cni/json.ts";
import type { CniResult } from "../../../lib/cni/types.ts";
import type { Loop } from "../../../lib/loop/loop.ts";
import * as sys from "../../../lib/sys/sys.ts";
import { peerUser } from "../../../lib/sys/unix-socket.ts";
import type { Waiter } from "./asking-lease.ts";
import type { Lease } from "./lease.ts";
import type { Leases } from "./leases.ts";
import { type Answer, Line, PROTOCOL, type Question } from "./protocol.ts";

/** More wait in the kernel's queue, and poll(2) need not look at them. */
const MOST_CLIENTS = 256;
/** A line of GC names every attachment of a node. */
const MAX_LINE = 1024 * 1024;
const CHUNK = 64 * 1024;
/** For a client to say what it wants, and to take its answer. */
const PATIENCE_MS = 10_000;
/** Go's net/rpc reads the status line, and shows it to the user. */
const TO_GO =
	"HTTP/1.0 400 this daemon is Berth's and does not speak Go's protocol: install Berth's dhcp plugin on this node as well\r\n\r\n";

export class Server {
	readonly fd: number;
	events: number = sys.POLLIN;
	readonly #loop: Loop;
	readonly #leases: Leases;
	#clients = 0;

	/** `fd`: a listening socket. */
	constructor(fd: number, loop: Loop, leases: Leases) {
		this.fd = fd;
		this.#loop = loop;
		this.#leases = leases;
		loop.watch(this);
	}

	/** All that wait: with one a turn, who comes last would wait for as many turns as there are ADDs before it. */
	onReady(): void {
		while (this.#clients < MOST_CLIENTS && sys.poll([this], 0)[0] !== 0) this.#accept();
		if (this.#clients >= MOST_CLIENTS) this.#loop.forget(this);
	}

	#accept(): void {
		const fd = sys.accept(this.fd);
		this.#clients++;
		new Client(fd, this.#loop, this.#leases, () => {
			if (this.#clients-- === MOST_CLIENTS) this.#loop.watch(this);
		});
	}
}

class Client implements Waiter {
	readonly fd: number;
	events: number = sys.POLLIN;
	dueMs = Infinity;
	readonly #loop: Loop;
	readonly #leases: Leases;
	readonly #closed: () => void;
	readonly #line = new Line();
	#unsent: Uint8Array | undefined;
	/** The lease that its ADD waits for. */
	#lease: Lease | undefined;
	#asked = false;

	constructor(fd: number, loop: Loop, leases: Leases, closed: () => void) {
		this.fd = fd;
		this.#loop = loop;
		this.#leases = leases;
		this.#closed = closed;
		loop.watch(this);
		loop.schedule(this, sys.boottimeMs() + PATIENCE_MS);
	}

	/** It has said nothing, or does not listen. */
	onDue(): void {
		this.#close();
	}

	onReady(): void {
		try {
			if (this.#unsent !== undefined) this.#sendRest();
			else this.#receive();
		} catch (error) {
			this.#close();
			if (!sys.isSystemError(error, "EPIPE", "ECONNRESET")) throw error;
		}
	}

	#receive(): void {
		const { data } = sys.receive(this.fd, CHUNK, sys.MSG_DONTWAIT);
		if (data.length === 0 || this.#line.length > MAX_LINE) {
			// Whoever waits for an address that is to come has gone.
			this.#close();
			return;
		}
		if (this.#asked) return;
		const line = this.#line.add(data);
		if (line === undefined) return;
		this.#asked = true;
		this.#loop.schedule(this, Infinity);
		this.#hear(line);
	}

	#hear(line: string): void {
		if (line.startsWith("CONNECT ")) {
			this.#send(TO_GO);
			return;
		}
		try {
			const user = peerUser(this.fd);
			if (user !== 0)
				throw new CniError(Code.invalidEnvironment, `only root may ask the DHCP daemon, not user ${user}`);
			const question = readQuestion(line);
			if (question.method === "add") {
				this.#lease = this.#leases.add(question.spec, this);
				return;
			}
			this.#answer({ result: this.#perform(question) });
		} catch (error) {
			if (!(error instanceof CniError) && !sys.isSystemError(error)) {
				this.#answer({ error: { code: Code.internal, message: sentence(error), details: "" } });
				throw error;
			}
			const { code, message, details } = error instanceof CniError ? error : new CniError(Code.io, error.message);
			this.#answer({ error: { code, message, details } });
		}
	}

	#perform(question: Exclude<Question, { method: "add" }>): unknown {
		switch (question.method) {
			case "del":
				this.#leases.del(question.attachment);
				return null;
			case "check":
				return this.#leases.check(question.attachment, question.family);
			case "gc":
				this.#leases.gc(question.network, question.valid);
				return null;
			case "status":
				return null;
			case "list":
				return this.#leases.list();
			default:
				throw new CniError(Code.internal, `the DHCP daemon knows no "${(question as { method: unknown }).method}"`);
		}
	}

	succeed(result: CniResult): void {
		this.#lease = undefined;
		this.#answer({ result });
	}

	fail(reason: string): void {
		this.#lease = undefined;
		this.#answer({ error: { code: Code.tryAgain, message: `error calling DHCP.Allocate: ${reason}`, details: "" } });
	}

	#answer(answer: Answer): void {
		this.#send(`${JSON.stringify({ protocol: PROTOCOL, ...answer })}\n`);
	}

	#send(text: string): void {
		this.#unsent = sys.encodeUtf8(text);
		this.events = sys.POLLOUT;
		this.#loop.schedule(this, sys.boottimeMs() + PATIENCE_MS);
		this.#sendRest();
	}

	#sendRest(): void {
		while (this.#unsent !== undefined && this.#unsent.length > 0) {
			try {
				this.#unsent = this.#unsent.subarray(sys.send(this.fd, this.#unsent, sys.MSG_DONTWAIT));
			} catch (error) {
				if (sys.isSystemError(error, "EAGAIN")) return;
				if (!sys.isSystemError(error, "EPIPE", "ECONNRESET")) throw error;
				break;
			}
		}
		this.#close();
	}

	#close(): void {
		if (this.events === 0) return;
		this.events = 0;
		this.#loop.forget(this);
		this.#loop.schedule(this, Infinity);
		sys.discard(this.fd);
		this.#closed();
		const lease = this.#lease;
		this.#lease = undefined;
		lease?.abandon();
	}
}

/** Throws CniError for what is none, or is of another release. */
function readQuestion(line: string): Question {
	const question = parseObject(line);
	const theirs = question?.protocol;
	if (theirs === PROTOCOL) return question as unknown as Question;
	throw new CniError(
		Code.incompatibleVersion,
		theirs === undefined
			? "the DHCP daemon does not understand the question: it wants a line of JSON with a protocol in it"
			: `the DHCP daemon speaks protocol ${PROTOCOL}, the plugin ${theirs}: install both of one release`,
	);
}
