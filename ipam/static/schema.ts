/**
 * Configuration of static: the one source of its types, JSON Schema, validator and reference page.
 */
import { z } from "zod";
import { dnsConfig, pluginConfig, routeConfig } from "../../lib/cni/schema.ts";

const cidr = z.string();

export const schema = pluginConfig
	.extend({
		ipam: z
			.looseObject({
				type: z.string().optional().describe('"static".'),
				addresses: z
					.array(
						z.looseObject({
							address: z.string().describe("Address with the prefix length of its network, as CIDR."),
							gateway: z.string().optional().describe("Gateway of the address in the result."),
						}),
					)
					.optional()
					.describe("Addresses of the result. CNI_ARGS `IP` adds to them; `args` and `runtimeConfig` replace them."),
				routes: z.array(routeConfig).optional().describe("Routes of the result."),
				dns: dnsConfig.optional().describe("DNS settings of the result."),
			})
			.describe("Configuration of static itself."),
		args: z
			.looseObject({
				cni: z
					.looseObject({
						ips: z.array(cidr).optional().describe("Addresses as CIDR, in place of those configured and of CNI_ARGS."),
					})
					.optional()
					.describe("Arguments of the pod, such as `cni-args` of a Multus annotation."),
			})
			.optional()
			.describe("Arguments that runtimes add."),
		runtimeConfig: z
			.looseObject({
				ips: z.array(cidr).optional().describe("Capability `ips`: addresses as CIDR, in place of all others."),
			})
			.optional()
			.describe("What the runtime passes for declared capabilities."),
	})
	.describe("Configuration of the static IPAM plugin.");

export type StaticConfig = z.infer<typeof schema>;
