/**
 * Who has a VF: the lock while a verb works on it, the marker while a sandbox has it.
 */

import { podOf } from "../../lib/cni/args.ts";
import { CniError, Code } from "../../lib/cni/error.ts";
import type { JsonObject, Request } from "../../lib/cni/types.ts";
import { IFF_ALLMULTI, IFF_PROMISC } from "../../lib/netlink/constants.ts";
import type { Link } from "../../lib/netlink/link.ts";
import type { NetlinkSocket } from "../../lib/netlink/socket.ts";
import type { VfSettings } from "../../lib/netlink/vf.ts";
import { delegate } from "../../lib/plugin/delegate.ts";
import type { Log } from "../../lib/plugin/log.ts";
import type { Sandbox } from "../../lib/plugin/sandbox.ts";
import { requireLock } from "../../lib/plugin/verb-lock.ts";
import type { DeviceState } from "../../lib/rdma/given.ts";
import { text } from "../../lib/state/json.ts";
import { isAlive } from "../../lib/state/liveness.ts";
import { bootId } from "../../lib/sys/boot.ts";
import type { Lock } from "../../lib/sys/lock.ts";
import * as sys from "../../lib/sys/sys.ts";
import { type Attachment, ipamOf } from "./config.ts";
import type { SeenPort } from "./device.ts";
import {
	countRecords,
	listMarked,
	lockPath,
	markerPath,
	readMarker,
	readRecord,
	recordsOf,
	removeMarker,
	writeMarker,
	writeRecord,
} from "./record.ts";
import type { VfRecord } from "./record-format.ts";
import { recoverAll } from "./recover.ts";
import { release } from "./release.ts";
import { readSettings } from "./settings.ts";

/** Takes the VF's lock, which lasts until the end of the process at the latest. Throws CniError 11 after a minute. */
export function takeLock(pci: string): Lock {
	return requireLock(lockPath(pci), `VF ${pci}`);
}

/**
 * Refuses a VF that a living sandbox has. One whose sandbox is dead, without a DEL that could put all back, is given
 * back first, so that this ADD starts from the VF's own settings and not from those of a dead pod; and so are that
 * pod's addresses.
 */
export function requireFree(request: Request, host: NetlinkSocket, pci: string, log: Log): void {
	const all = listMarked();
	const marker = all.includes(pci) ? readMarker(pci) : undefined;
	// Go writes its record before its marker, and removes a stale marker without looking further: some record may be
	// of a VF without a marker. Told by their numbers alone, since records are many, and rarely one is.
	if (marker === undefined && countRecords() <= all.length) return;
	const records = recordsOf(pci);
	// The marker may be an old one that somebody brought back.
	const living = records.find((record) => hasOwner(record.netns, record));
	const marked = records.find((record) => record.netns === marker || record.netns === "");
	const owner = living ?? (marker === undefined ? undefined : marked);
	const sandbox = living?.netns ?? marker ?? "";
	if (hasOwner(sandbox, owner)) {
		const who = owner === undefined ? "" : ` (container ${owner.containerId}, interface ${owner.ifName})`;
		throw new CniError(Code.tryAgain, `pci address ${pci} is already allocated to sandbox ${sandbox}${who}`);
	}
	for (const record of [...records, ...recoverAll(host, pci)]) {
		const gone = `sandbox ${marker ?? record.netns} is gone`;
		log.info(`VF ${pci} comes back from container ${record.containerId}, whose ${gone}`);
		if (release(host, record, marker ?? "", log)) {
			tryToReleaseAddressesOf(record, request, log);
			continue;
		}
		throw new CniError(
			Code.tryAgain,
			`VF ${pci} is not back from container ${record.containerId} yet, whose ${gone}: something still holds that namespace, or the driver refuses the VF's old settings (see the log)`,
		);
	}
	if (marker !== undefined) removeMarker(pci);
}

/**
 * Releases the addresses of an attachment by its own record, which is another's than this call's. Throws CniError.
 */
export function releaseAddressesOf({ containerId, ifName, network, config }: VfRecord, request: Request): void {
	const ipam = ipamOf(config);
	// The name of the network is a directory of host-local's; it is lost where a record was truncated before it.
	if (typeof ipam !== "string" || network === "") return;
	delegate(
		"DEL",
		{ ...withConfig(request, config as JsonObject), containerId, ifName, netns: "", args: "", network },
		ipam,
	);
}

