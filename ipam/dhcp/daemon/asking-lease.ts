/**
 * What a lease asks of servers: its messages, when they are repeated, and the sockets that they go through.
 */
import type { CniResult } from "../../../lib/cni/types.ts";
import type { Link } from "../../../lib/netlink/link.ts";
import type { Sandbox } from "../../../lib/plugin/sandbox.ts";
import * as sys from "../../../lib/sys/sys.ts";
import { u32At } from "../wire/bytes.ts";
import type { ExchangeSockets } from "./exchange.ts";
import type { Binding, Given } from "./journal.ts";
import { KeptLease } from "./kept-lease.ts";

/**
 * `waiting`: for a carrier. `selecting`: DISCOVER is out. `requesting`: REQUEST is out, for an offer or for an address
 * that we had. `probing`: the server gave it, and the link is asked whether somebody has it. Then as in the RFC.
 */
type State = "waiting" | "selecting" | "requesting" | "probing" | "bound" | "renewing" | "rebinding";

/** Who waits for the address: the client of an ADD. */
export interface Waiter {
	succeed(result: CniResult): void;
	fail(reason: string): void;
}

/**
 * The first repetition of a message; then twice as long each time. RFC 2131 says 4 s, where a LAN answers in
 * milliseconds.
 */
export const FIRST_REPEAT_MS = 2000;
/** While nobody waits for it, the sockets of an exchange stay open this long after each message. */
const LISTEN_MS = 10_000;
/** RFC 2131, section 4.4.5, has a minute; a lease can be shorter than that. */
const LEAST_REPEAT_MS = 4000;
export const NO_ANSWER = "no DHCP server answered";

/** What leases of both families do with their sockets. */
export type AnyExchange = Pick<ExchangeSockets<never>, "close" | "probe" | "probeAgain" | "endProbe">;

export abstract class AskingLease<E extends AnyExchange> extends KeptLease {
	dueMs = Infinity;
	state: State = "waiting";
	protected waiter: Waiter | undefined;
	/** When its ADD gives up. */
	protected giveUpMs = Infinity;
	/** Why there is no address yet, for the one who waits. */
	protected trouble = NO_ANSWER;
	/** Open while an answer is awaited. */
	protected exchange: E | undefined;
	protected xid = 0;
	protected beganMs = 0;
	protected sentMs = 0;
	protected repeatMs = FIRST_REPEAT_MS;
	/** Messages of this exchange that were to renew. */
	protected attempts = 0;
	/** When the next message is due; the task may be due before it, to close the sockets. */
	protected nextMs = 0;

	abstract onDue(): void;

	protected abstract makeExchange(sandbox: Sandbox, link: Link): E;
	/** Each of these sends one message. */
	protected abstract sendDiscover(exchange: E): void;
	protected abstract send(what: "request" | "decline" | "release", exchange: E, given: Given): void;
	protected abstract sendRenewal(exchange: E, sandbox: Sandbox, link: Link, binding: Binding): void;

	/** A new exchange begins: another transaction, the first interval. */
	protected start(state: State): void {
		this.state = state;
		this.xid = u32At(sys.random(4));
		this.beganMs = sys.boottimeMs();
		this.repeatMs = FIRST_REPEAT_MS;
		this.attempts = 0;
	}

	/** The same, from DISCOVER on; after one that came to nothing the intervals stay as long as they have become. */
	protected startSelecting(): void {
		this.exchange?.endProbe();
		const isAgain = this.state === "selecting" || this.state === "requesting" || this.state === "probing";
		const before = this.repeatMs;
		this.start("selecting");
		if (isAgain) this.repeatMs = before;
	}

	/** DISCOVER or REQUEST, to every server; the next time twice as late, give or take a tenth. */
	protected ask(sandbox: Sandbox, link: Link): void {
		const now = sys.boottimeMs();
		this.sentMs = now;
		const error = sys.failureOf(() => {
			const exchange = this.open(sandbox, link);
			if (this.state === "selecting") this.sendDiscover(exchange);
			else this.send("request", exchange, this.record.wanted!);
		});
		if (error !== undefined) this.trouble = error.message;
		this.nextMs = now + this.repeatMs * (0.9 + sys.random(1)[0]! / 1280);
		this.repeatMs = Math.min(this.repeatMs * 2, this.around.settings.resendMaxMs);
		this.schedule(Math.min(this.nextMs, this.waiter === undefined ? now + LISTEN_MS : this.giveUpMs));
	}

	/** RENEWING asks the server, REBINDING everyone. */
	protected renew(sandbox: Sandbox, link: Link, now: number): void {
		const binding = this.record.binding!;
		const { address, server, rebindAt, expireAt } = binding;
		if (this.state === "renewing" && now >= at(rebindAt)) {
			this.start("rebinding");
			this.log(`${server} does not answer: asking every server`, { address });
		}
		const exchange = this.open(sandbox, link);
		this.sentMs = now;
		this.attempts++;
		const error = sys.failureOf(() => this.sendRenewal(exchange, sandbox, link, binding));
		if (error !== undefined) this.log(`cannot be renewed yet: ${error.message}`, { address });
		const until = this.state === "renewing" ? at(rebindAt) : at(expireAt);
		// A message that is lost is no reason to wait for hours.
		const pause = this.attempts === 1 ? LEAST_REPEAT_MS : Math.max((until - now) / 2, LEAST_REPEAT_MS);
		this.nextMs = Math.min(until, now + pause);
		this.schedule(Math.min(this.nextMs, now + LISTEN_MS));
	}

	protected open(sandbox: Sandbox, link: Link): E {
		this.exchange ??= this.makeExchange(sandbox, link);
		return this.exchange;
	}

	protected close(): void {
		this.exchange?.close();
		this.exchange = undefined;
	}

	protected schedule(dueMs: number): void {
		this.around.loop.schedule(this, dueMs);
	}
}

/** A time of a binding. */
export const at = (ms: number | null): number => ms ?? Infinity;
