/**
 * One lease: the client of RFC 2131, section 4.4, for one attachment.
 */
import type { CniResult } from "../../../lib/cni/types.ts";
import { formatMac, type Mac, parseMac } from "../../../lib/ip/mac.ts";
import type { Loop } from "../../../lib/loop/loop.ts";
import { type Link, type LinkIndex, setLinkUp } from "../../../lib/netlink/link.ts";
import type { Log } from "../../../lib/plugin/log.ts";
import type { Sandbox } from "../../../lib/plugin/sandbox.ts";
import * as sys from "../../../lib/sys/sys.ts";
import { addressBytes, fromHex, sameBytes, toHex } from "../wire/bytes.ts";
import { addresses, leaseResult, leaseTimes, prefixLength } from "../wire/options.ts";
import {
	ACK,
	type ClientMessage,
	DECLINE,
	DISCOVER,
	NAK,
	OFFER,
	OPTION,
	type Options,
	packOptions,
	RELEASE,
	REQUEST,
	type Reply,
	unpackOptions,
} from "../wire/packet.ts";
import { Exchange, type Listener } from "./exchange.ts";
import type { Binding, Journal, LeaseRecord, Place } from "./journal.ts";
import { findLink, findSandbox, replaceOnInterface } from "./place.ts";
import type { LeaseSpec } from "./protocol.ts";

/**
 * `waiting`: for a carrier. `selecting`: DISCOVER is out. `requesting`: REQUEST is out, for an offer or for an address that we had. `probing`: the
 * server gave it, and the link is asked whether somebody has it. Then as in the RFC.
 */
export type State = "waiting" | "selecting" | "requesting" | "probing" | "bound" | "renewing" | "rebinding";

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
export interface Surroundings {
	readonly settings: Settings;
	readonly loop: Loop;
	readonly journal: Journal;
	readonly log: Log;
	/** Hears from now on when an interface leaves this sandbox. */
	watch(sandbox: Sandbox): void;
	malformed(): void;
	/** The interface is gone, and the lease with it. */
	vanished(lease: Lease): void;
	/** No address within the time of an ADD. */
	failed(lease: Lease, why: string): void;
}

/** The first repetition of a message; then twice as long each time. RFC 2131 says 4 s, where a LAN answers in milliseconds. */
const FIRST_REPEAT_MS = 2000;
/** While nobody waits for it, the sockets of an exchange stay open this long after each message. */
const LISTEN_MS = 10_000;
/** RFC 2131, section 4.4.5, has a minute; a lease can be shorter than that. */
const LEAST_REPEAT_MS = 4000;
/** How long somebody who has the address has to say so. He is on the same link, and is asked for the first time before the REQUEST. */
const PROBE_MS = 100;
const CARRIER_LOOK_MS = 100;
/** Times that no server means, and that would keep us and it busy. */
const LEAST_LEASE_MS = 5000;
const MAX_MESSAGE = 1500;

export class Lease implements Listener {
	readonly spec: LeaseSpec;
	readonly place: Place;
	readonly file: number;
	dueMs = Infinity;
	state: State = "waiting";
	binding: Binding | undefined;
	#answered: boolean;
	#wanted: LeaseRecord["wanted"];
	#replaces: string | undefined;
	#waiter: Waiter | undefined;
	#exchange: Exchange | undefined;
	#xid = 0;
	#beganMs = 0;
	#sentMs = 0;
	#repeatMs = FIRST_REPEAT_MS;
	/** When the next message is due; the task may be due before it, to close the sockets. */
	#nextMs = 0;
	/** When an ADD gives up, and when a REQUEST does. */
	#giveUpMs = Infinity;
	#giveUpRequestMs = 0;
	#acked: Binding | undefined;
	/** Why there is no address yet, for the one who waits. */
	#trouble = "no DHCP server answered";
	readonly #around: Surroundings;

	constructor(
		around: Surroundings,
		file: number,
		record: Pick<LeaseRecord, "spec" | "place" | "answered" | "binding" | "wanted" | "replaces">,
	) {
		this.#around = around;
		this.file = file;
		this.spec = record.spec;
		this.place = record.place;
		this.binding = record.binding;
		this.#answered = record.answered;
		this.#wanted = record.wanted;
		this.#replaces = record.replaces;
	}

	get address(): string | undefined {
		return this.binding?.address ?? this.#acked?.address;
	}