/** No reason to fail an ADD: the dead attachment's own DEL may still come. */
function tryToReleaseAddressesOf(record: VfRecord, request: Request, log: Log): void {
	try {
		releaseAddressesOf(record, request);
	} catch (error) {
		if (!(error instanceof CniError)) throw error;
		const { containerId, ifName } = record;
		log.warning(`the addresses of container ${containerId}, interface ${ifName}, are not released: ${error.message}`);
	}
}

/** `request` with another configuration: a record's. */
export function withConfig(request: Request, config: JsonObject): Request {
	const cniVersion = text(config.cniVersion) || "0.1.0";
	return { ...request, config, cniVersion, stdin: sys.encodeUtf8(JSON.stringify(config)) };
}

/** Whether the sandbox at `netns` is there, and still the one that the record is of (unknown in Go's). */
const hasOwner = (netns: string, record: VfRecord | undefined): boolean =>
	isAlive(record ?? { netns, netnsIdentity: "", bootId: "" }, netns);

/** Writes down what the VF is now and who gets it: marker, then record. From here on DEL can put everything back. */
export function claim(
	request: Request,
	attachment: Attachment,
	sandbox: Sandbox,
	host: NetlinkSocket,
	port: SeenPort | undefined,
	netdev: Link | undefined,
	rdma: DeviceState | undefined,
	log: Log,
): VfRecord {
	if (port !== undefined && attachment.mac !== undefined) warnOfTwin(port, attachment.mac, log);
	const record: VfRecord = {
		containerId: request.containerId,
		ifName: request.ifName,
		netns: request.netns,
		netnsIdentity: sandbox.identity,
		bootId: bootId(),
		network: request.network,
		...podOf(request.args),
		pci: attachment.pci,
		pfName: port?.pfName ?? "",
		vfIndex: port?.vf ?? 0,
		original: {
			netdev: netdev && {
				name: netdev.name,
				mac: netdev.mac,
				mtu: netdev.mtu,
				altNames: netdev.altNames,
				up: netdev.up,
				promiscuous: (netdev.flags & IFF_PROMISC) !== 0,
				allMulticast: (netdev.flags & IFF_ALLMULTI) !== 0,
				alias: netdev.alias ?? "",
				txQueueLength: netdev.txQueueLength,
				group: netdev.group,
				parentDevice: netdev.parentDevice ?? "",
			},
			settings: port && settingsNow(host, port),
		},
		rdma,
		config: attachment.config,
		requestedMac: attachment.mac,
	};
	if (!writeMarker(record.pci, record.netns)) {
		throw new CniError(Code.tryAgain, `VF ${record.pci} has got a marker just now: ${markerPath(record.pci)}`);
	}
	let isWritten = false;
	try {
		isWritten = writeRecord(record);
	} finally {
		if (!isWritten) removeMarker(record.pci);
	}
	if (!isWritten) throw hasAnother(request);
	return record;
}

/** The record of an attachment must not be lost to another VF under the same name. */
function hasAnother(request: Request): CniError {
	const { containerId, ifName } = request;
	const other = readRecord(request);
	const what = typeof other === "object" ? `VF ${other.pci} as ${ifName} already` : `a damaged record for ${ifName}`;
	return new CniError(Code.tryAgain, `container ${containerId} has ${what}: a DEL has to come first`);
}

/** A PF that lists none reports none; one that leaves out ours is asked again. */
function settingsNow(host: NetlinkSocket, port: SeenPort): VfSettings | undefined {
	return port.seen.vf(port.vf) ?? (port.seen.listsVfs ? readSettings(host, port) : undefined);
}

/**
 * Two VFs with one MAC on a card: frames reach either. A DEL that never came leaves such a twin (device plugin issue
 * 685).
 */
function warnOfTwin({ seen, vf, pfName }: SeenPort, mac: string, log: Log): void {
	const twin = seen.vfs().findIndex((each, index) => index !== vf && each?.mac === mac);
	if (twin >= 0) log.warning(`VF ${twin} of PF ${pfName} has the administrative MAC ${mac}, too`);
}
