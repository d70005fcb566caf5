/**
 * IP addresses of interfaces.
 *
 * Wire format: linux/if_addr.h, RTM_*ADDR with `struct ifaddrmsg`.
 */
import { type Family, ipToBytes } from "../ip/address.ts";
import { type Cidr, lastAddressOf, parseCidr } from "../ip/cidr.ts";
import { AF_INET, AF_INET6 } from "../sys/sys.ts";
import * as nl from "./constants.ts";
import type { RequestName } from "./error.ts";
import type { LinkIndex } from "./link.ts";
import { type Message, MessageWriter, WantedAttributes } from "./message.ts";
import type { Change, NetlinkSocket } from "./socket.ts";

interface LinkAddress {
	readonly linkIndex: LinkIndex;
	/** "10.1.2.3/24": the local address with the prefix of its network. */
	readonly cidr: string;
	/** IFA_F_*. */
	readonly flags: number;
	/** RT_SCOPE_*: 0 global, 253 link, 254 host. */
	readonly scope: number;
	/** The other end of a point-to-point link, where it differs. */
	readonly peer?: string;
	/** IPv4 only. */
	readonly broadcast?: string;
	/** Seconds; undefined: for ever. */
	readonly validSeconds?: number;
	readonly preferredSeconds?: number;
}

const FOR_EVER = 0xffffffff;

/** AF_* of an address family. */
export const addressFamily = (family: Family): number => (family === 4 ? AF_INET : AF_INET6);

/** A CIDR that the caller has checked already. */
export function knownCidr(text: string): Cidr {
	const cidr = parseCidr(text);
	if (cidr === undefined) throw new TypeError(`"${text}" is not an address with a prefix length`);
	return cidr;
}

function addressMessage(type: number, flags: number, index: LinkIndex, cidr: Cidr): MessageWriter {
	const family = addressFamily(cidr.ip.family);
	const message = new MessageWriter(type, flags).u8(family).u8(cidr.prefix).u8(0).u8(0).u32(index);
	const bytes = ipToBytes(cidr.ip);
	return message.attributeBytes(nl.IFA_LOCAL, bytes).attributeBytes(nl.IFA_ADDRESS, bytes);
}

function addressRequest(socket: NetlinkSocket, request: string, index: LinkIndex, cidr: string): RequestName {
	const name = socket.linkNames.get(index);
	return { request, subject: `${cidr} of ${name === undefined ? `link ${index}` : `"${name}"`}` };
}

/**
 * The change that adds an address, with the broadcast address of its network for IPv4 up to /30. EEXIST if the
 * interface has it already. Equivalent: `ip address add CIDR broadcast + dev NAME`.
 */
export function newAddress(
	socket: NetlinkSocket,
	index: LinkIndex,
	cidrText: string,
	options: { readonly noDad?: boolean } = {},
): Change {
	const cidr = knownCidr(cidrText);
	const message = addressMessage(nl.RTM_NEWADDR, nl.NLM_F_ACK | nl.NLM_F_CREATE | nl.NLM_F_EXCL, index, cidr);
	if (cidr.ip.family === 4 && cidr.prefix < 31) {
		message.attributeBytes(nl.IFA_BROADCAST, ipToBytes(lastAddressOf(cidr)));
	}
	if (cidr.ip.family === 6 && options.noDad) message.attributeU32(nl.IFA_FLAGS, nl.IFA_F_NODAD);
	return { message, name: addressRequest(socket, "RTM_NEWADDR", index, cidrText) };
}

/** Removes an address; EADDRNOTAVAIL if the interface does not have it. Equivalent: `ip address del CIDR dev NAME`. */
export function deleteAddress(socket: NetlinkSocket, index: LinkIndex, cidrText: string): void {
	const message = addressMessage(nl.RTM_DELADDR, nl.NLM_F_ACK, index, knownCidr(cidrText));
	socket.change(message, addressRequest(socket, "RTM_DELADDR", index, cidrText));
}

