/**
 * Configuration of host-local: the one source of its types, JSON Schema, validator and reference page.
 */
import { z } from "zod";
import { capabilityArgs, flag, lockTimeout, pluginConfig, podArgs, text, texts } from "../../lib/cni/schema.ts";
import { requestedIps, reuseDelaySeconds, routes } from "../schema.ts";

const range = z.looseObject({
	subnet: z
		.string()
		.describe("Network as CIDR without host bits. Of a /31, /32, /127 or /128 every address is handed out."),
	rangeStart: text(
		"First address to hand out. Absent: the one after the network address. May be the network address itself.",
	),
	rangeEnd: text("Last address to hand out. Absent: the last before the broadcast address (IPv4), or the last (IPv6)."),
	gateway: text(
		"Gateway in the result; never handed out. Absent: the address after the network address, and none in a /31, /32, /127 or /128.",
	),
	exclude: texts("Addresses and CIDRs of the subnet that are never handed out."),
});
const rangeSets = z.array(z.array(range));

export const schema = pluginConfig
	.extend({
		...lockTimeout,
		ipam: z
			.looseObject({
				type: text('"host-local".'),
				ranges: rangeSets
					.optional()
					.describe(
						"Range sets: each gives one address. A range set is a list of ranges that do not overlap, of one family, used as one pool.",
					),
				subnet: text("Short form of a range set with one range; comes before those of `ranges`."),
				rangeStart: text("As in a range; belongs to the short form."),
				rangeEnd: text("As in a range; belongs to the short form."),
				gateway: text("As in a range; belongs to the short form."),
				exclude: texts("As in a range; belongs to the short form."),
				reuseDelaySeconds: reuseDelaySeconds.describe(
					"A released address is not handed out again sooner than this after its release. Absent or 0: at once.",
				),
				reclaimAfterReboot: flag(
					"ADD first releases what has been held since before the last reboot, as far as there is a record of that.",
				),
				routes,
				resolvConf: text("File in the format of resolv.conf on the host: its settings are `dns` of the result."),
				dataDir: text(
					"Directory of the stores, one subdirectory for each network. Absent: /var/lib/cni/networks. The Go plugin reads and writes the same files.",
				),
			})
			.describe("Configuration of host-local itself."),
		args: podArgs({
			ips: requestedIps.describe("Addresses asked for, each with or without a prefix length."),
		}),
		runtimeConfig: capabilityArgs({
			ips: requestedIps.describe(
				"Capability `ips`: addresses asked for. Added to those of `args` and of CNI_ARGS `IP`.",
			),
			ipRanges: rangeSets.optional().describe("Capability `ipRanges`: range sets that come before all others."),
		}),
	})
	.describe("Configuration of the host-local IPAM plugin.");

export type HostLocalConfig = z.infer<typeof schema>;
export type RangeConfig = z.infer<typeof range>;
