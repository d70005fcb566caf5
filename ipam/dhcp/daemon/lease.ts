/**
 * One lease of one attachment: the client of RFC 2131, section 4.4, and of RFC 8415, section 18.2, in what they have in
 * common, which is all but the messages.
 */
import { formatMac, type Mac } from "../../../lib/ip/mac.ts";
import type { Link } from "../../../lib/netlink/link.ts";
import { setLink } from "../../../lib/netlink/link-change.ts";
import type { Sandbox } from "../../../lib/plugin/sandbox.ts";
import * as sys from "../../../lib/sys/sys.ts";
import { type AnyExchange, AskingLease, at, FIRST_REPEAT_MS, NO_ANSWER, type Waiter } from "./asking-lease.ts";
import type { Binding, Given } from "./journal.ts";

/**
 * How long somebody who has the address has to say so. He is on the same link, and is asked for the first time before
 * the REQUEST.
 */
const PROBE_MS = 100;
const CARRIER_LOOK_MS = 100;
/** Times that no server means, and that would keep us and it busy. */
const LEAST_LEASE_MS = 5000;

/** What a server gives. Times in milliseconds from now on. */
interface Terms extends Given {
	readonly options: string;
	readonly leaseMs: number;
	readonly renewMs: number;
	readonly rebindMs: number;
}

export abstract class Lease<E extends AnyExchange = AnyExchange> extends AskingLease<E> {
	/** When a REQUEST without an answer is given up. */
	#giveUpRequestMs = 0;
	/** What is being probed. */
	#acked: Binding | undefined;

	/** What has to be so before the interface can be used at all. */
	protected prepare(_sandbox: Sandbox, _link: Link): void {}
	/** Why nothing can be sent yet. */
	protected notReady(_sandbox: Sandbox, link: Link): string | undefined {
		return link.up && link.running ? undefined : `"${link.name}" has no carrier`;
	}

	// --- the beginning

	/** Begins for an ADD that waits: the interface up, its carrier awaited for as long as `-timeout` says. */
	begin(sandbox: Sandbox, link: Link, waiter: Waiter): void {
		const now = sys.boottimeMs();
		this.waiter = waiter;
		this.giveUpMs = now + this.around.settings.resendTimeoutMs;
		this.nextMs = now + this.around.settings.timeoutMs;
		this.prepare(sandbox, link);
		if (!link.up) setLink(sandbox.route, link.index, { up: true });
		this.#goOn(sandbox, link, now);
	}

