/**
 * CHECK: is everything still as ADD left it? Each difference has its sentence.
 */
import { CniError, Code, checkFailed } from "../../lib/cni/error.ts";
import { parsePrevResult } from "../../lib/cni/result.ts";
import type { CniResult, Request } from "../../lib/cni/types.ts";
import { NETLINK_RDMA, NETLINK_ROUTE } from "../../lib/netlink/constants.ts";
import { getLink } from "../../lib/netlink/link.ts";
import { NetlinkSocket } from "../../lib/netlink/socket.ts";
import type { VfSettings } from "../../lib/netlink/vf.ts";
import { checkAddresses, checkRoutes } from "../../lib/plugin/attached.ts";
import { delegate } from "../../lib/plugin/delegate.ts";
import { Sandbox } from "../../lib/plugin/sandbox.ts";
import { checkDevice } from "../../lib/rdma/check-device.ts";
import { openExclusive } from "../../lib/rdma/subsystem.ts";
import { type Attachment, loadAttachment } from "./config.ts";
import { findPort, type SeenPort, settingOfPf } from "./device.ts";
import { givenDevice } from "./rdma.ts";
import { readRecord } from "./record.ts";
import type { VfRecord } from "./record-format.ts";
import { differing, readSettings } from "./settings.ts";
import { nameOf, shown } from "./vf-settings.ts";

export function check(request: Request): void {
	const attachment = loadAttachment(request);
	const previous = parsePrevResult(request);
	if (previous === undefined) throw new CniError(Code.invalidConfig, "required prevResult missing");
	const record = readRecord(request);
	if (record === undefined || record === "damaged") {
		throw checkFailed(
			`there is no record of an attachment of container ${request.containerId}, interface ${request.ifName}`,
		);
	}
	if (record.pci !== attachment.pci) throw checkFailed(`the attachment has VF ${record.pci}, not ${attachment.pci}`);
	using host = NetlinkSocket.open(NETLINK_ROUTE);
	const port = findPort(host, record.pci);
	// Drivers show an administrative MAC that nobody has set.
	const { mac: _, ...before } = record.original.settings ?? {};
	if (port !== undefined) checkSettings(host, port, { ...before, ...attachment.settings });
	const unseen = port === undefined ? settingOfPf(attachment) : undefined;
	if (unseen !== undefined) {
		throw checkFailed(
			`${unseen} of VF ${record.pci} cannot be looked at: its PF has no network interface on this host`,
		);
	}
	if (record.original.netdev !== undefined) {
		using sandbox = Sandbox.open(request.netns);
		checkPod(sandbox, record, attachment, previous);
	}
	checkRdma(record, attachment, request.netns);
	if (attachment.ipam !== undefined) delegate("CHECK", request, attachment.ipam);
}

function checkRdma(record: VfRecord, attachment: Attachment, netns: string): void {
	const given = givenDevice(record);
	if (given !== undefined) {
		using sandbox = Sandbox.open(netns, NETLINK_RDMA);
		checkDevice(sandbox, given);
	} else if (attachment.rdma !== undefined) {
		using exclusive = openExclusive(attachment.rdma);
		if (exclusive !== undefined) throw checkFailed(`the attachment has VF ${record.pci} without its RDMA device`);
	}
}

/** The VF's settings at its PF against the configuration. */
function checkSettings(host: NetlinkSocket, port: SeenPort, wanted: Partial<VfSettings>): void {
	if (Object.keys(wanted).length === 0) return;
	const now = port.seen.vf(port.vf) ?? readSettings(host, port);
	const field = differing(now, wanted).find((each) => now[each] !== undefined);
	if (field === undefined) return;
	throw checkFailed(
		`${nameOf(field)} of VF ${port.vf} of PF ${port.pfName} is ${shown(now[field])}, not ${shown(wanted[field])}`,
	);
}

/** The netdev in the pod against the configuration, its addresses and routes against what ADD answered. */
function checkPod(sandbox: Sandbox, record: VfRecord, attachment: Attachment, previous: CniResult): void {
	const { ifName } = record;
	const link = getLink(sandbox.route, ifName);
	if (link === undefined || link.name !== ifName)
		throw checkFailed(`there is no interface ${ifName} in ${sandbox.path}`);
	const device = record.original.netdev?.parentDevice || link.parentDevice;
	if (link.parentDevice !== device) {
		throw checkFailed(`${ifName} in ${sandbox.path} is device ${link.parentDevice}, not VF ${record.pci}`);
	}
	const index = previous.interfaces?.findIndex((each) => each.name === ifName && each.sandbox) ?? -1;
	const told = previous.interfaces?.[index];
	if (told === undefined) throw checkFailed(`prevResult has no interface ${ifName} in a sandbox`);
	// What nobody has asked for is no demand; and a plugin later in the chain (tuning) puts a MAC of its own into the
	// result.
	const { mac, mtu } = attachment;
	if (mac !== undefined && mac !== link.mac && told.mac?.toLowerCase() !== link.mac) {
		throw checkFailed(`MAC of ${ifName} is ${link.mac}, not ${mac}`);
	}
	if (mtu !== undefined && mtu !== link.mtu) throw checkFailed(`MTU of ${ifName} is ${link.mtu}, not ${mtu}`);
	if (!link.up) throw checkFailed(`${ifName} is down`);
	const addresses = (previous.ips ?? []).filter((ip) => (ip.interface ?? index) === index);
	checkAddresses(sandbox.route, link, addresses);
	checkRoutes(sandbox.route, link, previous.routes ?? []);
}
