/**
 * sriov: a virtual function in a pod, and back on the host.
 *
 * ADD and DEL are here, the other verbs in files of their names.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { attempt, sentence, throwTogether } from "../../lib/cni/failures.ts";
import type { CniResult, Plugin, Request } from "../../lib/cni/types.ts";
import { isAtLeast } from "../../lib/cni/version.ts";
import { delegateDel } from "../../lib/linux/delegate.ts";
import { withDeviceErrors } from "../../lib/linux/device-errors.ts";
import { Sandbox } from "../../lib/linux/sandbox.ts";
import { UndoStack } from "../../lib/linux/undo-stack.ts";
import type { Log } from "../../lib/log/log.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../../lib/netlink/socket.ts";
import type { VfSettings } from "../../lib/netlink/vf.ts";
import { configureAddresses, requestAddresses } from "./addresses.ts";
import { check } from "./check.ts";
import { claim, requireFree, takeLock } from "./claim.ts";
import { ipamOf, loadAttachment, looseConfig, pciAddressIfAny } from "./config.ts";
import { findPort, requireNetdev, requirePlainUse } from "./device.ts";
import { writeDeviceInfo } from "./device-info.ts";
import { gc } from "./garbage.ts";
import { openLog } from "./log.ts";
import { enterPod, requireNameFree } from "./netdev.ts";
import {
	readDamagedRecord,
	readMarker,
	readRecord,
	recordsOf,
	removeMarker,
	removeRecord,
	removeTemporary,
} from "./record.ts";
import { release } from "./release.ts";
import { damagedPci, salvage } from "./salvage.ts";
import type { SriovConfig } from "./schema.ts";
import { applySettings, type VfPort, ZERO_MAC } from "./settings.ts";
import { status } from "./status.ts";

function add(request: Request): CniResult {
	const attachment = loadAttachment(request);
	if (attachment.ipam === undefined && !isAtLeast(request.cniVersion, "0.3.0")) {
		// The old result is nothing but addresses. Said before anything is done.
		throw new CniError(Code.invalidConfig, "cannot convert: no valid IP addresses");
	}
	const log = openLog(request, attachment.config);
	using sandbox = Sandbox.open(request.netns);
	requireNameFree(sandbox, request.ifName);
	using host = NetlinkSocket.open(NETLINK_ROUTE);
	const port = findPort(host, attachment.pci);
	using _lock = takeLock(attachment.pci);
	requireFree(request, host, attachment.pci, log);
	// Last, so that it unwinds first: its steps need the sockets and the lock.
	using undo = new UndoStack((what, error) => log.error(`could not ${what} after a failed ADD: ${sentence(error)}`));

	const netdev = requireNetdev(host, attachment.pci);
	if (port === undefined) requirePlainUse(attachment, netdev);
	const record = claim(request, attachment, sandbox, host, port, netdev, log);
	undo.push(`give VF ${record.pci} back`, () => release(host, record, request.netns, log));

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

/**
 * Never sticks: what is missing is not needed, and the addresses are released whatever happens to the device. Works from
 * the record; the configuration may have lost fields on its way (Multus 4.3.0 and older).
 */
function del(request: Request): void {
	const config = looseConfig(request);
	const log = openLog(request, config);
	const failures: unknown[] = [];
	// First, since dhcp releases its lease over the interface.
	const ipam = ipamOf(config);
	const isKnown = readRecord(request.containerId, request.ifName) !== undefined;
	if (ipam !== undefined) attempt(failures, () => releaseAddresses(request, ipam, isKnown, log));
	attempt(failures, () => releaseAttachment(request, config, log));
	throwTogether(failures);
}

/** An ADD that was refused because its IPAM plugin is not there has no record: its DEL must not fail for the same reason. */
function releaseAddresses(request: Request, ipam: string, isKnown: boolean, log: Log): void {
	try {
		delegateDel(request, ipam);
	} catch (error) {
		if (isKnown || !(error instanceof CniError) || error.code !== Code.delegation) throw error;
		log.warning(`nothing was attached, and ${error.message}`);
	}
}

function releaseAttachment(request: Request, config: SriovConfig, log: Log): void {
	const { containerId, ifName } = request;
	const found = readRecord(containerId, ifName);
	const pci = typeof found === "object" ? found.pci : (toldPci(found, request) ?? pciAddressIfAny(config));
	if (pci === undefined) {
		if (found === "damaged") removeRecord({ containerId, ifName });
		return;
	}
	using _lock = takeLock(pci);
	// Another DEL may have done it while we waited.
	const record = readRecord(containerId, ifName);
	if (record === undefined) {
		removeTemporary(pci);
		// What an ADD that was killed at its beginning left, or a DEL at its end. A VF that some record knows belongs to that one.
		if (request.netns !== "" && readMarker(pci) === request.netns && recordsOf(pci).length === 0) removeMarker(pci);
		return;
	}
	using host = NetlinkSocket.open(NETLINK_ROUTE);
	if (record === "damaged") log.warning(`the record of ${containerId} ${ifName} is damaged: what is lost is guessed`);
	release(host, record === "damaged" ? salvage(host, request, config, pci) : record, request.netns, log);
}

/** Of a damaged record. */
const toldPci = (found: "damaged" | undefined, { containerId, ifName }: Request): string | undefined =>
	found && damagedPci(readDamagedRecord(containerId, ifName));

export const plugin: Plugin = withDeviceErrors({
	add,
	del,
	check,
	gc,
	status,
});
