/**
 * Configuration of whereabouts: the one source of its types, JSON Schema, validator and reference page.
 */
import { z } from "zod";
import { capabilityArgs, flag, lockTimeout, pluginConfig, podArgs, text, texts } from "../../lib/cni/schema.ts";
import { addressConfigs, dns, requestedIps, reuseDelaySeconds, routes } from "../schema.ts";

const rangeFields = {
	range_start: text("First address to hand out. Absent: the one after the network address."),
	range_end: text("Last address to hand out. Absent: the one before the last of the network."),
	exclude: texts("Addresses and CIDRs of the range that are never handed out."),
	gateway: text("Gateway of the address in the result; never handed out."),
};
const rangeText = z
	.string()
	.describe("Network as CIDR, or `START-END/PREFIX`. Of a /31, /32, /127 or /128 every address is handed out.");

export const schema = pluginConfig
	.extend({
		...lockTimeout,
		deviceID: text("PCI address of the VF, for `ipam.address`. Multus sets it."),
		allowPersistentIPs: flag(
			"Whether pods may name an IPAMClaim (`ipam-claim-reference` in their annotation of networks), which keeps its addresses while it lives.",
			false,
		),
		pciBusID: text("The same, as Multus also writes it. Used where deviceID is missing."),
		ipam: z
			.looseObject({
				type: text('"whereabouts".'),
				range: rangeText.optional(),
				...rangeFields,
				gateway: rangeFields.gateway.describe(
					"Gateway of the addresses of its family in the result, where their range has none; never handed out.",
				),
				ipRanges: z
					.array(z.looseObject({ range: rangeText, ...rangeFields }))
					.optional()
					.describe("Further ranges: each gives one address. `range` comes before them."),
				network_name: text("Networks of different names may hand out the same addresses. Part of the objects' names."),
				enable_overlapping_ranges: flag(
					"Whether an address is handed out once in all ranges that have it, and not once in each.",
					true,
				),
				allocationPolicy: z
					.enum(["hashed", "lowest"])
					.optional()
					.meta({ default: "hashed" })
					.describe(
						'"hashed": in an order that follows from pod and interface, so that pods that start together do not want the same; "lowest": the lowest that is free, as the Go plugin does.',
					),
				node_slice_size: text(
					"Prefix length of the blocks that the range is cut into, such as `/26`: each node hands out addresses of the block that the NodeSlicePool called `network_name`, or else `name`, gives it.",
				),
				address: z
					.enum(["vf-index"])
					.optional()
					.describe(
						'"vf-index": VF N of a PF gets address N, counted from 0, of those that the node\'s block hands out. Needs `node_slice_size`.',
					),
				reuseDelaySeconds: reuseDelaySeconds.describe(
					"A released address is not handed out to another pod sooner than this after its release. Absent or 0: at once.",
				),
				addresses: addressConfigs.describe("Addresses that stand in the result as they are, on record nowhere."),
				routes,
				dns,
				kubernetes: z
					.looseObject({
						kubeconfig: text("Path of the kubeconfig."),
					})
					.optional()
					.describe("How to reach the API server."),
				configuration_path: text(
					"File with an `ipam` object, whose members hold where the configuration has none. Absent: whereabouts.d/whereabouts.conf in /etc/kubernetes/cni/net.d, /etc/cni/net.d or /host/etc/cni/net.d, whichever is there first.",
				),
				dataDir: text(
					"Directory of what this node remembers: its attachments, and what is still to be written to pools.",
					"/var/lib/cni/whereabouts",
				),
				log_file: text("File for log lines. Absent: stderr."),
				log_level: text("panic, error, warning, info or debug.", "error"),
			})
			.describe("Configuration of whereabouts itself."),
		args: podArgs({ ips: requestedIps.describe("As `runtimeConfig.ips`.") }),
		runtimeConfig: capabilityArgs({
			deviceID: text("As `deviceID`, by the capability of that name."),
			ips: requestedIps.describe(
				"Capability `ips`: addresses of the ranges that are wanted, each with or without a prefix length.",
			),
		}),
	})
	.describe("Configuration of the whereabouts IPAM plugin.");

export type WhereaboutsConfig = z.infer<typeof schema>;
