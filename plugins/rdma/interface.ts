/**
 * The device of an attachment that was not given one: that of the one interface which the plugins before made.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import type { CniInterface, CniResult } from "../../lib/cni/types.ts";
import { NETLINK_ROUTE } from "../../lib/netlink/constants.ts";
import { getLink, type Link, listLinks } from "../../lib/netlink/link.ts";
import { findRdmaDevice } from "../../lib/netlink/rdma.ts";
import { NetlinkSocket } from "../../lib/netlink/socket.ts";
import { getVfs } from "../../lib/netlink/vf.ts";
import type { Sandbox } from "../../lib/plugin/sandbox.ts";
import { namesAnywhere, toDeviceId } from "../../lib/rdma/device.ts";
import { listIfPresent, readLinkIfPresent } from "../../lib/sys/files.ts";

const NETDEVS = "/sys/class/net";

/** The device, on its bus, of the interface. Throws CniError where it cannot be told. */
export function deviceOfInterface(sandbox: Sandbox, previous: CniResult): string {
	const interfaces = previous.interfaces ?? [];
	const [only] = interfaces;
	if (only === undefined || interfaces.length > 1) {
		throw new CniError(
			Code.invalidConfig,
			`"DeviceID" network configuration attribute is required for rdma CNI: prevResult has ${interfaces.length} interfaces, so that none tells the device`,
			"Multus sets it when the network has the annotation k8s.v1.cni.cncf.io/resourceName",
		);
	}
	const link = linkInPod(sandbox, only);
	if (link !== undefined) refuseSoftware(link);
	const found = only.pciID ?? link?.parentDevice ?? vfWithMac(only.mac);
	const deviceId = found === undefined ? undefined : toDeviceId(found);
	if (deviceId !== undefined) return deviceId;
	throw new CniError(
		Code.invalidConfig,
		`failed to derive PCI device ID from mac "${only.mac ?? ""}" of interface ${only.name}: neither an interface in ${sandbox.path} nor a VF of this host has it`,
		"set deviceID; Multus does when the network has the annotation k8s.v1.cni.cncf.io/resourceName",
	);
}

/**
 * Why the host has no RDMA device of `deviceId`, where that is known: rdma is behind macvlan or alike, or sriov has
 * moved the device.
 */
export function refuseMoved(sandbox: Sandbox, deviceId: string, previous: CniResult): void {
	const names = namesAnywhere(deviceId);
	if (names.length > 0 && findRdmaDevice(sandbox.rdma, names, undefined) !== undefined) {
		throw new CniError(
			Code.invalidConfig,
			`RDMA device ${names[0]} of ${deviceId} is in the sandbox already`,
			'sriov with "rdma": true has moved it: take rdma out of the chain, or "rdma" out of sriov\'s configuration; else a DEL has to come first',
		);
	}
	for (const each of previous.interfaces ?? []) {
		const link = each.sandbox ? linkInPod(sandbox, each) : undefined;
		if (link !== undefined) refuseSoftware(link);
	}
}

function refuseSoftware({ name, kind }: Link): void {
	if (kind === undefined) return;
	throw new CniError(
		Code.invalidConfig,
		`${name} is a ${kind} interface: it has no RDMA device of its own, and that of the interface below it serves the host and other pods too, so it cannot be moved into this pod`,
		`take rdma out of the chain and run the RDMA subsystem in shared mode, or use sriov or host-device in place of ${kind}`,
	);
}

function linkInPod(sandbox: Sandbox, { name, mac }: CniInterface): Link | undefined {
	const named = getLink(sandbox.route, name);
	if (named !== undefined && (mac === undefined || named.mac === mac.toLowerCase())) return named;
	return mac === undefined ? undefined : listLinks(sandbox.route).find((link) => link.mac === mac.toLowerCase());
}

/**
 * The VF of this host with that administrative MAC, as the Go plugin finds it; undefined for none and for several.
 */
function vfWithMac(mac: string | undefined): string | undefined {
	if (!mac) return undefined;
	using host = NetlinkSocket.open(NETLINK_ROUTE);
	const found: string[] = [];
	for (const pf of listIfPresent(NETDEVS) ?? []) {
		if (readLinkIfPresent(`${NETDEVS}/${pf}/device/virtfn0`) === undefined) continue;
		const link = getLink(host, pf);
		if (link === undefined) continue;
		for (const [index, vf] of getVfs(host, link.index).entries()) {
			if (vf?.mac !== mac.toLowerCase()) continue;
			const target = readLinkIfPresent(`${NETDEVS}/${pf}/device/virtfn${index}`);
			if (target !== undefined) found.push(target.slice(target.lastIndexOf("/") + 1));
		}
	}
	return found.length === 1 ? found[0] : undefined;
}
