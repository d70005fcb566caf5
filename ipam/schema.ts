/**
 * What configurations of IPAM plugins have in common. As lib/cni/schema.ts, read by the build alone.
 */
import { z } from "zod";
import { bits32, dnsConfig, routeConfig, text } from "../lib/cni/schema.ts";

export const addressConfigs = z
	.array(
		z.looseObject({
			address: z.string().describe("Address with the prefix length of its network, as CIDR."),
			gateway: text("Gateway of the address in the result."),
		}),
	)
	.optional();

export const routes = z.array(routeConfig).optional().describe("Routes of the result.");
export const dns = dnsConfig.optional().describe("DNS settings of the result.");
export const reuseDelaySeconds = bits32.optional();
export const requestedIps = z.array(z.string()).optional();
