/**
 * dhcp: addresses from the network. Two programs: the IPAM plugin, and the daemon that keeps the leases.
 */
import { sentence } from "../../lib/cni/failures.ts";
import type { Plugin } from "../../lib/cni/types.ts";
import { writeStderr } from "../../lib/sys/stderr.ts";
import * as sys from "../../lib/sys/sys.ts";
import { version } from "../../package.json";
import { add } from "./add.ts";
import { check } from "./check.ts";
import { runDaemon } from "./daemon/run.ts";
import { del } from "./del.ts";
import { gc } from "./gc.ts";
import { list } from "./list.ts";
import { status } from "./status.ts";

/** `dhcp daemon ...` and `dhcp list ...`, or the same after `berth`. */
function answerFlags(args: readonly string[]): string | undefined {
	const first = args[1] === "dhcp" ? 2 : 1;
	if (args[first] === "daemon") runDaemon(args.slice(first + 1));
	if (args[first] !== "list") return undefined;
	try {
		return list(args.slice(first + 1));
	} catch (error) {
		writeStderr(`dhcp list: ${sentence(error)}\n`);
		sys.exit(1);
	}
}

export const plugin: Plugin = { about: `CNI dhcp plugin v${version}`, add, del, check, gc, status, answerFlags };
