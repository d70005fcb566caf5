/**
 * Configuration of static: the one source of its types, JSON Schema, validator and reference page.
 */
import { z } from "zod";
import { capabilityArgs, pluginConfig, podArgs, text } from "../../lib/cni/schema.ts";
import { addressConfigs, dns, requestedIps, routes } from "../schema.ts";

export const schema = pluginConfig
	.extend({
		ipam: z
			.looseObject({
				type: text('"static".'),
				addresses: addressConfigs.describe(
					"Addresses of the result. CNI_ARGS `IP` adds to them; `args` and `runtimeConfig` replace them.",
				),
				routes,
				dns,
			})
			.describe("Configuration of static itself."),
		args: podArgs({
			ips: requestedIps.describe("Addresses as CIDR, in place of those configured and of CNI_ARGS."),
		}),
		runtimeConfig: capabilityArgs({
			ips: requestedIps.describe("Capability `ips`: addresses as CIDR, in place of all others."),
		}),
	})
	.describe("Configuration of the static IPAM plugin.");

export type StaticConfig = z.infer<typeof schema>;
