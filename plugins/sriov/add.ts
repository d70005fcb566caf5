/**
 * ADD: a VF into the pod, as the configuration asks.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { sentence } from "../../lib/cni/failures.ts";
import type { CniResult, Request } from "../../lib/cni/types.ts";
import { isAtLeast } from "../../lib/cni/version.ts";
import { NETLINK_ROUTE } from "../../lib/netlink/constants.ts";
import { NetlinkSocket } from "../../lib/netlink/socket.ts";
import type { VfSettings } from "../../lib/netlink/vf.ts";
import { Sandbox } from "../../lib/plugin/sandbox.ts";
import { UndoStack } from "../../lib/plugin/undo-stack.ts";
import { takeLock as takeMoveLock } from "../../lib/rdma/record.ts";
import { openExclusive } from "../../lib/rdma/subsystem.ts";
import { configureAddresses, requestAddresses } from "./addresses.ts";
import { claim, requireFree, takeLock } from "./claim.ts";
import { loadAttachment } from "./config.ts";
import { findPlace, portAt, requireNetdev, requirePlainUse, requireWayToAddresses } from "./device.ts";
import { writeDeviceInfo } from "./device-info.ts";
import { openLog } from "./log.ts";
import { enterPod, requireNameFree } from "./netdev.ts";
import { enterWithRdma, findRdma, recordQos } from "./rdma.ts";
import { release } from "./release.ts";
import { applySettings, type VfPort, ZERO_MAC } from "./settings.ts";

export function add(request: Request): CniResult {
	const attachment = loadAttachment(request);
	if (attachment.ipam === undefined && !isAtLeast(request.cniVersion, "0.3.0")) {
		// The old result is nothing but addresses. Said before anything is done.
		throw new CniError(Code.invalidConfig, "cannot convert: no valid IP addresses");
	}
	const log = openLog(request, attachment.config);
	using sandbox = Sandbox.open(request.netns);
	requireNameFree(sandbox, request.ifName);
	using rdma = attachment.rdma && openExclusive(attachment.rdma);
	using host = NetlinkSocket.open(NETLINK_ROUTE);
	const place = findPlace(attachment.pci);
	using _lock = takeLock(attachment.pci);
	requireFree(request, host, attachment.pci, log);
	// Last, so that it unwinds first: its steps need the sockets and the lock.
	using undo = new UndoStack((what, error) => log.error(`could not ${what} after a failed ADD: ${sentence(error)}`));

	// Not before: what the VF is now counts, and a dead pod's may just have been given back.
	const port = place && portAt(host, attachment.pci, place);
	const netdev = requireNetdev(host, attachment.pci);
	if (port === undefined) requirePlainUse(attachment, netdev);
	requireWayToAddresses(attachment, netdev);
	// Held for the move alone, and free again when this is undone, which takes it, too.
	using moves = rdma && takeMoveLock();
	const moving = findRdma(rdma, request, attachment, log);
	let record = claim(request, attachment, sandbox, host, port, netdev, moving?.state, log);
	undo.push(`give VF ${record.pci} back`, () => release(host, record, request.netns, log));
	if (moving !== undefined) {
		record = recordQos(record, moving, log);
		enterWithRdma(moving, sandbox, record, log);
	}
	moves?.release();

	const settings = port && applySettings(host, port, record.original.settings, attachment.settings);
	const inPod =
		netdev && enterPod(host, sandbox, netdev, { name: request.ifName, mac: attachment.mac, mtu: attachment.mtu });
	// Those of a VF without a netdev are told, and that is all.
	const ipam = requestAddresses(request, attachment.ipam, undo);
	if (inPod && ipam.ips) configureAddresses(sandbox, inPod, ipam, expectsCarrier(port, settings), log);
	writeDeviceInfo(attachment.config, record.pci, undo);
	undo.commit();
	log.debug("the VF is in the sandbox", { pci: record.pci, pf: record.pfName, vf: record.vfIndex });
	const mac = inPod?.mac ?? attachment.mac ?? (settings?.mac === ZERO_MAC ? undefined : settings?.mac);
	return {
		...ipam,
		interfaces: [
			{
				name: request.ifName,
				...(mac && { mac }),
				...(inPod && { mtu: inPod.mtu }),
				sandbox: request.netns,
				pciID: record.pci,
			},
		],
	};
}

/** Whether the card shows the VF a link: always, never, or as its PF has one. */
function expectsCarrier(port: VfPort | undefined, settings: VfSettings | undefined): boolean {
	if (settings?.linkState === "enable" || settings?.linkState === "disable") return settings.linkState === "enable";
	return port?.pfHasCarrier === true;
}
