/**
 * The configuration of one attachment: shape by the generated validator, meaning here.
 */
import validator from "validator:sriov";
import { parseCniArgs } from "../../lib/cni/args.ts";
import { loadConfig, usableConfig } from "../../lib/cni/config.ts";
import { CniError, Code } from "../../lib/cni/error.ts";
import type { Request } from "../../lib/cni/types.ts";
import { formatMac, isMulticastMac, isZeroMac, parseMac } from "../../lib/ip/mac.ts";
import { isPciAddress } from "../../lib/linux/pci.ts";
import type { VfSettings } from "../../lib/netlink/vf.ts";
import { type WantedDevice, wantedDevice } from "../../lib/rdma/wanted.ts";
import { requireDeviceInfoPath } from "./device-info.ts";
import type { SriovConfig } from "./schema.ts";
import { settingsOf } from "./vf-settings.ts";

/** An attachment as the user wants it. What is undefined stays as the VF has it. */
export interface Attachment {
	/** The configuration, for the record that the Go plugin can read too. */
	readonly config: SriovConfig;
	/** PCI address of the VF, lower case. */
	readonly pci: string;
	/** Settings made through the PF; the MAC among them. */
	readonly settings: Partial<VfSettings>;
	/** MAC of the VF's netdev in the pod, in colon notation. */
	readonly mac: string | undefined;
	readonly mtu: number | undefined;
	/** How the pod is to have the RDMA device; undefined: not at all. */
	readonly rdma: WantedDevice | undefined;
	/** IPAM plugin, undefined for none (`"ipam": {}` is none too). */
	readonly ipam: string | undefined;
}

/** `"ipam": {}` means none, as the SR-IOV operator writes it. */
export const ipamOf = (config: SriovConfig): string | undefined => config.ipam?.type || undefined;

/** Reads the configuration of ADD and CHECK. Throws CniError 6 and 7 with a sentence that names the value. */
export function loadAttachment(request: Request): Attachment {
	const config = loadConfig<SriovConfig>(request.config, validator);
	const mac = requestedMac(request, config);
	const { CNIDeviceInfoFile: deviceInfo } = config.runtimeConfig ?? {};
	if (deviceInfo) requireDeviceInfoPath(deviceInfo);
	const pci = pciAddress(config);
	requireVlan(config);
	requireRates(config);
	return {
		config,
		pci,
		settings: { ...settingsOf(config), ...(mac !== undefined && { mac }) },
		mac,
		mtu: config.mtu || undefined,
		rdma: rdmaOf(config),
		ipam: ipamOf(config),
	};
}

/** Throws CniError 7 for what is said of an RDMA device that is not to move. */
function rdmaOf(config: SriovConfig): WantedDevice | undefined {
	if (config.rdma === true) return wantedDevice(config);
	for (const key of ["rdmaDeviceName", "rdmaQoS", "sharedMode"] as const) {
		if (config[key]) throw new CniError(Code.invalidConfig, `${key} needs "rdma": true`);
	}
	return undefined;
}

/** The configuration with all that can be checked without a device. Throws CniError 6 and 7. */
export function strictConfig(request: Request): SriovConfig {
	const config = loadConfig<SriovConfig>(request.config, validator);
	requestedMac(request, config);
	requireVlan(config);
	requireRates(config);
	rdmaOf(config);
	return config;
}

/** The configuration of a verb that must work with what is left of it. */
export const looseConfig = (request: Request): SriovConfig => usableConfig<SriovConfig>(request.config, validator);

/** The VF of a configuration that may have lost other fields (DEL), or undefined where it names none. */
export function pciAddressIfAny(config: SriovConfig): string | undefined {
	const address = (config.deviceID || config.runtimeConfig?.deviceID || config.pciBusID || "").toLowerCase();
	return isPciAddress(address) ? address : undefined;
}

function pciAddress(config: SriovConfig): string {
	const given = config.deviceID || config.runtimeConfig?.deviceID || config.pciBusID;
	if (!given) {
		throw new CniError(
			Code.invalidConfig,
			"VF pci addr is required: deviceID is missing (Multus sets it when the network has the annotation k8s.v1.cni.cncf.io/resourceName)",
		);
	}
	const address = pciAddressIfAny(config);
	if (address === undefined) {
		throw new CniError(Code.invalidConfig, `deviceID "${given}" is not a PCI address such as 0000:3b:02.1`);
	}
	return address;
}

/**
 * Rules of the Go plugin: QoS and protocol only with a VLAN, and other than their defaults only with one that is not
 * 0.
 */
function requireVlan({ vlan, vlanQoS, vlanProto }: SriovConfig): void {
	const proto = vlanProto?.toLowerCase();
	if (proto !== undefined && proto !== "802.1q" && proto !== "802.1ad") {
		throw new CniError(Code.invalidConfig, `vlanProto "${vlanProto}" must be "802.1q" or "802.1ad"`);
	}
	if (vlan === undefined) {
		if (vlanQoS !== undefined) throw new CniError(Code.invalidConfig, `vlanQoS ${vlanQoS} needs vlan to be set`);
		if (proto !== undefined) throw new CniError(Code.invalidConfig, `vlanProto "${vlanProto}" needs vlan to be set`);
	}
	if (vlan === 0 && (vlanQoS ?? 0) !== 0) {
		throw new CniError(Code.invalidConfig, `vlanQoS ${vlanQoS} needs a vlan other than 0`);
	}
	if (vlan === 0 && proto === "802.1ad") {
		throw new CniError(Code.invalidConfig, `vlanProto "${vlanProto}" needs a vlan other than 0`);
	}
}

function requireRates({ min_tx_rate: minimum, max_tx_rate: maximum }: SriovConfig): void {
	if (minimum === undefined || maximum === undefined || maximum === 0 || minimum <= maximum) return;
	throw new CniError(Code.invalidConfig, `min_tx_rate ${minimum} is above max_tx_rate ${maximum}`);
}

/** `mac` < CNI_ARGS MAC < runtimeConfig.mac, as in the Go plugin; colon notation whatever was written. */
function requestedMac(request: Request, config: SriovConfig): string | undefined {
	const fromArgs = parseCniArgs(request.args, ["MAC"]).MAC;
	const [source, text] = config.runtimeConfig?.mac
		? ["runtimeConfig.mac", config.runtimeConfig.mac]
		: fromArgs
			? ["MAC in CNI_ARGS", fromArgs]
			: ["mac", config.mac];
	if (!text) return undefined;
	const mac = parseMac(text);
	if (mac === undefined || mac.length !== 6) {
		throw new CniError(Code.invalidConfig, `${source} "${text}" is not an Ethernet address such as 02:00:5e:10:00:01`);
	}
	if (isZeroMac(mac) || isMulticastMac(mac)) {
		throw new CniError(Code.invalidConfig, `${source} "${text}" must be a unicast address other than zero`);
	}
	return formatMac(mac);
}
