/**
 * What a damaged record still says. Go writes its records in place, so a full disk or a power failure can truncate
 * one anywhere.
 */
import { driver, isUserspaceDriver } from "../../lib/linux/pci.ts";
import type { NetlinkSocket } from "../../lib/netlink/socket.ts";
import { stateFromJson } from "../../lib/rdma/given.ts";
import { deviceName, object, type Told, text } from "../../lib/state/json.ts";
import { sandboxIn } from "../../lib/state/liveness.ts";
import { findPortIfAny, netdevOnHost } from "./device.ts";
import { SOME_NAME } from "./netdev.ts";
import { listDamaged, readDamagedRecord } from "./record.ts";
import { ownSettings, parseNetdev, parseRdma, pciIn, type VfRecord } from "./record-format.ts";
import type { SriovConfig } from "./schema.ts";
import { defaultsOf, settingsFromRest } from "./vf-settings.ts";

/** Whose record it is. */
type Owner = Pick<VfRecord, "containerId" | "ifName" | "network">;

/**
 * A record of VF `pci` made of what the damaged one says up to where it was truncated, what the configuration of DEL
 * says and what can be seen. A setting whose old value is lost goes back to the driver's default where the
 * configuration had set it, and else stays. A lost name becomes "dev<N>", unless the netdev is on the host and has
 * another than the pod's.
 */
export function recover(host: NetlinkSocket, owner: Owner, given: Partial<SriovConfig>, pci: string): VfRecord {
	const { containerId, ifName, network } = owner;
	// It may be whole, and damaged all the same: some value of it makes no sense.
	const { json: told } = readDamagedRecord(owner);
	const config = { name: network, ...given, ...(told as Partial<SriovConfig>) };
	const go = object(told.OrigVfState) ?? {};
	const own = object(told.berth);
	const port = findPortIfAny(host, pci);
	const now = port?.seen.vf(port.vf);
	return {
		containerId,
		ifName,
		...sandboxIn(own),
		pod: text(own?.pod),
		podUid: text(own?.podUid),
		network,
		pci,
		pfName: port?.pfName ?? "",
		vfIndex: port?.vf ?? 0,
		original: {
			netdev: isUserspaceDriver(driver(pci) ?? "")
				? undefined
				: parseNetdev({ ...go, HostIFName: deviceName(go.HostIFName) || nameNow(host, pci, ifName) }, own, pci),
			settings: now && { ...now, ...defaultsOf(config, now), ...settingsFromRest(go, ownSettings(own)) },
		},
		// Not told of, and asked for: then it is where it can be seen to be.
		rdma: parseRdma(own) ?? (config.rdma === true ? stateFromJson(undefined) : undefined),
		config,
		requestedMac: undefined,
	};
}

/** The network of a damaged record, as far as that is left. */
export const networkIn = ({ json }: Told): string => text(json.name);

/** What all damaged records that are of VF `pci` still say of it. */
export function recoverAll(host: NetlinkSocket, pci: string): VfRecord[] {
	const ofVf = listDamaged().filter((each) => pciIn(each.told) === pci);
	return ofVf.map(({ containerId, ifName, told }) =>
		recover(host, { containerId, ifName, network: networkIn(told) }, {}, pci),
	);
}

function nameNow(host: NetlinkSocket, pci: string, ifName: string): string {
	const name = netdevOnHost(host, pci)?.name;
	return name === undefined || name === ifName ? SOME_NAME : name;
}
