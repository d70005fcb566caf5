/**
 * Configuration of dhcp: the one source of its types, JSON Schema, validator and reference page.
 */
import { z } from "zod";
import { bits32, flag, pluginConfig, text } from "../../lib/cni/schema.ts";

export const schema = pluginConfig
	.extend({
		ipam: z
			.looseObject({
				type: text('"dhcp".'),
				daemonSocketPath: text("Socket of `dhcp daemon`, with its `-hostprefix` if it has one.", "/run/cni/dhcp.sock"),
				request: z
					.array(
						z.looseObject({
							skipDefault: flag("Do not ask for the options that are asked for by default."),
							option: text("Name or number of an option to ask the server for."),
						}),
					)
					.optional()
					.describe("Options to ask for, before those that are asked for by default."),
				provide: z
					.array(
						z.looseObject({
							option: text("Name or number of an option to send to the server."),
							value: text("Its value, as text; at most 255 bytes."),
							fromArg: text("Key in CNI_ARGS whose value is sent; `value` where it is not there."),
						}),
					)
					.optional()
					.describe("Options to send to the server."),
				ipv4: flag("Whether an IPv4 address is wanted. false: IPv6 alone.", true),
				ipv6: z
					.enum(["dhcp", "slaac"])
					.optional()
					.describe(
						'"dhcp": an address by DHCPv6 as well; "slaac": the addresses that the kernel makes of router advertisements. Absent: IPv4 alone.',
					),
				priority: bits32.optional().describe("Metric of all routes of the result; 0 is none."),
				clientId: text(
					'Client identifier: "mac" (hardware type and MAC), hex digits after "0x", or any other text. Absent: made of container id, network and interface, as the Go plugin does.',
				),
				hostname: text('Host name to send to the server; "pod": the name of the pod, from K8S_POD_NAME in CNI_ARGS.'),
				broadcast: flag("Ask the server to answer by broadcast: for interfaces that share a MAC (ipvlan)."),
			})
			.describe("Configuration of dhcp itself."),
	})
	.describe("Configuration of the dhcp IPAM plugin.");

export type DhcpConfig = z.infer<typeof schema>;
