/**
 * A lease of an IPv6 address: the messages of RFC 8415 for one non-temporary address (IA_NA).
 */
import type { CniResult } from "../../../lib/cni/types.ts";
import type { Link } from "../../../lib/netlink/link.ts";
import { hasLinkLocal, useIpv6 } from "../../../lib/plugin/ipv6.ts";
import type { Sandbox } from "../../../lib/plugin/sandbox.ts";
import * as sys from "../../../lib/sys/sys.ts";
import { fromHex, sameBytes, toHex } from "../wire/bytes.ts";
import { type ClientMessage6, clientDuid, dnsOf, MESSAGE6, type Reply6 } from "../wire/dhcpv6.ts";
import type { Listener } from "./exchange.ts";
import { Exchange6 } from "./exchange6.ts";
import type { Binding, Given } from "./journal.ts";
import { Lease } from "./lease.ts";

/** No network comes with an address of DHCPv6: what is on the link, routers say. */
const PREFIX = 128;

export class Lease6 extends Lease<Exchange6> implements Listener<Reply6> {
	protected override resultOf({ address, options }: Binding): CniResult {
		const dns = dnsOf(fromHex(options)!);
		return { ips: [{ address: `${address}/${PREFIX}` }], ...(Object.keys(dns).length > 0 && { dns }) };
	}

	protected override prepare(sandbox: Sandbox, link: Link): void {
		sandbox.netns.run(() => useIpv6(link.name));
	}

	protected override notReady(sandbox: Sandbox, link: Link): string | undefined {
		const trouble = super.notReady(sandbox, link);
		if (trouble !== undefined || hasLinkLocal(sandbox.route, link.index)) return trouble;
		return `"${link.name}" has no link-local address that can be used`;
	}

	protected override makeExchange(sandbox: Sandbox, link: Link): Exchange6 {
		return new Exchange6(sandbox, link, this, this.around.loop);
	}

	// --- messages

	protected override sendDiscover(exchange: Exchange6): void {
		exchange.send(this.#message(MESSAGE6.solicit, undefined, this.record.wanted?.address));
	}

	protected override send(what: "request" | "decline" | "release", exchange: Exchange6, given: Given): void {
		exchange.send(this.#message(MESSAGE6[what], given.server, given.address));
	}

	protected override sendRenewal(exchange: Exchange6, _: Sandbox, _link: Link, { server, address }: Binding): void {
		if (this.state === "renewing") exchange.send(this.#message(MESSAGE6.renew, server, address));
		else exchange.send(this.#message(MESSAGE6.rebind, undefined, address));
	}

	#message(type: number, server: string | undefined, address: string | undefined): ClientMessage6 {
		return {
			type,
			xid: this.xid & 0xffffff,
			mac: this.mac,
			serverId: server === undefined ? undefined : fromHex(server)!,
			address,
			elapsedMs: type === MESSAGE6.release || type === MESSAGE6.decline ? 0 : sys.boottimeMs() - this.beganMs,
		};
	}

	// --- answers

	onReply(reply: Reply6): void {
		if (reply.xid !== (this.xid & 0xffffff)) return;
		if (!sameBytes(reply.clientId, clientDuid(this.mac))) return;
		const server = toHex(reply.serverId);
		const { state } = this;
		const isItsServer = state === "requesting" && server === this.record.wanted?.server;
		if (state === "selecting") {
			if (reply.type === MESSAGE6.advertise || reply.isRapid) this.#onOffer(reply, server);
		} else if (reply.type === MESSAGE6.reply && (isItsServer || state === "renewing" || state === "rebinding")) {
			this.#onGiven(reply, server);
		}
	}

	/** The server that commits at once (RFC 8415, section 18.2.1) is asked for nothing more. */
	#onOffer(reply: Reply6, server: string): void {
		const { association } = reply;
		if (association === undefined || association.validMs === 0) {
			this.trouble = `server ${server} has no address: ${reply.refusal ?? "none in its answer"}`;
			return;
		}
		const offer = { address: association.address, server, serverMac: "" };
		if (reply.type === MESSAGE6.advertise) {
			this.offered(offer);
			return;
		}
		this.committed(offer);
		this.#onGiven(reply, server);
	}

	#onGiven(reply: Reply6, server: string): void {
		const { association, refusal } = reply;
		if (association !== undefined && association.validMs !== 0) {
			const { address, validMs, renewMs, rebindMs } = association;
			const options = toHex(reply.dns);
			this.given({ address, server, serverMac: "", options, leaseMs: validMs, renewMs, rebindMs });
		} else if (refusal !== undefined || association !== undefined) {
			this.refused(server);
		}
	}
}
