/**
 * What every plugin's configuration has: specification 1.1.0, section 1, as Go's types.PluginConf reads it. Plugins
 * extend it: `pluginConfig.extend({ ... })`. The build reads this; what runs in the executable imports only the types.
 *
 * Unknown keys are allowed on every level, as in Go: use z.looseObject.
 */
import { z } from "zod";

const optional = <T extends z.ZodType>(type: T, about: string, byDefault?: z.output<T>) =>
	type.optional().meta({ ...(byDefault !== undefined && { default: byDefault }), description: about });

/** Keys that may be absent: what the reference page says of them, and what they are then taken for. */
export const text = (about: string, byDefault?: string) => optional(z.string(), about, byDefault);
export const texts = (about: string) => optional(z.array(z.string()), about);
export const flag = (about: string, byDefault?: boolean) => optional(z.boolean(), about, byDefault);

export const dnsConfig = z.looseObject({
	nameservers: texts("Addresses of name servers, in order of preference."),
	domain: text("Local domain for short names."),
	search: texts("Search domains for short names, in order of preference."),
	options: texts("Options of the resolver."),
});

/** Attributes of routes have 32 bits (linux/rtnetlink.h), the scope of `struct rtmsg` has 8. */
export const bits32 = z.int().min(0).max(0xffffffff);

/** What the kernel is told about a route. In a configuration, and in a result. */
export const routeNumbers = {
	mtu: bits32.optional().describe("MTU of the path in bytes; 0 is none."),
	advmss: bits32.optional().describe("TCP maximum segment size to advertise in bytes; 0 is none."),
	priority: bits32.optional().describe("Metric; lower is preferred. 0 is the family's default."),
	table: bits32.optional().describe("Routing table. Absent or 0: main."),
	scope: z.int().min(0).max(255).optional().describe("Scope: 0 universe, 253 link, 254 host."),
};

/** A route as it stands in `routes` of IPAM configurations. */
export const routeConfig = z.looseObject({
	dst: z.string().describe("Destination as CIDR."),
	gw: text("Next hop. Absent: the gateway of the address, of the same family."),
	...routeNumbers,
});

/** `args`, of which a plugin reads these fields of `cni`. */
export const podArgs = <Fields extends z.ZodRawShape>(fields: Fields) =>
	z
		.looseObject({
			cni: z
				.looseObject(fields)
				.optional()
				.describe("Arguments of the pod, such as `cni-args` of a Multus annotation."),
		})
		.optional()
		.describe("Arguments that runtimes add.");

/** `runtimeConfig`, of which a plugin reads these fields. */
export const capabilityArgs = <Fields extends z.ZodRawShape>(fields: Fields) =>
	z.looseObject(fields).optional().describe("What the runtime passes for declared capabilities.");

/** Of plugins that wait for locks. */
export const lockTimeout = {
	lockTimeoutMilliseconds: z
		.int()
		.min(1)
		.max(600_000)
		.optional()
		.describe(
			"How long a call waits for a lock that another one holds, in ms, before it fails with code 11. Absent: 60000. For runtimes that cut a call off earlier. At the top level, also for the IPAM plugin.",
		),
};

export const pluginConfig = z.looseObject({
	cniVersion: text("Version of the specification: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0 or 1.1.0. Absent: 0.1.0."),
	name: z.string().describe('Name of the network: letters, digits, "_", "." and "-", the first a letter or a digit.'),
	type: text("File name of the plugin in CNI_PATH."),
	capabilities: z
		.record(z.string(), z.boolean())
		.optional()
		.describe("What the runtime may pass in runtimeConfig. Read by the runtime only."),
	ipam: z
		.looseObject({
			type: text("File name of the IPAM plugin in CNI_PATH. Absent: no IPAM."),
		})
		.optional()
		.describe("Configuration of the IPAM plugin, which documents its fields."),
	dns: dnsConfig
		.optional()
		.describe(
			"Not read, as by the Go plugins: DNS settings of the result come from IPAM (`resolvConf` of host-local, `ipam.dns` of static).",
		),
	args: podArgs({}),
	runtimeConfig: capabilityArgs({}),
	prevResult: z.looseObject({}).optional().describe("Result of the plugins before this one. Set by the runtime."),
});
