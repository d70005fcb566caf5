/**
 * One lease of one attachment: the client of RFC 2131, section 4.4, and of RFC 8415, section 18.2, in what they have in
 * common, which is all but the messages.
 */
import type { CniResult } from "../../../lib/cni/types.ts";
import { formatMac, type Mac } from "../../../lib/ip/mac.ts";
import type { Loop } from "../../../lib/loop/loop.ts";
import type { Link } from "../../../lib/netlink/link.ts";
import { setLink } from "../../../lib/netlink/link-change.ts";
import type { Sandbox } from "../../../lib/plugin/sandbox.ts";
import * as sys from "../../../lib/sys/sys.ts";
import type { Binding } from "./journal.ts";
import { type Given, type Keeping, KeptLease } from "./kept-lease.ts";

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

/** Times in milliseconds. */
export interface Settings {
	/** Before every path of a sandbox. */
	readonly hostPrefix: string;
	readonly broadcast: boolean;
	/** For a carrier, and for the answer to a REQUEST. */
	readonly timeoutMs: number;
	/** Longest pause between repetitions. */
	readonly resendMaxMs: number;
	/** For all of an ADD. */
	readonly resendTimeoutMs: number;
}

/** What a lease needs of the daemon. */
export interface Surroundings extends Keeping {
	readonly settings: Settings;
	readonly loop: Loop;
	/** Hears from now on when an interface leaves this sandbox. */
	watch(sandbox: Sandbox): void;
	malformed(): void;
	/** The interface is gone, and the lease with it. */
	vanished(lease: Lease): void;
	/** No address within the time of an ADD. */
	failed(lease: Lease, why: string): void;
}

/**
 * The first repetition of a message; then twice as long each time. RFC 2131 says 4 s, where a LAN answers in
 * milliseconds.
 */
const FIRST_REPEAT_MS = 2000;
/** While nobody waits for it, the sockets of an exchange stay open this long after each message. */
const LISTEN_MS = 10_000;
/** RFC 2131, section 4.4.5, has a minute; a lease can be shorter than that. */
const LEAST_REPEAT_MS = 4000;
/**
 * How long somebody who has the address has to say so. He is on the same link, and is asked for the first time before
 * the REQUEST.
 */
const PROBE_MS = 100;
const NO_ANSWER = "no DHCP server answered";
const CARRIER_LOOK_MS = 100;
/** Times that no server means, and that would keep us and it busy. */
const LEAST_LEASE_MS = 5000;

/** The sockets that messages go through: open while an answer is awaited. */
interface AnyExchange {
	close(): void;
	/** Asks who has `address`, again with `probeAgain`. */
	probe(sandbox: Sandbox, address: string): void;
	probeAgain(): void;
	endProbe(): void;
}

/** What a server gives. Times in milliseconds from now on. */
interface Terms extends Given {
	readonly options: string;
	readonly leaseMs: number;
	readonly renewMs: number;
	readonly rebindMs: number;
}

export abstract class Lease<E extends AnyExchange = AnyExchange> extends KeptLease<Surroundings> {
	dueMs = Infinity;
	state: State = "waiting";
	protected waiter: Waiter | undefined;
	protected exchange: E | undefined;
	protected xid = 0;
	protected beganMs = 0;
	protected sentMs = 0;
	protected repeatMs = FIRST_REPEAT_MS;
	/** Messages of this exchange that were to renew. */
	protected attempts = 0;
	/** When the next message is due; the task may be due before it, to close the sockets. */
	protected nextMs = 0;
	/** When an ADD gives up, and when a REQUEST does. */
	protected giveUpMs = Infinity;
	protected giveUpRequestMs = 0;
	protected acked: Binding | undefined;
	/** Why there is no address yet, for the one who waits. */
	protected trouble = NO_ANSWER;

	get address(): string | undefined {
		return this.binding?.address ?? this.acked?.address;
	}

	// --- what is of one family

