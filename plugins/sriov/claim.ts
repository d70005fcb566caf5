/**
 * Who has a VF: the lock while a verb works on it, the marker while a sandbox has it.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import type { Request } from "../../lib/cni/types.ts";
import { bootId } from "../../lib/linux/boot.ts";
import { Lock } from "../../lib/linux/lock.ts";
import { Sandbox } from "../../lib/linux/sandbox.ts";
import type { Log } from "../../lib/log/log.ts";
import { IFF_ALLMULTI, IFF_PROMISC, type Link } from "../../lib/netlink/link.ts";
import type { NetlinkSocket } from "../../lib/netlink/socket.ts";
import { getVfs, type VfSettings } from "../../lib/netlink/vf.ts";
import type { Attachment } from "./config.ts";
import {
	lockPath,
	prepareState,
	readMarker,
	readRecord,
	recordsOf,
	removeMarker,
	writeMarker,
	writeRecord,
} from "./record.ts";
import type { VfRecord } from "./record-format.ts";
import { release } from "./release.ts";
import { readSettings, type VfPort } from "./settings.ts";

/** Takes the VF's lock, which lasts until the end of the process at the latest. Throws CniError 11 after a minute. */
export function takeLock(pci: string): Lock {
	prepareState();
	return Lock.require(lockPath(pci), `VF ${pci}`);
}

/**
 * Refuses a VF that a living sandbox has. One whose sandbox is dead, without a DEL, is given back first, so that this ADD
 * starts from the VF's own settings and not from those of a dead pod.
 */
export function requireFree(host: NetlinkSocket, pci: string, log: Log): void {
	const marker = readMarker(pci);
	if (marker === undefined) return;
	const records = recordsOf(pci);
	const owner = records.find((record) => record.netns === marker || record.netns === "");
	if (isAlive(marker, owner?.netnsIdentity)) {
		const who = owner === undefined ? "" : ` (container ${owner.containerId}, interface ${owner.ifName})`;
		throw new CniError(Code.tryAgain, `pci address ${pci} is already allocated to sandbox ${marker}${who}`);
	}
	for (const record of records) {
		log.info(
			`VF ${pci} comes back from container ${record.containerId}, whose sandbox ${marker} is gone without a DEL`,
		);
		if (release(host, record, marker, log)) continue;
		throw new CniError(
			Code.tryAgain,
			`VF ${pci} is not back from container ${record.containerId} yet, whose sandbox ${marker} is gone: something still holds that namespace, or the driver refuses the VF's old settings (see the log)`,
		);
	}
	removeMarker(pci);
}

/** Whether the sandbox at `netns` is there, and still the one that it was (`identity`; unknown in Go's records). */
function isAlive(netns: string, identity: string | undefined): boolean {
	using sandbox = Sandbox.openIfAlive(netns);
	return sandbox !== undefined && (!identity || sandbox.identity === identity);
}

/** Writes down what the VF is now and who gets it: marker, then record. From here on DEL can put everything back. */
export function claim(
	request: Request,
	attachment: Attachment,
	sandbox: Sandbox,
	host: NetlinkSocket,
	port: VfPort | undefined,
	netdev: Link | undefined,
	log: Log,
): VfRecord {
	requireNoOtherVf(request, attachment.pci);
	const vfs = port === undefined ? [] : getVfs(host, port.pfIndex);
	warnOfTwin(vfs, port, attachment.mac, log);
	const record: VfRecord = {
		containerId: request.containerId,
		ifName: request.ifName,
		netns: request.netns,
		netnsIdentity: sandbox.identity,
		bootId: bootId(),
		network: request.network,
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
			// A PF that lists none reports none; one that leaves out ours is asked again.
			settings: port && vfs.length > 0 ? (vfs[port.vf] ?? readSettings(host, port)) : undefined,
		},
		config: attachment.config,
		requestedMac: attachment.mac,
	};
	writeMarker(record.pci, record.netns);
	try {
		writeRecord(record);
	} catch (error) {
		removeMarker(record.pci);
		throw error;
	}
	return record;
}

/** The record of an attachment must not be lost to another VF under the same name. */
function requireNoOtherVf({ containerId, ifName }: Request, pci: string): void {
	const record = readRecord(containerId, ifName);
	if (record === undefined || record === "damaged" || record.pci === pci) return;
	throw new CniError(Code.tryAgain, `container ${containerId} has VF ${record.pci} as ${ifName} already`);
}

/** Two VFs with one MAC on a card: frames reach either. A DEL that never came leaves such a twin (device plugin issue 685). */
function warnOfTwin(
	vfs: readonly (VfSettings | undefined)[],
	port: VfPort | undefined,
	mac: string | undefined,
	log: Log,
): void {
	const twin = mac === undefined ? -1 : vfs.findIndex((vf, index) => index !== port?.vf && vf?.mac === mac);
	if (twin >= 0) log.warning(`VF ${twin} of PF ${port?.pfName} has the administrative MAC ${mac}, too`);
}
