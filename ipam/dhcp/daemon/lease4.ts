/**
 * A lease of an IPv4 address: the messages of RFC 2131.
 */
import type { CniResult } from "../../../lib/cni/types.ts";
import { formatMac, parseMac } from "../../../lib/ip/mac.ts";
import { senderOf } from "../../../lib/linux/packet.ts";
import type { Link } from "../../../lib/netlink/link.ts";
import type { Sandbox } from "../../../lib/plugin/sandbox.ts";
import * as sys from "../../../lib/sys/sys.ts";
import { addressBytes, fromHex, sameBytes, toHex } from "../wire/bytes.ts";
import { addresses, isOfOneHost, leaseResult, leaseTimes, prefixLength } from "../wire/options.ts";
import { type ClientMessage, MESSAGE, OPTION, packOptions, type Reply, unpackOptions } from "../wire/packet.ts";
import { EVERYONE, Exchange, type Listener } from "./exchange.ts";
import type { Binding, Given } from "./journal.ts";
import { Lease } from "./lease.ts";

const MAX_MESSAGE = 1500;

export class Lease4 extends Lease<Exchange> implements Listener<Reply> {
	protected override resultOf({ address, options }: Binding): CniResult {
		return leaseResult(address, unpackOptions(fromHex(options)!), this.record.spec.priority);
	}

	protected override makeExchange(sandbox: Sandbox, link: Link): Exchange {
		return new Exchange(sandbox, link, this, this.around.loop);
	}

	// --- messages

	protected override sendDiscover(exchange: Exchange): void {
		exchange.broadcast(this.#message(MESSAGE.discover, { address: this.record.wanted?.address }));
	}

	protected override send(what: "request" | "decline" | "release", exchange: Exchange, given: Given): void {
		const { address, server, serverMac } = given;
		if (what !== "release") exchange.broadcast(this.#message(MESSAGE[what], given));
		else
			exchange.sendStraight(this.#message(MESSAGE.release, { server }, address), address, server, parseMac(serverMac));
	}

	/**
	 * To the server from the address, by the kernel's routes, and each second time past the kernel to whoever handed
	 * over its last answer: in a node whose table of neighbours is full, or a pod that has changed its routes, the
	 * kernel sends nothing, and does not say so. Where the interface does not have the address, nobody could answer to
	 * it: then as a client does that has been away (INIT-REBOOT), by broadcast.
	 */
	protected override sendRenewal(exchange: Exchange, sandbox: Sandbox, link: Link, binding: Binding): void {
		const { address, server, serverMac } = binding;
		if (!exchange.bind(sandbox, link.name, address)) {
			exchange.broadcast(this.#message(MESSAGE.request, { address }));
			return;
		}
		const message = this.#message(MESSAGE.request, {}, address);
		const [destination, mac] = this.state === "renewing" ? [server, parseMac(serverMac)] : [EVERYONE, undefined];
		if (this.attempts % 2 === 1) exchange.sendBound(message, destination);
		else exchange.sendStraight(message, address, destination, mac);
	}

	/** `about`: the address and the server that options name; `ciaddr`: the client's own address. */
	#message(
		type: number,
		about: { readonly address?: string | undefined; readonly server?: string },
		ciaddr?: string,
	): ClientMessage {
		const { spec } = this.record;
		const { mac } = this;
		const options = new Map<number, Uint8Array>();
		if (about.address !== undefined) options.set(OPTION.requestedAddress, addressBytes(about.address));
		if (about.server !== undefined) options.set(OPTION.serverId, addressBytes(about.server));
		const isQuestion = type === MESSAGE.discover || type === MESSAGE.request;
		if (isQuestion) {
			options.set(OPTION.maxSize, Uint8Array.of(MAX_MESSAGE >> 8, MAX_MESSAGE & 0xff));
			options.set(OPTION.parameterList, Uint8Array.from(spec.request));
		}
		options.set(OPTION.clientId, this.#clientId());
		if (isQuestion) for (const [code, value] of spec.provide) options.set(code, fromHex(value)!);
		const secs =
			type === MESSAGE.release || type === MESSAGE.decline ? 0 : Math.floor((sys.boottimeMs() - this.beganMs) / 1000);
		const broadcast = isQuestion && (spec.broadcast || this.around.settings.broadcast);
		return { type, xid: this.xid, secs, broadcast, ciaddr, mac, options };
	}

	#clientId(): Uint8Array {
		const { provide, clientId } = this.record.spec;
		const provided = provide.find(([code]) => code === OPTION.clientId)?.[1];
		if (provided !== undefined) return fromHex(provided)!;
		return clientId === "mac" ? Uint8Array.of(1, ...this.mac) : fromHex(clientId)!;
	}

	// --- answers

	onReply(reply: Reply, from: Uint8Array): void {
		const { type, options, yiaddr } = reply;
		const { state } = this;
		if (reply.xid !== this.xid || !sameBytes(reply.mac, this.mac)) return;
		const id = options.get(OPTION.clientId);
		// RFC 6842: a server repeats the identifier of the client that it means.
		if (id !== undefined && !sameBytes(id, this.#clientId())) return;
		const [server] = addresses(options, OPTION.serverId);
		if (server === undefined || !isOfOneHost(server)) {
			this.around.malformed();
			return;
		}
		const isItsServer = state === "requesting" && server === this.record.wanted?.server;
		if (type === MESSAGE.nak && (state !== "requesting" || isItsServer)) this.refused(server);
		const isOffer = type === MESSAGE.offer && state === "selecting";
		const isAck = type === MESSAGE.ack && (isItsServer || state === "renewing" || state === "rebinding");
		if (!isOffer && !isAck) return;
		const refusal = whatIsWrong(reply);
		if (refusal !== undefined) {
			this.around.malformed();
			this.trouble = `${server} ${isOffer ? "offers" : "gives"} ${yiaddr} ${refusal}`;
			return;
		}
		const given = { address: yiaddr, server, serverMac: formatMac(senderOf(from)) };
		if (isOffer) this.offered(given);
		else this.given({ ...given, options: toHex(packOptions(options)), ...leaseTimes(options) });
	}
}

/** Why an address cannot be used: the end of a sentence. */
function whatIsWrong({ yiaddr, options }: Reply): string | undefined {
	if (!isOfOneHost(yiaddr)) return "as an address";
	// Go's words.
	if (prefixLength(options) === undefined) return "without a mask: DHCP option Subnet Mask not found in DHCPACK";
	return undefined;
}
