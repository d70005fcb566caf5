/**
 * Which VF it is: PF, index, netdev and driver, from sysfs.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import * as pci from "../../lib/linux/pci.ts";
import { getLinkByName, type Link } from "../../lib/netlink/link.ts";
import type { NetlinkSocket } from "../../lib/netlink/socket.ts";
import type { VfIndex } from "../../lib/netlink/vf.ts";
import type { VfPort } from "./settings.ts";

/** The VF's place on its PF. Throws CniError where `address` is no VF, or its PF has no netdev or does not list it. */
export function findPort(host: NetlinkSocket, address: string): VfPort {
	if (!pci.isVf(address)) {
		throw new CniError(
			Code.invalidConfig,
			`deviceID "${address}" is not an SR-IOV virtual function: ${pci.devicePath(address)}/physfn does not exist`,
		);
	}
	const pfName = pci.pfNetdev(address);
	const pf = pfName === undefined ? undefined : getLinkByName(host, pfName);
	if (pfName === undefined || pf === undefined) {
		throw new CniError(
			Code.device,
			`the PF of VF ${address} has no network interface on this host: is its driver bound?`,
		);
	}
	const index = pci.vfIndex(address);
	if (index === undefined) {
		throw new CniError(Code.device, `PF ${pfName} has no link virtfn<N> to VF ${address}: was sriov_numvfs changed?`);
	}
	return { pfName, pfIndex: pf.index, vf: index as VfIndex };
}

/** The same where it is still to be had: DEL goes on without. */
export function findPortIfAny(host: NetlinkSocket, address: string): VfPort | undefined {
	try {
		return findPort(host, address);
	} catch (error) {
		if (error instanceof CniError) return undefined;
		throw error;
	}
}

/** The VF's netdev where it is in the host's namespace. */
export function netdevOnHost(host: NetlinkSocket, address: string): Link | undefined {
	const name = pci.vfNetdev(address);
	return name === undefined ? undefined : getLinkByName(host, name);
}

/**
 * The VF's netdev as ADD needs it; undefined for a VF with a userspace driver.
 * Throws CniError for a VF that has neither.
 */
export function requireNetdev(host: NetlinkSocket, address: string): Link | undefined {
	const netdev = netdevOnHost(host, address);
	if (netdev !== undefined) return netdev;
	const driver = pci.driver(address);
	if (driver === undefined)
		throw new CniError(
			Code.device,
			`VF ${address} has no driver: bind one, or look at sriov_drivers_autoprobe of its PF`,
		);
	if (pci.isUserspaceDriver(driver)) return undefined;
	throw new CniError(
		Code.device,
		`VF ${address} (driver ${driver}) has no network interface on this host: another network namespace may hold it`,
	);
}
