/**
 * ADD: addresses, routes and DNS settings of the configuration.
 */
import type { CniResult, Request } from "../../lib/cni/types.ts";
import { loadStatic } from "./config.ts";

export function add(request: Request): CniResult {
	const { addresses, routes, dns } = loadStatic(request);
	return { ips: addresses, routes, ...(dns && { dns }) };
}
