/**
 * sriov: a virtual function in a pod, and back on the host.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { attempt, sentence, throwTogether } from "../../lib/cni/failures.ts";
import { parsePrevResult } from "../../lib/cni/result.ts";
import type { CniResult, Plugin, Request, ValidAttachment } from "../../lib/cni/types.ts";
import { isAtLeast } from "../../lib/cni/version.ts";
import { delegateCheck, delegateDel, delegateGc, delegateStatus } from "../../lib/linux/delegate.ts";
import { withDeviceErrors } from "../../lib/linux/device-errors.ts";
import { Sandbox } from "../../lib/linux/sandbox.ts";
import { UndoStack } from "../../lib/linux/undo-stack.ts";
import { Log } from "../../lib/log/log.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../../lib/netlink/socket.ts";
import type { VfSettings } from "../../lib/netlink/vf.ts";
import { configureAddresses, requestAddresses } from "./addresses.ts";
import { checkPod, checkSettings } from "./check.ts";
import { claim, requireFree, takeLock } from "./claim.ts";
import { ipamOf, loadAttachment, looseConfig, pciAddressIfAny, strictConfig } from "./config.ts";
import { findPort, requireNetdev, requirePlainUse } from "./device.ts";
import { writeDeviceInfo } from "./device-info.ts";
import { collectInvalid } from "./garbage.ts";
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
import { requireAvailable } from "./status.ts";

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

function check(request: Request): void {
	const attachment = loadAttachment(request);
	const previous = parsePrevResult(request);
	if (previous === undefined) throw new CniError(Code.invalidConfig, "required prevResult missing");
	const record = readRecord(request.containerId, request.ifName);
	if (record === undefined || record === "damaged") {
		throw new CniError(
			Code.checkFailed,
			`there is no record of an attachment of container ${request.containerId}, interface ${request.ifName}`,
		);
	}
	if (record.pci !== attachment.pci) {
		throw new CniError(Code.checkFailed, `the attachment has VF ${record.pci}, not ${attachment.pci}`);
	}
	using host = NetlinkSocket.open(NETLINK_ROUTE);
	const port = findPort(host, record.pci);
	// Drivers show an administrative MAC that nobody has set.
	const { mac: _, ...before } = record.original.settings ?? {};
	if (port !== undefined) checkSettings(host, port, { ...before, ...attachment.settings });
	if (record.original.netdev !== undefined) {
		using sandbox = Sandbox.open(request.netns);
		checkPod(sandbox, record, previous);
	}
	if (attachment.ipam !== undefined) delegateCheck(request, attachment.ipam);
}

/** Gives back every VF of this network whose attachment is not valid. Goes on after errors, and tells of all of them. */
function gc(request: Request, valid: readonly ValidAttachment[] | undefined): void {
	const config = looseConfig(request);
	const log = openLog(request, config);
	const failures: unknown[] = [];
	if (valid !== undefined) collectInvalid(request.network, config, valid, failures, log);
	const ipam = ipamOf(config);
	// Without a list an executed plugin might take every attachment for invalid.
	if (ipam !== undefined && valid !== undefined) attempt(failures, () => delegateGc(request, ipam));
	throwTogether(failures);
}

function status(request: Request): void {
	const config = strictConfig(request);
	const ipam = ipamOf(config);
	requireAvailable(config);
	if (ipam !== undefined) delegateStatus(request, ipam);
}

export const plugin: Plugin = withDeviceErrors({ add, del, check, gc, status });

function openLog(request: Request, config: SriovConfig): Log {
	return new Log({
		level: config.logLevel,
		file: config.logFile,
		fields: { cniName: "sriov-cni", containerID: request.containerId, netns: request.netns, ifname: request.ifName },
	});
}
