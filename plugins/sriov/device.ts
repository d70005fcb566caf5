/**
 * Which VF it is: PF, index, netdev and driver, from sysfs.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import * as pci from "../../lib/linux/pci.ts";
import { RTMGRP_LINK } from "../../lib/netlink/constants.ts";
import { getLink, type Link } from "../../lib/netlink/link.ts";
import type { NetlinkSocket } from "../../lib/netlink/socket.ts";
import { getPfByName, type Pf, type VfIndex } from "../../lib/netlink/vf.ts";
import { waitFor } from "../../lib/plugin/interface.ts";
import type { Attachment } from "./config.ts";
import type { VfPort } from "./settings.ts";
import { FIELDS, nameOf, SETTINGS } from "./vf-settings.ts";

const RETURN_DEADLINE_MS = 5000;

/** Where a VF is: its PF's netdev, and its number on the PF. */
interface VfPlace {
	readonly pfName: string;
	readonly vfIndex: number;
}

/**
 * The VF's place on its PF; undefined where that is not to be seen here: a VF that was given to a virtual machine, a
 * PF whose netdev is in another namespace, or that has no driver. Throws CniError where there is no such device,
 * where it is a PF, or where its PF does not list it.
 */
export function findPlace(address: string): VfPlace | undefined {
	const pf = pci.physicalFunction(address);
	if (pf === undefined) {
		if (pci.exists(address) && !pci.isPf(address)) return undefined;
		const why = pci.exists(address) ? "it is a physical function" : `${pci.devicePath(address)} does not exist`;
		throw new CniError(Code.invalidConfig, `deviceID "${address}" is not an SR-IOV virtual function: ${why}`);
	}
	const pfName = pci.pfNetdev(address, pf);
	if (pfName === undefined) return undefined;
	const vfIndex = pci.vfIndex(address, pf);
	if (vfIndex === undefined) {
		throw new CniError(Code.device, `PF ${pfName} has no link virtfn<N> to VF ${address}: was sriov_numvfs changed?`);
	}
	return { pfName, vfIndex };
}

const noPfNetdev = (address: string): CniError =>
	new CniError(Code.device, `the PF of VF ${address} has no network interface on this host: is its driver bound?`);

/** With the PF and its VFs as they were when it was asked for the port. */
export interface SeenPort extends VfPort {
	readonly seen: Pf;
}

/** The VF at its place. Throws CniError where the PF's netdev is gone. */
export function portAt(host: NetlinkSocket, address: string, { pfName, vfIndex }: VfPlace): SeenPort {
	const pf = getPfByName(host, pfName);
	if (pf === undefined) throw noPfNetdev(address);
	return { pfName, pfIndex: pf.link.index, pfHasCarrier: pf.link.running, vf: vfIndex as VfIndex, seen: pf };
}

/** `findPlace` and `portAt`. */
export function findPort(host: NetlinkSocket, address: string): SeenPort | undefined {
	const place = findPlace(address);
	return place && portAt(host, address, place);
}

/** The same where it is still to be had: DEL goes on without. `last` is where the VF was, and mostly still is. */
export function findPortIfAny(host: NetlinkSocket, address: string, last?: VfPlace): SeenPort | undefined {
	try {
		if (last !== undefined && pci.isVfOf(address, last.pfName, last.vfIndex)) return portAt(host, address, last);
		return findPort(host, address);
	} catch (error) {
		if (error instanceof CniError) return undefined;
		throw error;
	}
}

/** What users call the first setting of the attachment that only the VF's PF can make. */
export function settingOfPf({ settings }: Attachment): string | undefined {
	const field = FIELDS.find((each) => SETTINGS[each].needsPf && settings[each] !== undefined);
	return field && nameOf(field);
}

/**
 * Refuses what cannot be had without a PF: settings that the netdev does not take itself; and, since any network card
 * looks like a VF whose PF is on another machine, one that the host uses: bonds, bridges and VLANs on top have theirs
 * up.
 */
export function requirePlainUse(attachment: Attachment, netdev: Link | undefined): void {
	const setting = settingOfPf(attachment);
	const hasPf = pci.physicalFunction(attachment.pci) !== undefined;
	if (setting !== undefined) {
		const why = hasPf
			? `the PF of VF ${attachment.pci} has no network interface on this host`
			: `VF ${attachment.pci} has no PF on this host (a virtual machine?)`;
		throw new CniError(hasPf ? Code.device : Code.invalidConfig, `${why}, so ${setting} cannot be set`);
	}
	if (hasPf || !netdev?.up) return;
	throw new CniError(
		Code.device,
		`${attachment.pci} is no VF of this host, and its interface ${netdev.name} is up: the host uses it (if not, set it down)`,
	);
}

/** Throws CniError 7 where `netdev` is missing and the IPAM plugin could not do without one. */
export function requireWayToAddresses(attachment: Attachment, netdev: Link | undefined): void {
	if (netdev !== undefined || attachment.ipam !== "dhcp") return;
	throw new CniError(
		Code.invalidConfig,
		`VF ${attachment.pci} has a userspace driver and no network interface, which ipam.type dhcp needs: use another IPAM plugin`,
	);
}

/** The VF's netdev where it is in the host's namespace. */
export function netdevOnHost(host: NetlinkSocket, address: string): Link | undefined {
	const name = pci.vfNetdev(address);
	return name === undefined ? undefined : getLink(host, name);
}

/** Whether the VF has a driver that makes a netdev of it. */
export function makesNetdev(address: string): boolean {
	const driver = pci.driver(address);
	return driver !== undefined && !pci.isUserspaceDriver(driver);
}

/**
 * The VF's netdev on the host, within a few seconds: the kernel brings one back a while after the last of its
 * namespace has gone, and until then it is nowhere to be seen. Undefined where it does not come, or has no driver
 * that could make one.
 */
export function awaitNetdevOnHost(host: NetlinkSocket, address: string): Link | undefined {
	if (!makesNetdev(address)) return undefined;
	let netdev: Link | undefined;
	waitFor(RTMGRP_LINK, RETURN_DEADLINE_MS, () => {
		netdev = netdevOnHost(host, address);
		return netdev !== undefined;
	});
	return netdev;
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
