/**
 * PCI devices and their virtual functions, from sysfs.
 *
 * Source: Documentation/ABI/testing/sysfs-bus-pci. `net/` directories list only interfaces in the network namespace of
 * the sysfs mount, which is the host's: a VF whose interface is in a pod has none here.
 */
import {
	listIfPresent,
	readLine,
	readLinkIfPresent,
	readText,
	readTextIfPresent,
	statIfPresent,
} from "../sys/files.ts";
import * as sys from "../sys/sys.ts";

const PCI_DEVICES = "/sys/bus/pci/devices";

/** Domain (4 to 8 digits), bus, device, function: the spelling of sysfs. */
const PCI_ADDRESS = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/;

/**
 * Whether `text` is a PCI address as sysfs spells it ("0000:3b:02.1"): anything else must not become part of a path.
 */
export function isPciAddress(text: string): boolean {
	return PCI_ADDRESS.test(text);
}

/** The directory of a device. `pci` must be a PCI address. */
export function devicePath(pci: string): string {
	return `${PCI_DEVICES}/${pci}`;
}

/** Whether there is such a device. */
export function exists(pci: string): boolean {
	return isPciAddress(pci) && statIfPresent(devicePath(pci)) !== undefined;
}

/** PCI address of the PF that VF `vf` belongs to; undefined where `vf` is no VF, or no PCI address at all. */
export function physicalFunction(vf: string): string | undefined {
	return isPciAddress(vf) ? targetName(`${devicePath(vf)}/physfn`) : undefined;
}

/**
 * Name of the interface of VF `vf`'s PF (`pf`, for those who know it). In switchdev mode the representors of the VFs
 * are there, too (kernel 5.8 and later), and the first in sort order, which Go's sriov-cni takes, may be one of those;
 * then it is the one whose port name is that of a physical port.
 */
export function pfNetdev(vf: string, pf = physicalFunction(vf)): string | undefined {
	if (pf === undefined) return undefined;
	const names = netdevs(pf);
	if (names.length < 2) return names[0];
	let plain: string | undefined;
	for (const name of names) {
		const switchId = attribute(pf, name, "phys_switch_id");
		const portName = attribute(pf, name, "phys_port_name");
		if (switchId !== "" && /^p\d+$/.test(portName)) return name;
		// A second port of one PCI function (mlx4) or a PF outside switchdev mode: neither has both.
		if (plain === undefined && (switchId === "" || portName === "")) plain = name;
	}
	return plain ?? names[0];
}

/** A text attribute of an interface of the PF; "" where the driver has none (reading it is EOPNOTSUPP). */
function attribute(pf: string, netdev: string, name: string): string {
	const read = (): string => readLine(`${devicePath(pf)}/net/${netdev}/${name}`);
	return sys.unlessFailed(read, "EOPNOTSUPP", "ENOENT", "ENODEV", "EINVAL") ?? "";
}

/** Below this, looking at links is less work than reading where a VF must be. */
const FEW_VFS = 8;

/**
 * Number of VF `vf` on its PF (`pf`, for those who know it): N of the link virtfnN that leads to it. The links are
 * numbered without gaps up to sriov_numvfs, so that a missing one ends the search. Undefined where none leads there.
 */
export function vfIndex(vf: string, pf = physicalFunction(vf)): number | undefined {
	if (pf === undefined) return undefined;
	for (let index = 0; index < FEW_VFS; index++) {
		const name = targetName(`${devicePath(pf)}/virtfn${index}`);
		if (name === undefined) return undefined;
		if (name === vf) return index;
	}
	const index = (routingId(vf) - routingId(pf) - numberIn(pf, "sriov_offset")) / numberIn(pf, "sriov_stride");
	return targetName(`${devicePath(pf)}/virtfn${index}`) === vf ? index : undefined;
}

