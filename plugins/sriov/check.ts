/**
 * CHECK: is everything still as ADD left it? Each difference has its sentence.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import type { CniResult } from "../../lib/cni/types.ts";
import { checkAddresses, checkRoutes } from "../../lib/linux/attached.ts";
import type { Sandbox } from "../../lib/linux/sandbox.ts";
import { getLinkByName } from "../../lib/netlink/link.ts";
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
	const mtu = told.mtu ?? record.config.mtu ?? record.original.netdev?.mtu;
	if (mtu !== undefined && mtu !== link.mtu) throw failed(`MTU of ${ifName} is ${link.mtu}, not ${mtu}`);
	if (!link.up) throw failed(`${ifName} is down`);
	checkAddresses(
		sandbox.route,
		link,
		(previous.ips ?? []).filter((ip) => (ip.interface ?? index) === index),
	);
	checkRoutes(sandbox.route, link, previous.routes ?? []);
}
