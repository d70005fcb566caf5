/**
 * Configuration of the sriov plugin: the one source of its types, JSON Schema, validator and reference page.
 */
import { z } from "zod";
import { capabilityArgs, flag, lockTimeout, pluginConfig, text } from "../../lib/cni/schema.ts";
import { rdmaFields } from "../../lib/rdma/schema.ts";

/** "" is absent, as in Go. */
const onOff = z.enum(["on", "off", ""]);
const rate = z.int().min(0).max(0xffffffff);

export const schema = pluginConfig
	.extend({
		...lockTimeout,
		deviceID: text(
			"PCI address of the VF, as in /sys/bus/pci/devices. Multus sets it from the device plugin's choice.",
		),
		pciBusID: text("The same, as Multus also writes it. Used where deviceID is missing."),
		vlan: z.int().min(0).max(4094).optional().describe("VLAN of the VF. 0 clears it; absent leaves it as it is."),
		vlanQoS: z
			.int()
			.min(0)
			.max(7)
			.optional()
			.describe("VLAN priority (802.1p). Needs vlan; other than 0 needs a vlan other than 0."),
		vlanProto: text(
			'VLAN protocol, "802.1q" (default) or "802.1ad", in either case. 802.1ad needs a vlan other than 0.',
		),
		mac: text(
			"MAC address of the VF, in colon, dash or dot notation. Overridden by CNI_ARGS MAC and by runtimeConfig.mac.",
		),
		mtu: z
			.union([z.literal(0), z.int().min(68).max(65535)])
			.optional()
			.describe("MTU of the VF in the pod, in bytes. Absent or 0 leaves it as it is."),
		min_tx_rate: rate.optional().describe("Guaranteed transmit rate in Mbit/s; 0 is none. Absent keeps the VF's own."),
		max_tx_rate: rate.optional().describe("Highest transmit rate in Mbit/s; 0 is no limit. Absent keeps the VF's own."),
		spoofchk: onOff.optional().describe("Whether the card drops frames with a foreign source MAC."),
		trust: onOff.optional().describe("Whether the VF may change its MAC and be promiscuous."),
		link_state: z
			.enum(["auto", "enable", "disable", ""])
			.optional()
			.describe("Link state of the VF as the card shows it."),
		rdma: flag(
			"true: the VF's RDMA device goes where its interface goes, as by the rdma plugin in a chain. For runtimes that call one plugin only.",
		),
		...rdmaFields,
		logLevel: text(
			'"panic", "error", "warning", "info" (default) or "debug". Another word means info, as in the Go plugin.',
		),
		logFile: text("File that log lines are added to, in place of stderr."),
		args: pluginConfig.shape.args.describe("Not read, as by the Go plugin. What it takes of a pod comes in CNI_ARGS."),
		runtimeConfig: capabilityArgs({
			mac: text("Capability `mac`: MAC address that the pod asked for. Wins over the others."),
			CNIDeviceInfoFile: text(
				"Capability `CNIDeviceInfoFile`: absolute path, without `..`, of the file that ADD describes the device in (device-info specification 1.1.0): a JSON object, to which `type`, `version` and `pci` are added where it has none; mode 0444. Another sort of file is refused and stays.",
			),
			deviceID: text("Capability `deviceID`: used where the top-level one is missing."),
		}),
	})
	.describe("Configuration of the sriov plugin.");

export type SriovConfig = z.infer<typeof schema>;