	/** Goes on where a daemon before us ended. */
	resume(): void {
		const { binding, replaces } = this.record;
		this.#inPlaceOrVanish((sandbox, link) => {
			this.around.watch(sandbox);
			if (replaces !== undefined) this.replace(sandbox, link, replaces || undefined, this.result());
			if (binding === undefined) return this.#discover(sandbox, link);
			this.state = "bound";
			this.schedule(at(binding.renewAt));
		});
	}

	// --- the end

	/** The client of the ADD has gone. */
	abandon(): void {
		if (this.waiter === undefined) return;
		this.waiter = undefined;
		this.release("its ADD was cut off", "");
	}

	/**
	 * Gives the address back, as far as there is one and an interface to say so from; who waits for one hears `told`.
	 */
	release(reason: string, told: string): void {
		this.#giveUp(told);
		const given = this.record.binding ?? this.record.wanted;
		if (given !== undefined) {
			let isReleased = false;
			const error = sys.failureOf(() => {
				isReleased = this.inPlace((sandbox, link) => this.send("release", this.open(sandbox, link), given));
			});
			if (error !== undefined) this.log(`${error.message}: it is left to expire at the server`);
			this.log(isReleased ? "released" : "ended without a release", { address: given.address, reason });
		}
		this.end();
	}

	/** The interface is gone, and the lease with it. */
	vanish(): void {
		this.log("ended: the interface is gone", { address: (this.record.binding ?? this.#acked)?.address });
		this.#giveUp("the interface is gone");
		this.end();
	}

	/** Closes what is open, and forgets. */
	end(): void {
		this.around.forget(this);
		this.close();
		this.schedule(Infinity);
		this.around.journal.remove(this.file);
	}

	#giveUp(reason: string): void {
		this.around.forget(this);
		const waiter = this.waiter;
		this.waiter = undefined;
		waiter?.fail(reason);
	}

	#inPlaceOrVanish(work: (sandbox: Sandbox, link: Link) => void): void {
		if (!this.inPlace(work)) this.vanish();
	}

	// --- time

	onDue(): void {
		const now = sys.boottimeMs();
		const { binding } = this.record;
		if (this.waiter !== undefined && now >= this.giveUpMs) {
			this.log(`no address: ${this.trouble}`);
			// Go's sentence.
			const told = `no more tries: ${this.trouble} within ${this.around.settings.resendTimeoutMs / 1000} s`;
			this.release("no answer", told);
		} else if (this.state === "probing") {
			this.#bind(this.#acked!);
		} else if (binding !== undefined && now >= at(binding.expireAt)) {
			this.#lose(binding, "expired");
		} else if (now < this.nextMs && this.state !== "bound" && this.state !== "waiting") {
			this.close();
			this.schedule(this.nextMs);
		} else {
			this.#inPlaceOrVanish((sandbox, link) => this.#goOn(sandbox, link, now));
		}
	}

	#goOn(sandbox: Sandbox, link: Link, now: number): void {
		if (this.state === "waiting") {
			const trouble = this.notReady(sandbox, link);
			this.trouble = trouble ?? NO_ANSWER;
			if (trouble !== undefined && now < this.nextMs) this.schedule(now + CARRIER_LOOK_MS);
			else this.#discover(sandbox, link);
			return;
		}
		if (this.state === "bound") this.start("renewing");
		if (this.state === "renewing" || this.state === "rebinding") this.renew(sandbox, link, now);
		else if (this.state === "requesting" && now >= this.#giveUpRequestMs) this.#discover(sandbox, link);
		else this.ask(sandbox, link);
	}

	#discover(sandbox: Sandbox, link: Link): void {
		this.startSelecting();
		this.ask(sandbox, link);
	}

	/** Another address, after a pause: at once would be a circle as fast as the server. */
	#discoverLater(): void {
		this.record.wanted = undefined;
		this.#acked = undefined;
		this.write();
		this.startSelecting();
		this.nextMs = sys.boottimeMs() + this.repeatMs / 2;
		this.schedule(this.nextMs);
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
		this.committed(offer, (sandbox, link) => this.ask(sandbox, link));
	}

	/** As `offered`, where the server has given the address without being asked for it. */
	protected committed(offer: Given, ask: (sandbox: Sandbox, link: Link) => void = () => {}): void {
		this.record.wanted = offer;
		this.state = "requesting";
		this.#giveUpRequestMs = sys.boottimeMs() + this.around.settings.timeoutMs;
		this.write();
		this.#inPlaceOrVanish((sandbox, link) => {
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
		if (this.state === "requesting" && acked.address === this.record.wanted?.address) {
			this.#acked = acked;
			this.state = "probing";
			this.exchange?.probeAgain();
			this.schedule(sys.boottimeMs() + PROBE_MS);
		} else {
			this.#bind(acked);
		}
	}

	/** `server` says that the address is not ours. */
	protected refused(server: string): void {
		const { binding, wanted } = this.record;
		if (this.state === "requesting") {
			this.trouble = `${server} refused ${wanted!.address}`;
			this.#discoverLater();
		} else if (this.state === "renewing" || this.state === "rebinding") {
			this.#lose(binding!, `refused by ${server}`);
		}
	}

	/** Somebody else has the address that was probed. */
	onConflict(mac: Mac): void {
		if (this.state !== "requesting" && this.state !== "probing") return;
		const wanted = this.record.wanted!;
		const { address, server } = wanted;
		this.trouble = `${server} gives ${address}, which ${formatMac(mac)} has`;
		this.log("declined: somebody has the address", { address, server, owner: formatMac(mac) });
		sys.failureOf(() => this.send("decline", this.exchange!, wanted));
		this.#discoverLater();
	}

	// --- what an answer changes

	#bind(binding: Binding): void {
		const { record } = this;
		const before = record.answered ? this.result() : undefined;
		const after = this.resultOf(binding);
		const [from, to] = [before?.ips?.[0]?.address, after.ips?.[0]?.address];
		const isChanged = record.answered && JSON.stringify(before) !== JSON.stringify(after);
		const isSame = record.binding?.address === binding.address;
		const what = !record.answered ? "bound" : isSame ? "renewed" : "bound again";
		this.close();
		this.#acked = undefined;
		this.state = "bound";
		record.binding = binding;
		record.wanted = undefined;
		record.answered = true;
		// Whatever it is, that is on disk before anything is done about it.
		if (isChanged) record.replaces = from ?? "";
		this.write();
		this.schedule(at(binding.renewAt));
		this.log(what, { address: binding.address, server: binding.server });
		if (isChanged && from !== to) this.log("the address of the interface changes", { from, to });
		if (isChanged) this.#inPlaceOrVanish((sandbox, link) => this.replace(sandbox, link, before, after));
		const waiter = this.waiter;
		this.waiter = undefined;
		waiter?.succeed(after);
	}

	/** The address is no longer ours: off the interface with it, and for another. */
	#lose(binding: Binding, why: "expired" | `refused by ${string}`): void {
		const { record } = this;
		const { address, server, serverMac } = binding;
		this.log(`lost: ${why}`, { address, server });
		this.close();
		record.replaces = this.result()!.ips![0]!.address;
		record.wanted = why === "expired" ? { address, server, serverMac } : undefined;
		record.binding = undefined;
		this.write();
		this.#inPlaceOrVanish((sandbox, link) => {
			this.replace(sandbox, link, record.replaces, undefined);
			this.state = "bound";
			this.#discover(sandbox, link);
		});
	}
}
