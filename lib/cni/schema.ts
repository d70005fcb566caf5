/**
 * What every plugin's configuration has: specification 1.1.0, section 1, as Go's types.PluginConf reads it. Plugins extend it:
 * `pluginConfig.extend({ ... })`. The build reads this; what runs in the executable imports only the types.
 *
 * Unknown keys are allowed on every level, as in Go: use z.looseObject.
 */
import { z } from "zod";

export const dnsConfig = z.looseObject({
	nameservers: z.array(z.string()).optional().describe("Addresses of name servers, in order of preference."),
	domain: z.string().optional().describe("Local domain for short names."),
	search: z.array(z.string()).optional().describe("Search domains for short names, in order of preference."),
	options: z.array(z.string()).optional().describe("Options of the resolver."),
});

/** A route as it stands in `routes` of IPAM configurations. */
export const routeConfig = z.looseObject({
	dst: z.string().describe("Destination as CIDR."),
	gw: z.string().optional().describe("Next hop. Absent: the gateway of the address, of the same family."),
	mtu: z.int().optional().describe("MTU of the path in bytes; 0 is none."),
	advmss: z.int().optional().describe("TCP maximum segment size to advertise in bytes; 0 is none."),
	priority: z.int().optional().describe("Metric; lower is preferred."),
	table: z.int().optional().describe("Routing table. Absent: main."),
	scope: z.int().optional().describe("Scope: 0 universe, 253 link, 254 host."),
});

export const pluginConfig = z.looseObject({
	cniVersion: z
		.string()
		.optional()
		.describe("Version of the specification: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0 or 1.1.0. Absent: 0.1.0."),
	name: z.string().describe('Name of the network: letters, digits, "_", "." and "-", the first a letter or a digit.'),
	type: z.string().optional().describe("File name of the plugin in CNI_PATH."),
	capabilities: z
		.record(z.string(), z.boolean())
		.optional()
		.describe("What the runtime may pass in runtimeConfig. Read by the runtime only."),
	ipam: z
		.looseObject({
			type: z.string().optional().describe("File name of the IPAM plugin in CNI_PATH. Absent: no IPAM."),
		})
		.optional()
		.describe("Configuration of the IPAM plugin, which documents its fields."),
	dns: dnsConfig.optional().describe("DNS settings."),
	args: z
		.looseObject({
			cni: z.looseObject({}).optional().describe("Arguments of the pod, such as `cni-args` of a Multus annotation."),
		})
		.optional()
		.describe("Arguments that runtimes add."),
	runtimeConfig: z.looseObject({}).optional().describe("What the runtime passes for declared capabilities."),
	prevResult: z.looseObject({}).optional().describe("Result of the plugins before this one. Set by the runtime."),
});
