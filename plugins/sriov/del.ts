/**
 * DEL: the VF returns to the host as it was.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { attempt, throwTogether } from "../../lib/cni/failures.ts";
import type { JsonObject, Request } from "../../lib/cni/types.ts";
import { vfNetdev } from "../../lib/linux/pci.ts";
import { NETLINK_ROUTE } from "../../lib/netlink/constants.ts";
import { getLink } from "../../lib/netlink/link.ts";
import { NetlinkSocket } from "../../lib/netlink/socket.ts";
import { delegate } from "../../lib/plugin/delegate.ts";
import type { Log } from "../../lib/plugin/log.ts";
import { Sandbox } from "../../lib/plugin/sandbox.ts";
import { takeLock, withConfig } from "./claim.ts";
import { ipamOf, looseConfig, pciAddressIfAny } from "./config.ts";
import { makesNetdev } from "./device.ts";
import { openLog } from "./log.ts";
import {
	readDamagedRecord,
	readMarker,
	readRecord,
	recordsOf,
	removeMarker,
	removeRecord,
	removeTemporary,
} from "./record.ts";
import { pciIn, type VfRecord } from "./record-format.ts";
import { recover } from "./recover.ts";
import { release } from "./release.ts";
import type { SriovConfig } from "./schema.ts";

/**
 * Idempotent: what is missing is not needed, and the addresses are released whatever happens to the device. Works
 * from the record; the configuration may have lost fields on its way (Multus 4.3.0 and older).
 */
export function del(request: Request): void {
	const config = looseConfig(request);
	const log = openLog(request, config);
	const failures: unknown[] = [];
	// First, since dhcp releases its lease over the interface.
	attempt(failures, () => releaseAllAddresses(request, config, failures, log));
	attempt(failures, () => releaseAttachment(request, config, log));
	throwTogether(failures);
}

/**
 * By what ADD was given, since that is where the addresses are: networks are edited, and Multus 4.3.0 and older lose
 * fields. And by what this call says, where that differs. Of `ipam` Go's record has the type alone, which counts
 * where the call names none.
 */
function releaseAllAddresses(request: Request, config: SriovConfig, failures: unknown[], log: Log): void {
	const record = readRecord(request);
	const given = ipamOf(config);
	if (typeof record === "object") {
		const { config: recorded, bootId } = record;
		const ipam = ipamOf(recorded);
		const isAnother = JSON.stringify(recorded.ipam) !== JSON.stringify(config.ipam);
		if (typeof ipam === "string" && (bootId === "" ? given === undefined : isAnother)) {
			attempt(failures, () => releaseAddresses(withConfig(request, recorded as JsonObject), ipam, log));
		}
	}
	if (given !== undefined) releaseAddresses(request, given, log);
}

/**
 * An ADD that was refused because its IPAM plugin is not there has no record: its DEL must not fail for the same
 * reason.
 */
function releaseAddresses(request: Request, ipam: string, log: Log): void {
	try {
		delegate("DEL", request, ipam);
	} catch (error) {
		if (!(error instanceof CniError) || error.code !== Code.delegation) throw error;
		if (readRecord(request) !== undefined) throw error;
		log.warning(`nothing was attached, and ${error.message}`);
	}
}

function releaseAttachment(request: Request, config: SriovConfig, log: Log): void {
	// Mostly the configuration names the VF that the record is of.
	const given = pciAddressIfAny(config);
	let pci = given;
	while (pci === undefined || !releaseVf(request, config, pci, log)) {
		const found = readRecord(request);
		const told = pciOf(found, request) ?? pci;
		if (told === undefined) {
			if (found === "damaged") removeRecord(request, undefined);
			return;
		}
		pci = told;
	}
	// An old record that was brought back is of another VF than ADD was given.
	if (given !== undefined && pci !== given) releaseVf(request, config, given, log);
}

/**
 * False: the record is of another VF, and nothing has been done. The record that counts is that of now, with the lock
 * held.
 */
function releaseVf(request: Request, config: SriovConfig, pci: string, log: Log): boolean {
	const { containerId, ifName } = request;
	using _lock = takeLock(pci);
	const record = readRecord(request);
	if ((pciOf(record, request) ?? pci) !== pci) return false;
	if (record === undefined) removeTemporary(pci);
	if (record === undefined && !isLost(request, pci)) {
		// What an ADD that was killed at its beginning left, or a DEL at its end. A VF that some record knows belongs
		// to that one.
		if (request.netns !== "" && readMarker(pci) === request.netns && recordsOf(pci).length === 0) removeMarker(pci);
		return true;
	}
	const about = `the record of ${containerId} ${ifName} is damaged or truncated: using defaults for what is lost`;
	if (record === "damaged") log.warning(about);
	if (record === undefined) log.warning(`VF ${pci} is in the sandbox, but its record is gone: using defaults`);
	using host = NetlinkSocket.open(NETLINK_ROUTE);
	release(host, typeof record === "object" ? record : recover(host, request, config, pci), request.netns, log);
	return true;
}

/** Whether the VF is the interface of this attachment, though no record says so: somebody has removed it. */
function isLost({ netns, ifName }: Request, pci: string): boolean {
	if (netns === "" || vfNetdev(pci) !== undefined || !makesNetdev(pci)) return false;
	using sandbox = Sandbox.openIfAlive(netns);
	if (sandbox === undefined || getLink(sandbox.route, ifName)?.parentDevice !== pci) return false;
	return !recordsOf(pci).some((record) => record.netns === netns || record.netns === "");
}

/** The VF that a record is of, as far as that is left of a damaged one. */
function pciOf(record: VfRecord | "damaged" | undefined, request: Request): string | undefined {
	return record === "damaged" ? pciIn(readDamagedRecord(request)) : record?.pci;
}
