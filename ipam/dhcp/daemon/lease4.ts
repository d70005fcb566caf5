/**
 * A lease of an IPv4 address: the messages of RFC 2131.
 */
import type { CniResult } from "../../../lib/cni/types.ts";
import { formatMac, type Mac, parseMac } from "../../../lib/ip/mac.ts";
import type { Link } from "../../../lib/netlink/link.ts";
import type { Sandbox } from "../../../lib/plugin/sandbox.ts";
import * as sys from "../../../lib/sys/sys.ts";
import { addressBytes, fromHex, sameBytes, toHex } from "../wire/bytes.ts";
import { addresses, isOfOneHost, leaseResult, leaseTimes, prefixLength } from "../wire/options.ts";
import {
	ACK,
	type ClientMessage,
	DECLINE,
	DISCOVER,
	NAK,
	OFFER,
	OPTION,
	packOptions,
	RELEASE,
	REQUEST,
	type Reply,
	unpackOptions,
} from "../wire/packet.ts";
import { EVERYONE, Exchange, type Listener } from "./exchange.ts";
import type { Binding } from "./journal.ts";
import type { Given } from "./kept-lease.ts";
import { Lease } from "./lease.ts";

const MAX_MESSAGE = 1500;

export class Lease4 extends Lease<Exchange> implements Listener {
	protected override resultOf({ address, options }: Binding): CniResult {
		return leaseResult(address, unpackOptions(fromHex(options)!), this.spec.priority);
	}

	protected override makeExchange(sandbox: Sandbox, link: Link): Exchange {
		return new Exchange(sandbox, link, this, this.around.loop);
	}

	// --- messages

	protected override sendDiscover(exchange: Exchange): void {
		const options = new Map<number, Uint8Array>();
		if (this.wanted !== undefined) options.set(OPTION.requestedAddress, addressBytes(this.wanted.address));
		exchange.broadcast(this.#message(DISCOVER, options));
	}

	protected override sendRequest(exchange: Exchange, offer: Given): void {
		exchange.broadcast(this.#message(REQUEST, about(offer)));
	}

	protected override sendDecline(exchange: Exchange, given: Given): void {
		exchange.broadcast(this.#message(DECLINE, about(given)));
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
			const options = new Map([[OPTION.requestedAddress, addressBytes(address)]]);
			exchange.broadcast(this.#message(REQUEST, options));
			return;
		}
		const message = { ...this.#message(REQUEST, new Map()), ciaddr: address };
		const [destination, mac] = this.state === "renewing" ? [server, parseMac(serverMac)] : [EVERYONE, undefined];
		if (this.attempts % 2 === 1) exchange.sendBound(message, destination);
		else exchange.sendStraight(message, address, destination, mac);
	}

	protected override sendRelease(exchange: Exchange, { address, server, serverMac }: Given): void {
		const options = new Map([[OPTION.serverId, addressBytes(server)]]);
		const message = { ...this.#message(RELEASE, options), ciaddr: address };
		exchange.sendStraight(message, address, server, parseMac(serverMac));
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
		const secs = type === RELEASE || type === DECLINE ? 0 : Math.floor((sys.boottimeMs() - this.beganMs) / 1000);
		const broadcast = isQuestion && (this.spec.broadcast || this.around.settings.broadcast);
		return { type, xid: this.xid, secs, broadcast, mac, options: all };
	}

	#clientId(mac: Mac): Uint8Array {
		const provided = this.spec.provide.find(([code]) => code === OPTION.clientId)?.[1];
		if (provided !== undefined) return fromHex(provided)!;
		return this.spec.clientId === "mac" ? Uint8Array.of(1, ...mac) : fromHex(this.spec.clientId)!;
	}

	// --- answers

	onReply(reply: Reply, from: Mac): void {
		if (reply.xid !== this.xid) return;
		const [server] = addresses(reply.options, OPTION.serverId);
		const id = reply.options.get(OPTION.clientId);
		// RFC 6842: a server repeats the identifier of the client that it means.
		if (id !== undefined && !sameBytes(id, this.#clientId(reply.mac))) return;
		if (server === undefined || !isOfOneHost(server)) this.around.malformed();
		else if (reply.type === OFFER && this.state === "selecting") this.#onOffer(reply, server, from);
		else if (reply.type === ACK) this.#onAck(reply, server, from);
		else if (reply.type === NAK && (this.state !== "requesting" || server === this.wanted?.server))
			this.refused(server);
	}

	#onOffer(reply: Reply, server: string, from: Mac): void {
		const refusal = whatIsWrong(reply);
		if (refusal !== undefined) {
			this.around.malformed();
			this.trouble = `${server} offers ${reply.yiaddr} ${refusal}`;
			return;
		}
		this.offered({ address: reply.yiaddr, server, serverMac: formatMac(from) });
	}

	#onAck(reply: Reply, server: string, from: Mac): void {
		const { state } = this;
		if (state !== "requesting" && state !== "renewing" && state !== "rebinding") return;
		if (state === "requesting" && server !== this.wanted?.server) return;
		const refusal = whatIsWrong(reply);
		if (refusal !== undefined) {
			this.around.malformed();
			this.trouble = `${server} gives ${reply.yiaddr} ${refusal}`;
			return;
		}
		this.given({
			address: reply.yiaddr,
			server,
			serverMac: formatMac(from),
			options: toHex(packOptions(reply.options)),
			...leaseTimes(reply.options),
		});
	}
}

/** An address and its server as options. */
const about = ({ address, server }: Given): Map<number, Uint8Array> =>
	new Map([
		[OPTION.requestedAddress, addressBytes(address)],
		[OPTION.serverId, addressBytes(server)],
	]);

/** Why an address cannot be used: the end of a sentence. */
function whatIsWrong({ yiaddr, options }: Reply): string | undefined {
	if (!isOfOneHost(yiaddr)) return "as an address";
	// Go's words.
	if (prefixLength(options) === undefined) return "without a mask: DHCP option Subnet Mask not found in DHCPACK";
	return undefined;
}