/** Whether `vf` is VF `index` of the PF with interface `pfName`: one look, for what was so before. */
export function isVfOf(vf: string, pfName: string, index: number): boolean {
	if (!isInterfaceName(pfName) || !isPciAddress(vf)) return false;
	return targetName(`/sys/class/net/${pfName}/device/virtfn${index}`) === vf;
}

/** Names come from files, and become part of a path. The kernel knows the white space of ASCII. */
const isInterfaceName = (name: string): boolean => /^(?!\.{1,2}$)[^/:\t-\r \0]{1,15}$/.test(name);

/**
 * Bus, device and function as one number: VF N has that of its PF plus offset plus N times stride (PCIe base
 * specification, SR-IOV).
 */
function routingId(pci: string): number {
	const [, bus = "", device = "", fn = ""] = /([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])$/.exec(pci) ?? [];
	return (Number.parseInt(bus, 16) << 8) | (Number.parseInt(device, 16) << 3) | Number(fn);
}

const numberIn = (pci: string, attribute: string): number => Number(readText(`${devicePath(pci)}/${attribute}`));

/** Whether the device can have VFs of its own. */
export function isPf(pci: string): boolean {
	return isPciAddress(pci) && statIfPresent(`${devicePath(pci)}/sriov_totalvfs`) !== undefined;
}

/** How many VFs the PF at PCI address `pf` has now; undefined for a device that cannot have any. */
export const vfCount = (pf: string): number | undefined => countIn(pf, "sriov_numvfs");

/** How many VFs the PF can have; undefined for a device that cannot have any. */
export const mostVfs = (pf: string): number | undefined => countIn(pf, "sriov_totalvfs");

function countIn(pf: string, attribute: string): number | undefined {
	const count = isPciAddress(pf) ? readTextIfPresent(`${devicePath(pf)}/${attribute}`) : undefined;
	return count === undefined ? undefined : Number(count);
}

/** PCI address of VF `index` of a PF. */
export const vfAt = (pf: string, index: number): string | undefined => targetName(`${devicePath(pf)}/virtfn${index}`);

/** PCI addresses of all devices, sorted. */
export function listDevices(): string[] {
	return listIfPresent(PCI_DEVICES)?.filter(isPciAddress) ?? [];
}

/** Whether the device is a network controller: class 02 of the PCI Code and ID Assignment Specification. */
export function isNetworkController(pci: string): boolean {
	return readTextIfPresent(`${devicePath(pci)}/class`)?.startsWith("0x02") ?? false;
}

/** Name of the VF's interface, if it is in the host's namespace and its driver makes one. */
export function vfNetdev(vf: string): string | undefined {
	return netdevs(vf)[0];
}

/**
 * Names of the interfaces of a device, sorted; those of a virtio device are one level down, under virtio<N>/net. A
 * device whose interface is in a pod has the directory, with nothing in it.
 */
export function netdevs(pci: string): string[] {
	if (!isPciAddress(pci)) return [];
	const path = devicePath(pci);
	const names = listIfPresent(`${path}/net`);
	if (names !== undefined) return names;
	const virtio = listIfPresent(path)?.filter((entry) => /^virtio\d+$/.test(entry)) ?? [];
	return virtio.flatMap((entry) => listIfPresent(`${path}/${entry}/net`) ?? []);
}

/** Name of the driver that is bound to the device. */
export function driver(pci: string): string | undefined {
	return isPciAddress(pci) ? targetName(`${devicePath(pci)}/driver`) : undefined;
}

/**
 * Whether a driver hands the device to a program in user space: vfio-pci and its variants for one kind of hardware
 * (mlx5_vfio_pci, hisi_acc_vfio_pci, ...), and the two UIO drivers of DPDK.
 */
export function isUserspaceDriver(name: string): boolean {
	return name.replaceAll("-", "_").endsWith("vfio_pci") || name === "uio_pci_generic" || name === "igb_uio";
}

/** Last component of a symbolic link's target. */
function targetName(path: string): string | undefined {
	const target = readLinkIfPresent(path);
	return target?.slice(target.lastIndexOf("/") + 1);
}
