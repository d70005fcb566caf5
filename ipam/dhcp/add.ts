/**
 * ADD: addresses from the network, by the daemon; those of SLAAC by the kernel.
 */
import type { CniResult, Request } from "../../lib/cni/types.ts";
import { writeStderr } from "../../lib/sys/stderr.ts";
import { ADD_MS, ask, QUICK_MS } from "./ask.ts";
import { loadWanted, nearMisses, socketPathOf } from "./config.ts";
import { waitForSlaac } from "./slaac.ts";
import { dnsSettings } from "./wire/options.ts";

export function add(request: Request): CniResult {
	const { leases, slaac } = loadWanted(request);
	for (const sentence of nearMisses(request)) writeStderr(`dhcp: ${sentence}\n`);
	const socketPath = socketPathOf(request);
	const results: CniResult[] = [];
	try {
		for (const spec of leases) results.push(ask(socketPath, { method: "add", spec }, ADD_MS) as CniResult);
		if (slaac) results.push(waitForSlaac(request));
	} catch (error) {
		// Nobody is told of the one that came before.
		if (results.length > 0) ask(socketPath, { method: "del", attachment: leases[0]! }, QUICK_MS);
		throw error;
	}
	return results.length === 1 ? results[0]! : together(results);
}

/** Addresses and routes in order; of DNS, the servers of all, and whatever else comes first. */
function together(results: readonly CniResult[]): CniResult {
	const routes = results.flatMap((result) => result.routes ?? []);
	const all = results.flatMap((result) => result.dns ?? []);
	const list = (key: "nameservers" | "search") => [...new Set(all.flatMap((dns) => dns[key] ?? []))];
	const dns = dnsSettings(list("nameservers"), list("search"), all.find(({ domain }) => domain)?.domain);
	return {
		ips: results.flatMap((result) => result.ips ?? []),
		...(routes.length > 0 && { routes }),
		...(Object.keys(dns).length > 0 && { dns }),
	};
}