	/** The result that the lease makes; undefined while there is no address. */
	result(binding = this.binding): CniResult | undefined {
		if (binding === undefined) return undefined;
		return leaseResult(binding.address, optionsOf(binding), this.spec.priority);
	}

	// --- the beginning

	/** Begins for an ADD that waits: the interface up, its carrier awaited for as long as `-timeout` says. */
	begin(sandbox: Sandbox, link: Link, waiter: Waiter): void {
		const now = sys.boottimeMs();
		this.#waiter = waiter;
		this.#giveUpMs = now + this.#around.settings.resendTimeoutMs;
		this.#nextMs = now + this.#around.settings.timeoutMs;
		if (!link.up) setLinkUp(sandbox.route, link.index);
		if (link.up && link.running) this.#discover(sandbox, link);
		else this.#schedule(now + CARRIER_LOOK_MS);
	}

	/** Goes on where a daemon before us ended. False: the interface is gone. */
	resume(): boolean {
		return this.#inPlace((sandbox, link) => {
			this.#around.watch(sandbox);
			if (this.#replaces !== undefined) this.#replace(sandbox, link, this.#replaces, this.result());
			const { binding } = this;
			if (binding === undefined) {
				this.#discover(sandbox, link);
				return;
			}
			this.state = "bound";
			this.#schedule(at(binding.renewAt));
		});
	}

	/** The client of the ADD has gone. */
	abandon(): void {
		this.#waiter = undefined;
	}

	get isAwaited(): boolean {
		return this.#waiter !== undefined;
	}

	/** Tells the one who waits that there will be no address. */
	giveUp(reason: string): void {
		const waiter = this.#waiter;
		this.#waiter = undefined;
		waiter?.fail(reason);
	}

	// --- the end

	/** Gives the address back, as far as there is one and an interface to say so from. */
	release(reason: string): void {
		const given = this.binding ?? this.#wanted;
		let released = false;
		if (given !== undefined) {
			released = this.#inPlace((sandbox, link) => {
				const exchange = this.#open(sandbox, link);
				const { address, server } = given;
				const options = new Map([[OPTION.serverId, addressBytes(server)]]);
				const message = { ...this.#message(RELEASE, options), ciaddr: address };
				exchange.unicast(message, address, server, parseMac(given.serverMac));
			}, "it is left to expire at the server");
		}
		if (given !== undefined)
			this.log(released ? "released" : "ended without a release", { address: given.address, reason });
		this.end();
	}

	/** Closes what is open, and forgets. */
	end(): void {
		this.#close();
		this.#around.loop.schedule(this, Infinity);
		this.#around.journal.remove(this.file);
	}

	// --- time

	onDue(): void {
		const now = sys.boottimeMs();
		if (this.#waiter !== undefined && now >= this.#giveUpMs) {
			this.#around.failed(this, this.#trouble);
			return;
		}
		if (this.state === "probing") {
			this.#bind(this.#acked!);
			return;
		}
		const { binding } = this;
		if (binding !== undefined && now >= at(binding.expireAt)) {
			this.#lose("expired");
			return;
		}
		if (now < this.#nextMs && this.state !== "bound" && this.state !== "waiting") {
			this.#close();
			this.#schedule(this.#nextMs);
			return;
		}
		const there = this.#inPlace((sandbox, link) => this.#goOn(sandbox, link, now));
		if (!there) this.#around.vanished(this);
	}

	#goOn(sandbox: Sandbox, link: Link, now: number): void {
		switch (this.state) {
			case "waiting":
				if (now < this.#nextMs && !link.running) {
					this.#trouble = `"${link.name}" has no carrier`;
					this.#schedule(now + CARRIER_LOOK_MS);
				} else {
					this.#discover(sandbox, link);
				}
				return;
			case "bound":
				this.#start("renewing");
				this.#renew(sandbox, link, now);
				return;
			case "renewing":
			case "rebinding":
				this.#renew(sandbox, link, now);
				return;
			case "requesting":
				if (now < this.#giveUpRequestMs) this.#request(sandbox, link);
				else this.#discover(sandbox, link);
				return;
			default:
				this.#sendDiscover(sandbox, link);
		}
	}

	// --- messages

	/** A new exchange begins: another transaction, the first interval. */
	#start(state: State): void {
		this.state = state;
		this.#xid = new DataView(sys.random(4).buffer).getUint32(0);
		this.#beganMs = sys.boottimeMs();
		this.#repeatMs = FIRST_REPEAT_MS;
	}

	#discover(sandbox: Sandbox, link: Link): void {
		this.#exchange?.endProbe();
		this.#acked = undefined;
		const again = this.state === "selecting" || this.state === "requesting" || this.state === "probing";
		const before = this.#repeatMs;
		this.#start("selecting");
		if (again) this.#repeatMs = before;
		this.#sendDiscover(sandbox, link);
	}

	#sendDiscover(sandbox: Sandbox, link: Link): void {
		const options = new Map<number, Uint8Array>();
		if (this.#wanted !== undefined) options.set(OPTION.requestedAddress, addressBytes(this.#wanted.address));
		this.#send(sandbox, link, this.#message(DISCOVER, options));
	}

	/** For an offer: with its server's number. */
	#request(sandbox: Sandbox, link: Link): void {
		const { address, server } = this.#wanted!;
		const options = new Map([
			[OPTION.requestedAddress, addressBytes(address)],
			[OPTION.serverId, addressBytes(server)],
		]);
		this.#send(sandbox, link, this.#message(REQUEST, options));
	}

	/**
	 * RENEWING asks the server, REBINDING everyone. Where the interface does not have the address, nobody could answer to it: then as a client
	 * does that has been away (INIT-REBOOT), by broadcast.
	 */
	#renew(sandbox: Sandbox, link: Link, now: number): void {
		const { address, server, rebindAt, expireAt } = this.binding!;
		if (this.state === "renewing" && now >= at(rebindAt)) {
			this.#start("rebinding");
			this.log(`${server} does not answer: asking every server`, { address });
		}
		const exchange = this.#open(sandbox, link);
		const message = { ...this.#message(REQUEST, new Map()), ciaddr: address };
		this.#sentMs = now;
		try {
			const to = this.state === "renewing" ? server : undefined;
			if (!exchange.sendBound(sandbox, link.name, message, address, to)) {
				const options = new Map([[OPTION.requestedAddress, addressBytes(address)]]);
				exchange.broadcast(this.#message(REQUEST, options));
			}
		} catch (error) {
			if (!sys.isSystemError(error)) throw error;
			this.log(`cannot be renewed yet: ${error.message}`, { address });
		}
		const until = this.state === "renewing" ? at(rebindAt) : at(expireAt);
		this.#nextMs = Math.min(until, now + Math.max((until - now) / 2, LEAST_REPEAT_MS));
		this.#schedule(Math.min(this.#nextMs, now + LISTEN_MS));
	}

	/** To every server; the next time twice as late, give or take a tenth. */
	#send(sandbox: Sandbox, link: Link, message: ClientMessage): void {
		const now = sys.boottimeMs();
		this.#sentMs = now;
		try {
			this.#open(sandbox, link).broadcast(message);
		} catch (error) {
			if (!sys.isSystemError(error)) throw error;
			this.#trouble = error.message;
		}
		this.#nextMs = now + this.#repeatMs * (0.9 + sys.random(1)[0]! / 1280);
		this.#repeatMs = Math.min(this.#repeatMs * 2, this.#around.settings.resendMaxMs);
		this.#schedule(
			this.#waiter === undefined ? Math.min(this.#nextMs, now + LISTEN_MS) : Math.min(this.#nextMs, this.#giveUpMs),
		);
	}

	#message(type: number, options: Map<number, Uint8Array>): ClientMessage {
		const mac = parseMac(this.place.mac)!;
		const all = new Map<number, Uint8Array>(options);
		const isQuestion = type === DISCOVER || type === REQUEST;
		if (isQuestion) {
			all.set(OPTION.maxSize, Uint8Array.of(MAX_MESSAGE >> 8, MAX_MESSAGE & 0xff));
			all.set(OPTION.parameterList, Uint8Array.from(this.spec.request));
		}
		all.set(OPTION.clientId, this.#clientId(mac));
		if (isQuestion) for (const [code, value] of this.spec.provide) all.set(code, fromHex(value)!);
		const secs = type === RELEASE || type === DECLINE ? 0 : Math.floor((sys.boottimeMs() - this.#beganMs) / 1000);
		const broadcast = isQuestion && (this.spec.broadcast || this.#around.settings.broadcast);
		return { type, xid: this.#xid, secs, broadcast, mac, options: all };
	}

	#clientId(mac: Mac): Uint8Array {
		const provided = this.spec.provide.find(([code]) => code === OPTION.clientId)?.[1];
		if (provided !== undefined) return fromHex(provided)!;
		return this.spec.clientId === "mac" ? Uint8Array.of(1, ...mac) : fromHex(this.spec.clientId)!;
	}

	// --- answers

	onMalformed(): void {
		this.#around.malformed();
	}

	onLinkError(error: Error): void {
		this.#trouble = error.message;
	}

	onReply(reply: Reply, from: Mac): void {
		if (reply.xid !== this.#xid) return;
		const [server] = addresses(reply.options, OPTION.serverId);
		const id = reply.options.get(OPTION.clientId);
		// RFC 6842: a server repeats the identifier of the client that it means.
		if (id !== undefined && !sameBytes(id, this.#clientId(reply.mac))) return;
		if (server === undefined) this.#around.malformed();
		else if (reply.type === OFFER && this.state === "selecting") this.#onOffer(reply, server, from);
		else if (reply.type === ACK) this.#onAck(reply, server, from);
		else if (reply.type === NAK) this.#onNak(server);
	}

	#onOffer(reply: Reply, server: string, from: Mac): void {
		const refusal = whatIsWrong(reply);
		if (refusal !== undefined) {
			this.#around.malformed();
			this.#trouble = `${server} offers ${reply.yiaddr} ${refusal}`;
			return;
		}
		this.#wanted = { address: reply.yiaddr, server, serverMac: formatMac(from) };
		this.state = "requesting";
		this.#giveUpRequestMs = sys.boottimeMs() + this.#around.settings.timeoutMs;
		this.#repeatMs = FIRST_REPEAT_MS;
		this.#write();
		this.#inPlaceOrVanish((sandbox, link) => {
			this.#request(sandbox, link);
			this.#exchange!.probe(sandbox, reply.yiaddr);
		});
	}

	#onAck(reply: Reply, server: string, from: Mac): void {
		const { state } = this;
		if (state !== "requesting" && state !== "renewing" && state !== "rebinding") return;
		if (state === "requesting" && server !== this.#wanted?.server) return;
		const refusal = whatIsWrong(reply);
		if (refusal !== undefined) {
			this.#around.malformed();
			this.#trouble = `${server} gives ${reply.yiaddr} ${refusal}`;
			return;
		}
		const { leaseMs, renewMs, rebindMs } = leaseTimes(reply.options);
		const since = (ms: number): number | null => (ms === Infinity ? null : this.#sentMs + Math.max(ms, 1000));
		const acked: Binding = {
			address: reply.yiaddr,
			server,
			serverMac: formatMac(from),
			options: toHex(packOptions(reply.options)),
			renewAt: since(renewMs),
			rebindAt: since(rebindMs),
			expireAt: since(Math.max(leaseMs, LEAST_LEASE_MS)),
		};
		this.#acked = acked;
		if (state === "requesting" && acked.address === this.#wanted?.address) {
			this.state = "probing";
			this.#exchange?.probeAgain();
			this.#schedule(sys.boottimeMs() + PROBE_MS);
		} else {
			this.#bind(acked);
		}
	}

	#onNak(server: string): void {
		if (this.state === "renewing" || this.state === "rebinding") {
			this.#lose(`refused by ${server}`);
		} else if (this.state === "requesting" && server === this.#wanted?.server) {
			this.#trouble = `${server} refused ${this.#wanted.address}`;
			this.#wanted = undefined;
			this.#again();
		}
	}

	onConflict(mac: Mac): void {
		if (this.state !== "requesting" && this.state !== "probing") return;
		const { address, server } = this.#wanted!;
		this.#trouble = `${server} gives ${address}, which ${formatMac(mac)} has`;
		this.log("declined: somebody has the address", { address, server, owner: formatMac(mac) });
		const options = new Map([
			[OPTION.requestedAddress, addressBytes(address)],
			[OPTION.serverId, addressBytes(server)],
		]);
		try {
			this.#exchange!.broadcast(this.#message(DECLINE, options));
		} catch (error) {
			if (!sys.isSystemError(error)) throw error;
		}
		this.#wanted = undefined;
		this.#again();
	}

	/** From DISCOVER on, after a pause: at once would be a circle as fast as the server. */
	#again(): void {
		this.#exchange?.endProbe();
		this.#acked = undefined;
		this.#write();
		const repeat = this.#repeatMs;
		this.#start("selecting");
		this.#repeatMs = repeat;
		this.#nextMs = sys.boottimeMs() + repeat / 2;
		this.#schedule(this.#nextMs);
	}

	// --- what an answer changes

	#bind(acked: Binding): void {
		const before = this.#answered ? this.result() : undefined;
		const first = !this.#answered;
		const after = this.result(acked)!;
		const changed = this.#answered && JSON.stringify(before) !== JSON.stringify(after);
		const renewed = this.binding?.address === acked.address;
		this.#close();
		this.#acked = undefined;
		this.binding = acked;
		this.#wanted = undefined;
		this.#answered = true;
		this.state = "bound";
		// Whatever it is, that is on disk before anything is done about it.
		if (changed) this.#replaces = before?.ips?.[0]?.address ?? "";
		this.#write();
		this.#schedule(at(acked.renewAt));
		this.log(first ? "bound" : renewed ? "renewed" : "bound again", { address: acked.address, server: acked.server });
		if (changed) {
			if (before?.ips?.[0]?.address !== after.ips?.[0]?.address) {
				this.log("the address of the interface changes", {
					from: before?.ips?.[0]?.address,
					to: after.ips?.[0]?.address,
				});
			}
			this.#inPlaceOrVanish((sandbox, link) => this.#replace(sandbox, link, before ?? "", after));
		}
		const waiter = this.#waiter;
		this.#waiter = undefined;
		waiter?.succeed(after);
	}

	/** The address is no longer ours: off the interface with it, and for another. */
	#lose(why: string): void {
		const before = this.result();
		const { address, server, serverMac } = this.binding!;
		this.log(`lost: ${why}`, { address, server });
		this.#close();
		this.#replaces = before!.ips![0]!.address;
		this.#wanted = why === "expired" ? { address, server, serverMac } : undefined;
		this.binding = undefined;
		this.#write();
		this.#inPlaceOrVanish((sandbox, link) => {
			this.#replace(sandbox, link, this.#replaces!, undefined);
			this.state = "bound";
			this.#discover(sandbox, link);
		});
	}

	#replace(sandbox: Sandbox, link: Link, before: CniResult | string, after: CniResult | undefined): void {
		replaceOnInterface(sandbox, link, before === "" ? undefined : before, after);
		this.#replaces = undefined;
		this.#write();
	}

	// --- around it

	#write(): void {
		const { spec, place, binding } = this;
		this.#around.journal.write(this.file, {
			spec,
			place,
			answered: this.#answered,
			...(binding && { binding }),
			...(this.#wanted && { wanted: this.#wanted }),
			...(this.#replaces !== undefined && { replaces: this.#replaces }),
		});
	}

	#open(sandbox: Sandbox, link: Link): Exchange {
		this.#exchange ??= new Exchange(sandbox, link, this, this.#around.loop);
		return this.#exchange;
	}

	#close(): void {
		this.#exchange?.close();
		this.#exchange = undefined;
	}

	#schedule(dueMs: number): void {
		this.#around.loop.schedule(this, dueMs);
	}

	/** Whether the interface is still where it was. */
	isInPlace(): boolean {
		return this.#inPlace(() => undefined);
	}

	/** Runs `work` with the interface in its namespace; false where one of them is gone. A failure is `otherwise`, or the caller's. */
	#inPlace(work: (sandbox: Sandbox, link: Link) => void, otherwise?: string): boolean {
		try {
			using sandbox = findSandbox(this.#around.settings.hostPrefix + this.spec.netns, this.place);
			const link = sandbox && findLink(sandbox, this.place);
			if (sandbox === undefined || link === undefined) return false;
			work(sandbox, link);
			return true;
		} catch (error) {
			if (otherwise === undefined || !sys.isSystemError(error)) throw error;
			this.log(`${error.message}: ${otherwise}`);
			return false;
		}
	}

	#inPlaceOrVanish(work: (sandbox: Sandbox, link: Link) => void): void {
		if (!this.#inPlace(work)) this.#around.vanished(this);
	}

	get linkIndex(): LinkIndex {
		return this.place.linkIndex as LinkIndex;
	}

	log(what: string, fields: Record<string, string | undefined> = {}): void {
		const { containerId, network, ifName } = this.spec;
		this.#around.log.info(what, { containerID: containerId, network, ifName, ...fields });
	}
}

const at = (ms: number | null): number => ms ?? Infinity;

export const optionsOf = (binding: Binding): Options => unpackOptions(fromHex(binding.options)!);

/** Why an address cannot be used: the end of a sentence. */
function whatIsWrong({ yiaddr, options }: Reply): string | undefined {
	if (yiaddr === "0.0.0.0") return "as an address";
	// Go's words.
	if (prefixLength(options) === undefined) return "without a mask: DHCP option Subnet Mask not found in DHCPACK";
	return undefined;
}
