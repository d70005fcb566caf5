/**
 * STATUS: whether an ADD can work. Cheap: it is polled every few seconds.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import type { Request } from "../../lib/cni/types.ts";
import * as pci from "../../lib/linux/pci.ts";
import { delegate } from "../../lib/plugin/delegate.ts";
import { requireAvailable } from "../../lib/plugin/device-errors.ts";
import { openExclusive } from "../../lib/rdma/subsystem.ts";
import { ipamOf, pciAddressIfAny, strictConfig } from "./config.ts";
import { findPlace } from "./device.ts";
import { listMarked, requireWritable } from "./record.ts";
import type { SriovConfig } from "./schema.ts";

export function status(request: Request): void {
	const config = strictConfig(request);
	const ipam = ipamOf(config);
	requireDevice(config);
	if (ipam !== undefined) delegate("STATUS", request, ipam);
}

/** Throws CniError: 50 where no VF can be attached, 51 where pods have lost theirs, too. */
function requireDevice(config: SriovConfig): void {
	requireAvailable("no VF can be attached: ", requireWritable);
	if (config.rdma === true) {
		requireAvailable("no VF can be attached with its RDMA device: ", () => {
			using _host = openExclusive(config);
		});
	}
	const named = pciAddressIfAny(config);
	const why = named === undefined ? whyNoVfs() : whyNot(named);
	if (why === undefined) return;
	const lost = listMarked().filter((each) => (named === undefined || each === named) && !pci.exists(each));
	if (lost.length === 0) throw new CniError(Code.notAvailable, `no VF can be attached: ${why}`);
	throw new CniError(
		Code.limitedConnectivity,
		`no VF can be attached: ${why}; pods have lost theirs: ${lost.join(", ")}`,
	);
}

/** The device of a configuration that names one: most leave that to the device plugin. */
function whyNot(device: string): string | undefined {
	try {
		findPlace(device);
		return undefined;
	} catch (error) {
		if (error instanceof CniError) return error.message;
		throw error;
	}
}

/**
 * Undefined where there is a PF with VFs, or no PF at all but a network card: in a virtual machine VFs look like
 * that.
 */
function whyNoVfs(): string | undefined {
	const devices = pci.listDevices();
	const unused: string[] = [];
	for (const device of devices) {
		const count = pci.vfCount(device);
		if (count === undefined || !pci.isNetworkController(device)) continue;
		if (count > 0) return undefined;
		unused.push(device);
	}
	if (unused.length > 0) return `no PF has VFs: sriov_numvfs is 0 for ${unused.join(", ")}`;
	return devices.some(pci.isNetworkController) ? undefined : "this node has no network card on its PCI bus";
}