/** The addresses of an interface, or (`index` undefined) of all. Equivalent: `ip [-4|-6] address show [dev NAME]`. */
export function listAddresses(socket: NetlinkSocket, index?: LinkIndex, family?: Family): LinkAddress[] {
	const wanted = family === undefined ? 0 : addressFamily(family);
	return socket.dump(dumpMessage(wanted, index ?? 0), DUMP_NAME, (answer) => {
		// Kernels before 4.20 ignore the filters. Without IPv6 in the kernel, a question for it is answered with every
		// family.
		if (answer.type !== nl.RTM_NEWADDR || (index !== undefined && answer.u32(4) !== index)) return undefined;
		const family = answer.u8(0);
		return (family === AF_INET || family === AF_INET6) && (wanted === 0 || family === wanted)
			? parseAddress(answer)
			: undefined;
	});
}

/**
 * The addresses of an interface with the prefix of their network: `listAddresses` where no more is asked, and quicker.
 */
export function listCidrs(socket: NetlinkSocket, index: LinkIndex): ReadonlySet<string> {
	const cidrs = new Set<string>();
	const parse = (answer: Message): undefined => {
		const { datagram, words, start } = answer;
		const isIp = datagram[start] === AF_INET || datagram[start] === AF_INET6;
		if (answer.type !== nl.RTM_NEWADDR || !isIp) return;
		const rows = answer.rows(nl.IFADDRMSG_BYTES, CIDR_VALUES);
		for (let row = 0; row < rows.length; row += 1 + CIDR_VALUES.count) {
			const at = rows[row] as number;
			const own = rows[row + 1] ?? rows[row + 2];
			if (own !== undefined && words[(at + 4) >> 2] === index) cidrs.add(`${own}/${datagram[at + 1]}`);
		}
	};
	socket.dump(dumpMessage(0, index), DUMP_NAME, parse, () => cidrs.clear());
	return cidrs;
}

const CIDR_VALUES = new WantedAttributes([
	[nl.IFA_LOCAL, "address"],
	[nl.IFA_ADDRESS, "address"],
]);

const DUMP_NAME: RequestName = { request: "RTM_GETADDR", subject: "" };

function dumpMessage(family: number, index: number): MessageWriter {
	return new MessageWriter(nl.RTM_GETADDR, nl.NLM_F_DUMP).u8(family).u8(0).u8(0).u8(0).u32(index);
}

/** The order is that of `parseAddress`. */
const ADDRESS_VALUES = new WantedAttributes([
	[nl.IFA_LOCAL, "address"],
	[nl.IFA_ADDRESS, "address"],
	[nl.IFA_FLAGS, "number"],
	[nl.IFA_BROADCAST, "address"],
	[nl.IFA_CACHEINFO, "place"],
]);

function parseAddress(message: Message): LinkAddress | undefined {
	// struct ifaddrmsg: family, prefix length, flags, scope, index.
	const { datagram, start } = message;
	const [local, address, flags, broadcast, cacheInfo] = message.values(nl.IFADDRMSG_BYTES, ADDRESS_VALUES);
	// IFA_ADDRESS is the peer's on a point-to-point link; IPv6 has IFA_LOCAL only there.
	const own = (local ?? address) as string | undefined;
	if (own === undefined) return undefined;
	const found: { -readonly [K in keyof LinkAddress]: LinkAddress[K] } = {
		linkIndex: message.u32(4) as LinkIndex,
		cidr: `${own}/${datagram[start + 1]}`,
		flags: (flags as number | undefined) ?? datagram[start + 2]!,
		scope: datagram[start + 3]!,
	};
	if (address !== undefined && address !== own) found.peer = address as string;
	if (broadcast !== undefined && datagram[start] === AF_INET) found.broadcast = broadcast as string;
	if (cacheInfo !== undefined) {
		// struct ifa_cacheinfo: preferred, valid.
		const [preferred, valid] = [message.u32(cacheInfo as number), message.u32((cacheInfo as number) + 4)];
		if (preferred !== FOR_EVER) found.preferredSeconds = preferred;
		if (valid !== FOR_EVER) found.validSeconds = valid;
	}
	return found;
}
