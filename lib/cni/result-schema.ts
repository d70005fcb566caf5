/**
 * The shape of results as they come in, from a delegate or as prevResult, in any version of the specification. The
 * source of `validator:cni-result`; what the executable runs imports only the types.
 */
import { z } from "zod";
import { routeNumbers } from "./schema.ts";

const dns = z.looseObject({
	nameservers: z.array(z.string()).optional(),
	domain: z.string().optional(),
	search: z.array(z.string()).optional(),
	options: z.array(z.string()).optional(),
});

const route = z.looseObject({
	dst: z.string(),
	gw: z.string().optional(),
	...routeNumbers,
});

/** 0.1.0 and 0.2.0: `ip4` and `ip6`. */
const side = z.looseObject({
	ip: z.string(),
	gateway: z.string().optional(),
	routes: z.array(route).optional(),
});

export const schema = z.looseObject({
	cniVersion: z.string().optional(),
	interfaces: z
		.array(
			z.looseObject({
				name: z.string().optional(),
				mac: z.string().optional(),
				mtu: z.int().min(0).max(0xffffffff).optional(),
				sandbox: z.string().optional(),
				socketPath: z.string().optional(),
				pciID: z.string().optional(),
			}),
		)
		.optional(),
	ips: z
		.array(
			z.looseObject({
				// Index into `interfaces`, of which some plugins give none by a negative one.
				interface: z.int().min(-0x80000000).max(0x7fffffff).optional(),
				address: z.string(),
				gateway: z.string().optional(),
			}),
		)
		.optional(),
	ip4: side.optional(),
	ip6: side.optional(),
	routes: z.array(route).optional(),
	dns: dns.optional(),
});

export type RawResult = z.infer<typeof schema>;