	protected abstract makeExchange(sandbox: Sandbox, link: Link): E;
	/** What has to be so before the interface can be used at all. */
	protected prepare(_sandbox: Sandbox, _link: Link): void {}
	/** Why nothing can be sent yet. */
	protected notReady(_sandbox: Sandbox, link: Link): string | undefined {
		return link.up && link.running ? undefined : `"${link.name}" has no carrier`;
	}
	/** Each of these sends one message. */
	protected abstract sendDiscover(exchange: E): void;
	protected abstract sendRequest(exchange: E, offer: Given): void;
	protected abstract sendRenewal(exchange: E, sandbox: Sandbox, link: Link, binding: Binding): void;
	protected abstract sendRelease(exchange: E, given: Given): void;
	protected abstract sendDecline(exchange: E, given: Given): void;

	// --- the beginning

	/** Begins for an ADD that waits: the interface up, its carrier awaited for as long as `-timeout` says. */
	begin(sandbox: Sandbox, link: Link, waiter: Waiter): void {
		const now = sys.boottimeMs();
		this.waiter = waiter;
		this.giveUpMs = now + this.around.settings.resendTimeoutMs;
		this.nextMs = now + this.around.settings.timeoutMs;
		this.prepare(sandbox, link);
		if (!link.up) setLink(sandbox.route, link.index, { up: true });
		if (this.notReady(sandbox, link) === undefined) this.discover(sandbox, link);
		else this.schedule(now + CARRIER_LOOK_MS);
	}

	/** Goes on where a daemon before us ended. False: the interface is gone. */
	resume(): boolean {
		return this.inPlace((sandbox, link) => {
			this.around.watch(sandbox);
			if (this.replaces !== undefined) this.replace(sandbox, link, this.replaces, this.result());
			const { binding } = this;
			if (binding === undefined) {
				this.discover(sandbox, link);
				return;
			}
			this.state = "bound";
			this.schedule(at(binding.renewAt));
		});
	}

	/** The client of the ADD has gone. */
	abandon(): void {
		this.waiter = undefined;
	}

	get isAwaited(): boolean {
		return this.waiter !== undefined;
	}

	/** Tells the one who waits that there will be no address. */
	giveUp(reason: string): void {
		const waiter = this.waiter;
		this.waiter = undefined;
		waiter?.fail(reason);
	}

	// --- the end

	/** Gives the address back, as far as there is one and an interface to say so from. */
	release(reason: string): void {
		const given = this.binding ?? this.wanted;
		let released = false;
		if (given !== undefined) {
			released = this.inPlace((sandbox, link) => {
				this.sendRelease(this.open(sandbox, link), given);
			}, "it is left to expire at the server");
		}
		if (given !== undefined)
			this.log(released ? "released" : "ended without a release", { address: given.address, reason });
		this.end();
	}

	/** Closes what is open, and forgets. */
	end(): void {
		this.close();
		this.around.loop.schedule(this, Infinity);
		this.around.journal.remove(this.file);
	}

	// --- time

	onDue(): void {
		const now = sys.boottimeMs();
		if (this.waiter !== undefined && now >= this.giveUpMs) {
			this.around.failed(this, this.trouble);
			return;
		}
		if (this.state === "probing") {
			this.bind(this.acked!);
			return;
		}
		const { binding } = this;
		if (binding !== undefined && now >= at(binding.expireAt)) {
			this.lose("expired");
			return;
		}
		if (now < this.nextMs && this.state !== "bound" && this.state !== "waiting") {
			this.close();
			this.schedule(this.nextMs);
			return;
		}
		const there = this.inPlace((sandbox, link) => this.goOn(sandbox, link, now));
		if (!there) this.around.vanished(this);
	}

	protected goOn(sandbox: Sandbox, link: Link, now: number): void {
		switch (this.state) {
			case "waiting":
				this.#await(this.notReady(sandbox, link), sandbox, link, now);
				return;
			case "bound":
				this.start("renewing");
				this.renew(sandbox, link, now);
				return;
			case "renewing":
			case "rebinding":
				this.renew(sandbox, link, now);
				return;
			case "requesting":
				if (now < this.giveUpRequestMs) this.request(sandbox, link);
				else this.discover(sandbox, link);
				return;
			default:
				this.send(sandbox, link, (exchange) => this.sendDiscover(exchange));
		}
	}

