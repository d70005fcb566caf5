/**
 * From a host's name to its addresses, without the C library: /etc/hosts.
 */
import { type Ip, parseIp } from "../ip/address.ts";
import { readTextIfPresent } from "../sys/files.ts";
import { HttpError } from "./error.ts";

/** At least one address, in the order in which they are to be tried. Throws HttpError. */
export function resolve(name: string): readonly Ip[] {
	const ip = parseIp(name);
	if (ip !== undefined) return [ip];
	const known = fromHosts(readTextIfPresent("/etc/hosts") ?? "", name);
	if (known.length === 0) throw new HttpError("name", `${name} is not in /etc/hosts`);
	return known;
}

/** hosts(5): lines of an address and its names. */
function fromHosts(text: string, name: string): Ip[] {
	const found: Ip[] = [];
	for (const line of text.split("\n")) {
		const [address = "", ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
		const ip = parseIp(address);
		if (ip !== undefined && names.some((each) => each.toLowerCase() === name.toLowerCase())) found.push(ip);
	}
	return found;
}
