/**
 * DNS settings of a file in the format of resolv.conf(5), as far as a result can hold them.
 */
import type { CniDns } from "../../lib/cni/types.ts";

/**
 * Comments, empty lines and keywords without a value are skipped, like unknown keywords. Name servers, search domains and
 * options add up over lines; the last domain wins.
 */
export function parseResolvConf(text: string): CniDns {
	const nameservers: string[] = [];
	const search: string[] = [];
	const options: string[] = [];
	let domain: string | undefined;
	for (const line of text.split("\n")) {
		const [keyword = "", first, ...rest] = line.trim().split(/\s+/);
		if (first === undefined || keyword.startsWith("#") || keyword.startsWith(";")) continue;
		if (keyword === "nameserver") nameservers.push(first);
		else if (keyword === "domain") domain = first;
		else if (keyword === "search") search.push(first, ...rest);
		else if (keyword === "options") options.push(first, ...rest);
	}
	return { nameservers, ...(domain !== undefined && { domain }), search, options };
}