	#await(trouble: string | undefined, sandbox: Sandbox, link: Link, now: number): void {
		this.trouble = trouble ?? NO_ANSWER;
		if (trouble !== undefined && now < this.nextMs) this.schedule(now + CARRIER_LOOK_MS);
		else this.discover(sandbox, link);
	}

	// --- messages

	/** A new exchange begins: another transaction, the first interval. */
	protected start(state: State): void {
		this.state = state;
		this.xid = new DataView(sys.random(4).buffer).getUint32(0);
		this.beganMs = sys.boottimeMs();
		this.repeatMs = FIRST_REPEAT_MS;
		this.attempts = 0;
	}

	protected discover(sandbox: Sandbox, link: Link): void {
		this.exchange?.endProbe();
		this.acked = undefined;
		const again = this.state === "selecting" || this.state === "requesting" || this.state === "probing";
		const before = this.repeatMs;
		this.start("selecting");
		if (again) this.repeatMs = before;
		this.send(sandbox, link, (exchange) => this.sendDiscover(exchange));
	}

	/** For an offer: with its server's number. */
	protected request(sandbox: Sandbox, link: Link): void {
		this.send(sandbox, link, (exchange) => this.sendRequest(exchange, this.wanted!));
	}

	/** RENEWING asks the server, REBINDING everyone. */
	protected renew(sandbox: Sandbox, link: Link, now: number): void {
		const { address, server, rebindAt, expireAt } = this.binding!;
		if (this.state === "renewing" && now >= at(rebindAt)) {
			this.start("rebinding");
			this.log(`${server} does not answer: asking every server`, { address });
		}
		const exchange = this.open(sandbox, link);
		this.sentMs = now;
		this.attempts++;
		try {
			this.sendRenewal(exchange, sandbox, link, this.binding!);
		} catch (error) {
			if (!sys.isSystemError(error)) throw error;
			this.log(`cannot be renewed yet: ${error.message}`, { address });
		}
		const until = this.state === "renewing" ? at(rebindAt) : at(expireAt);
		// A message that is lost is no reason to wait for hours.
		const pause = this.attempts === 1 ? LEAST_REPEAT_MS : Math.max((until - now) / 2, LEAST_REPEAT_MS);
		this.nextMs = Math.min(until, now + pause);
		this.schedule(Math.min(this.nextMs, now + LISTEN_MS));
	}

	/** To every server; the next time twice as late, give or take a tenth. */
	protected send(sandbox: Sandbox, link: Link, message: (exchange: E) => void): void {
		const now = sys.boottimeMs();
		this.sentMs = now;
		try {
			message(this.open(sandbox, link));
		} catch (error) {
			if (!sys.isSystemError(error)) throw error;
			this.trouble = error.message;
		}
		this.nextMs = now + this.repeatMs * (0.9 + sys.random(1)[0]! / 1280);
		this.repeatMs = Math.min(this.repeatMs * 2, this.around.settings.resendMaxMs);
		this.schedule(
			this.waiter === undefined ? Math.min(this.nextMs, now + LISTEN_MS) : Math.min(this.nextMs, this.giveUpMs),
		);
	}

	// --- answers

	onMalformed(): void {
		this.around.malformed();
	}

	onLinkError(error: Error): void {
		this.trouble = error.message;
	}

	/** An offer of use: it is asked for, and the link for whoever has the address. */
	protected offered(offer: Given): void {
		this.repeatMs = FIRST_REPEAT_MS;
		this.committed(offer, (sandbox, link) => this.request(sandbox, link));
	}

	/** As `offered`, where the server has given the address without being asked for it. */
	protected committed(offer: Given, ask: (sandbox: Sandbox, link: Link) => void = () => {}): void {
		this.wanted = offer;
		this.state = "requesting";
		this.giveUpRequestMs = sys.boottimeMs() + this.around.settings.timeoutMs;
		this.write();
		this.inPlaceOrVanish((sandbox, link) => {
			ask(sandbox, link);
			this.exchange?.probe(sandbox, offer.address);
		});
	}

	/** What a server gives, the first time or again. */
	protected given({ leaseMs, renewMs, rebindMs, ...given }: Terms): void {
		const since = (ms: number): number | null => (ms === Infinity ? null : this.sentMs + Math.max(ms, 1000));
		const acked: Binding = {
			...given,
			renewAt: since(renewMs),
			rebindAt: since(rebindMs),
			expireAt: since(Math.max(leaseMs, LEAST_LEASE_MS)),
		};
		this.acked = acked;
		if (this.state === "requesting" && acked.address === this.wanted?.address) {
			this.state = "probing";
			this.exchange?.probeAgain();
			this.schedule(sys.boottimeMs() + PROBE_MS);
		} else {
			this.bind(acked);
		}
	}

	/** `server` says that the address is not ours. */
	protected refused(server: string): void {
		if (this.state === "renewing" || this.state === "rebinding") {
			this.lose(`refused by ${server}`);
		} else if (this.state === "requesting") {
			this.trouble = `${server} refused ${this.wanted!.address}`;
			this.wanted = undefined;
			this.again();
		}
	}

	/** Somebody else has the address that was probed. */
	onConflict(mac: Mac): void {
		if (this.state !== "requesting" && this.state !== "probing") return;
		const { address, server } = this.wanted!;
		this.trouble = `${server} gives ${address}, which ${formatMac(mac)} has`;
		this.log("declined: somebody has the address", { address, server, owner: formatMac(mac) });
		try {
			this.sendDecline(this.exchange!, this.wanted!);
		} catch (error) {
			if (!sys.isSystemError(error)) throw error;
		}
		this.wanted = undefined;
		this.again();
	}

	/** From DISCOVER on, after a pause: at once would be a circle as fast as the server. */
	protected again(): void {
		this.exchange?.endProbe();
		this.acked = undefined;
		this.write();
		const repeat = this.repeatMs;
		this.start("selecting");
		this.repeatMs = repeat;
		this.nextMs = sys.boottimeMs() + repeat / 2;
		this.schedule(this.nextMs);
	}

	// --- what an answer changes

	protected bind(acked: Binding): void {
		const before = this.answered ? this.result() : undefined;
		const first = !this.answered;
		const after = this.result(acked)!;
		const changed = this.answered && JSON.stringify(before) !== JSON.stringify(after);
		const renewed = this.binding?.address === acked.address;
		this.close();
		this.acked = undefined;
		this.binding = acked;
		this.wanted = undefined;
		this.answered = true;
		this.state = "bound";
		// Whatever it is, that is on disk before anything is done about it.
		if (changed) this.replaces = before?.ips?.[0]?.address ?? "";
		this.write();
		this.schedule(at(acked.renewAt));
		this.log(first ? "bound" : renewed ? "renewed" : "bound again", { address: acked.address, server: acked.server });
		if (changed) {
			if (before?.ips?.[0]?.address !== after.ips?.[0]?.address) {
				this.log("the address of the interface changes", {
					from: before?.ips?.[0]?.address,
					to: after.ips?.[0]?.address,
				});
			}
			this.inPlaceOrVanish((sandbox, link) => this.replace(sandbox, link, before ?? "", after));
		}
		const waiter = this.waiter;
		this.waiter = undefined;
		waiter?.succeed(after);
	}

	/** The address is no longer ours: off the interface with it, and for another. */
	protected lose(why: string): void {
		const before = this.result();
		const { address, server, serverMac } = this.binding!;
		this.log(`lost: ${why}`, { address, server });
		this.close();
		this.replaces = before!.ips![0]!.address;
		this.wanted = why === "expired" ? { address, server, serverMac } : undefined;
		this.binding = undefined;
		this.write();
		this.inPlaceOrVanish((sandbox, link) => {
			this.replace(sandbox, link, this.replaces!, undefined);
			this.state = "bound";
			this.discover(sandbox, link);
		});
	}

	// --- around it

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

	protected inPlaceOrVanish(work: (sandbox: Sandbox, link: Link) => void): void {
		if (!this.inPlace(work)) this.around.vanished(this);
	}
}

const at = (ms: number | null): number => ms ?? Infinity;
