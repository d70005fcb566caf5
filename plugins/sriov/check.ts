/**
 * CHECK: is everything still as ADD left it? Each difference has its sentence.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import type { CniResult } from "../../lib/cni/types.ts";
import { formatIp, parseIp } from "../../lib/ip/address.ts";
import { formatCidr, networkOf, parseCidr } from "../../lib/ip/cidr.ts";
import type { Sandbox } from "../../lib/linux/sandbox.ts";
import { listAddresses } from "../../lib/netlink/address.ts";
import { getLinkByName, type Link } from "../../lib/netlink/link.ts";
import { listRoutes } from "../../lib/netlink/route.ts";
import type { NetlinkSocket } from "../../lib/netlink/socket.ts";
import type { VfSettings } from "../../lib/netlink/vf.ts";
import type { VfRecord } from "./record-format.ts";
import { differing, FIELD_NAMES, readSettings, shown, type VfPort } from "./settings.ts";

const failed = (sentence: string): CniError => new CniError(Code.checkFailed, sentence);

/** The VF's settings at its PF against the configuration. */
export function checkSettings(host: NetlinkSocket, port: VfPort, wanted: Partial<VfSettings>): void {
	if (Object.keys(wanted).length === 0) return;
	const now = readSettings(host, port);
	const field = differing(now, wanted).find((each) => now[each] !== undefined);
	if (field === undefined) return;
	const name = FIELD_NAMES.find(([each]) => each === field)?.[1];
	throw failed(`${name} of VF ${port.vf} of PF ${port.pfName} is ${shown(now[field])}, not ${shown(wanted[field])}`);
}

/** The netdev in the pod, its addresses and its routes against what ADD answered. */
export function checkPod(sandbox: Sandbox, record: VfRecord, previous: CniResult): void {
	const { ifName } = record;
	const link = getLinkByName(sandbox.route, ifName);
	if (link === undefined || link.name !== ifName) throw failed(`there is no interface ${ifName} in ${sandbox.path}`);
	const device = record.original.netdev?.parentDevice || link.parentDevice;
	if (link.parentDevice !== device) {
		throw failed(`${ifName} in ${sandbox.path} is device ${link.parentDevice}, not VF ${record.pci}`);
	}
	const index = previous.interfaces?.findIndex((each) => each.name === ifName && each.sandbox) ?? -1;
	const told = previous.interfaces?.[index];
	if (told === undefined) throw failed(`prevResult has no interface ${ifName} in a sandbox`);
	if (told.mac !== undefined && told.mac.toLowerCase() !== link.mac)
		throw failed(`MAC of ${ifName} is ${link.mac}, not ${told.mac}`);
	const mtu = told.mtu ?? record.config.mtu;
	if (mtu !== undefined && mtu !== link.mtu) throw failed(`MTU of ${ifName} is ${link.mtu}, not ${mtu}`);
	if (!link.up) throw failed(`${ifName} is down`);
	checkAddresses(sandbox, link, previous, index);
	checkRoutes(sandbox, link, previous);
}

function checkAddresses(sandbox: Sandbox, link: Link, previous: CniResult, index: number): void {
	const expected = (previous.ips ?? []).filter((ip) => (ip.interface ?? index) === index);
	if (expected.length === 0) return;
	const present = listAddresses(sandbox.route, link.index).map((each) => each.cidr);
	for (const ip of expected) {
		const cidr = parseCidr(ip.address);
		if (cidr === undefined) throw failed(`prevResult has the address "${ip.address}", which is not in CIDR notation`);
		if (!present.includes(formatCidr(cidr))) throw failed(`address ${ip.address} is missing on ${link.name}`);
	}
}

/** Plugins later in the chain may have changed a route's details; that it goes out of this interface must hold. */
function checkRoutes(sandbox: Sandbox, link: Link, previous: CniResult): void {
	if (!previous.routes?.length) return;
	const present = listRoutes(sandbox.route, { linkIndex: link.index });
	for (const { dst, gw, table } of previous.routes) {
		const destination = parseCidr(dst);
		const network = destination && formatCidr(networkOf(destination));
		const gateway = gw === undefined ? undefined : parseIp(gw);
		const found = present.some(
			(route) =>
				route.dst === network &&
				(table === undefined || route.table === table) &&
				(gateway === undefined || route.gw === formatIp(gateway)),
		);
		if (!found) throw failed(`route to ${dst}${gw ? ` via ${gw}` : ""} is missing on ${link.name}`);
	}
}
