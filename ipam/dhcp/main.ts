/**
 * dhcp: addresses from the network. Two programs: the IPAM plugin, and the daemon that keeps the leases.
 */
import type { Plugin } from "../../lib/cni/types.ts";
import { runCommandOf } from "../../lib/plugin/command.ts";
import { version } from "../../package.json";
import { add } from "./add.ts";
import { check } from "./check.ts";
import { daemon } from "./daemon/run.ts";
import { del } from "./del.ts";
import { gc } from "./gc.ts";
import { list } from "./list.ts";
import { status } from "./status.ts";

/** `dhcp daemon ...` and `dhcp list ...`, or the same after `berth`. */
function answerFlags(): undefined {
	runCommandOf("dhcp", { daemon, list });
}

export const plugin: Plugin = { about: `CNI dhcp plugin v${version}`, add, del, check, gc, status, answerFlags };
