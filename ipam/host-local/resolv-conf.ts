/**
 * DNS settings of a file in the format of resolv.conf(5), as far as a result can hold them.
 */
import { words } from "../../lib/cni/space.ts";
import type { CniDns } from "../../lib/cni/types.ts";
import { readText, statIfPresent } from "../../lib/sys/files.ts";
import * as sys from "../../lib/sys/sys.ts";
import { invalidConfig } from "../fields.ts";

/**
 * Comments, empty lines and keywords without a value are skipped, like unknown keywords. Name servers, search domains
 * and options add up over lines; the last domain wins.
 */
function parseResolvConf(text: string): CniDns {
	const nameservers: string[] = [];
	const search: string[] = [];
	const options: string[] = [];
	let domain: string | undefined;
	for (const line of text.split("\n")) {
		const [keyword = "", first, ...rest] = words(line);
		if (first === undefined || keyword.startsWith("#") || keyword.startsWith(";")) continue;
		if (keyword === "nameserver") nameservers.push(first);
		else if (keyword === "domain") domain = first;
		else if (keyword === "search") search.push(first, ...rest);
		else if (keyword === "options") options.push(first, ...rest);
	}
	return { nameservers, ...(domain !== undefined && { domain }), search, options };
}

/** What the file at `path` says. Throws CniError 7 where it is no file, SystemError where it cannot be read. */
export function readDns(path: string): CniDns {
	const status = statIfPresent(path);
	// To read from a pipe or a terminal could take for ever.
	if (status !== undefined && !sys.isRegular(status.mode)) {
		throw invalidConfig(`ipam.resolvConf ${path} is not a regular file`);
	}
	return parseResolvConf(readText(path));
}
