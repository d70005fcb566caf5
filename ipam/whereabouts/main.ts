/**
 * whereabouts: addresses that are handed out once in a whole cluster, on record in the Kubernetes API. The IPAM
 * plugin, and commands: `whereabouts ls`, `whereabouts reconcile` and `whereabouts slices`.
 */
import type { Plugin } from "../../lib/cni/types.ts";
import { runCommandOf } from "../../lib/plugin/command.ts";
import { version } from "../../package.json";
import { add } from "./add.ts";
import { check } from "./check.ts";
import { del } from "./del.ts";
import { gc } from "./gc.ts";
import { list } from "./list.ts";
import { reconcile } from "./reconcile.ts";
import { slices } from "./slices.ts";
import { status } from "./status.ts";
import { write } from "./writer.ts";

/** `whereabouts ls ...` and so on, or the same after `berth`. */
function answerFlags(): undefined {
	runCommandOf("whereabouts", { ls: list, reconcile, slices, write });
}

export const plugin: Plugin = {
	about: `CNI whereabouts plugin v${version}`,
	add,
	del,
	check,
	gc,
	status,
	answerFlags,
};
