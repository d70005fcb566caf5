/**
 * From a host's name to its addresses, as the C library's resolver finds them, which a static executable does not have:
 * /etc/hosts (hosts(5)), then the nameservers of /etc/resolv.conf (resolv.conf(5)). Not nsswitch.conf(5), nor mDNS.
 */
import { formatIp, type Ip, parseIp } from "../ip/address.ts";
import { readTextIfPresent } from "../sys/files.ts";
import * as sys from "../sys/sys.ts";
import { isDnsName, NO_ERROR, NO_SUCH_NAME } from "./dns-message.ts";
import { HttpError } from "./error.ts";
import { ask } from "./nameserver.ts";
import { timeLeft } from "./tcp.ts";

/** At least one address, IPv4 before IPv6. Throws HttpError ("name"). */
export function resolve(host: string, deadline: number): readonly Ip[] {
	const ip = parseIp(host);
	if (ip !== undefined) return [ip];
	const name = host.endsWith(".") ? host.slice(0, -1) : host;
	if (!isDnsName(name)) throw new HttpError("name", `${JSON.stringify(host)} is neither a DNS name nor an address`);
	const known = fromHosts(readTextIfPresent("/etc/hosts") ?? "", name);
	if (known.length > 0) return known;
	const settings = readSettings(readTextIfPresent("/etc/resolv.conf") ?? "");
	const failures: string[] = [];
	for (const candidate of candidates(host, settings)) {
		const found = askAll(candidate, settings, deadline, failures);
		if (found.length > 0) return found;
	}
	const reason = failures.length === 0 ? "there is no such name" : [...new Set(failures)].join("; ");
	throw new HttpError("name", `${host} cannot be resolved: ${reason}`);
}

function fromHosts(text: string, name: string): Ip[] {
	const found: Ip[] = [];
	for (const line of text.split("\n")) {
		const [address = "", ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
		const ip = parseIp(address);
		if (ip !== undefined && names.some((each) => each.toLowerCase() === name.toLowerCase())) found.push(ip);
	}
	return found;
}

type Settings = ReturnType<typeof readSettings>;

/** Numbers and limits are those of resolv.conf(5). */
function readSettings(text: string) {
	const servers: Ip[] = [];
	let search: string[] = [];
	const options = new Map<string, number>();
	for (const line of text.split("\n")) {
		const [keyword, ...words] = line
			.replace(/[#;].*/, "")
			.trim()
			.split(/\s+/);
		const [first = ""] = words;
		if (keyword === "nameserver") {
			const ip = parseIp(first);
			if (ip !== undefined && servers.length < 3) servers.push(ip);
		} else if (keyword === "search" || keyword === "domain") {
			search = words.map((each) => each.replace(/\.$/, "")).filter(isDnsName);
		} else if (keyword === "options") {
			for (const word of words) {
				const found = /^(ndots|timeout|attempts):([0-9]+)$/.exec(word);
				if (found !== null) options.set(found[1]!, Number(found[2]));
			}
		}
	}
	return {
		servers: servers.length > 0 ? servers : [{ family: 4, value: 0x7f000001n } satisfies Ip],
		search,
		/** A name with so many dots is first looked for as it is. */
		ndots: Math.min(options.get("ndots") ?? 1, 15),
		timeoutMs: 1000 * Math.min(options.get("timeout") || 5, 30),
		attempts: Math.min(options.get("attempts") || 2, 5),
	};
}

/** The names that are asked for, in their order. */
function candidates(host: string, { search, ndots }: Settings): string[] {
	if (host.endsWith(".")) return [host.slice(0, -1)];
	const longer = search.map((domain) => `${host}.${domain}`).filter(isDnsName);
	return host.split(".").length > ndots ? [host, ...longer] : [...longer, host];
}

/** None: there is no such name, or `failures` have become more. */
function askAll(name: string, settings: Settings, deadline: number, failures: string[]): Ip[] {
	const { servers, timeoutMs, attempts } = settings;
	for (let attempt = 0; attempt < attempts && timeLeft(deadline) > 0; attempt++) {
		for (const [index, server] of servers.entries()) {
			// A server that does not answer leaves time for the next.
			const share = Math.min(timeoutMs, timeLeft(deadline) / (servers.length - index));
			const outcome = askOne(server, name, sys.monotonicMs() + share);
			if (typeof outcome !== "string") return outcome;
			failures.push(`nameserver ${formatIp(server)} ${outcome}`);
		}
	}
	return [];
}

/** Addresses, or none where there is no such name; or what the server did instead of an answer. */
function askOne(server: Ip, name: string, deadline: number): Ip[] | string {
	try {
		const answers = ask(server, name, deadline);
		const addresses = answers.flatMap((answer) => answer.addresses).sort((a, b) => a.family - b.family);
		if (addresses.length > 0) return addresses;
		const refusal = answers.find(({ code }) => code !== NO_ERROR && code !== NO_SUCH_NAME);
		if (refusal !== undefined) return `answers with error ${refusal.code}`;
		// One answer of two is not enough to say that there is nothing.
		return answers.length === 2 ? [] : "does not answer";
	} catch (error) {
		if (sys.isSystemError(error)) return `cannot be asked: ${error.message}`;
		throw error;
	}
}
