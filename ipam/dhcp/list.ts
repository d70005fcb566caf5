/**
 * `dhcp list`: the leases of the daemon, as a table or (`-json`) as JSON.
 */
import { type Command, printAnswer } from "../../lib/plugin/command.ts";
import { parseFlags } from "../../lib/plugin/flags.ts";
import { formatTable } from "../../lib/plugin/table.ts";
import { ask, QUICK_MS } from "./ask.ts";
import { DEFAULT_SOCKET, type ListedLease, type Listing } from "./daemon/protocol.ts";

export const list: Command = {
	about: "the leases of the daemon",
	synopsis: "[--json] [-socketpath PATH]",
	help: "Prints a table, or with --json JSON, of the leases that the daemon at PATH keeps.\n",
	run: (args) => {
		const { json, socketpath } = parseFlags(args, { json: false, socketpath: DEFAULT_SOCKET });
		const listing = ask(socketpath, { method: "list" }, QUICK_MS) as Listing;
		printAnswer(json, listing, () => table(listing.leases));
		return 0;
	},
};

function table(leases: readonly ListedLease[]): string {
	const rows = leases.map(({ containerId, network, ifName, state, result, server, renewSeconds, expireSeconds }) => ({
		...{ container: containerId.slice(0, 13), network, interface: ifName, state },
		...{ address: result?.ips?.[0]?.address ?? "", server: server ?? "" },
		...{ renew: duration(renewSeconds), expires: duration(expireSeconds) },
	}));
	return formatTable(["container", "network", "interface", "state", "address", "server", "renew", "expires"], rows);
}

function duration(seconds: number | null | undefined): string {
	if (seconds === undefined) return "-";
	return seconds === null ? "never" : `${seconds}s`;
}
