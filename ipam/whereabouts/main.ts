/**
 * whereabouts: addresses that are handed out once in a whole cluster, on record in the Kubernetes API. The IPAM
 * plugin, and two commands: `whereabouts ls` and `whereabouts reconcile`.
 */
import { sentence } from "../../lib/cni/failures.ts";
import type { Plugin } from "../../lib/cni/types.ts";
import { answer } from "../../lib/plugin/applets.ts";
import { FlagError } from "../../lib/plugin/flags.ts";
import { writeStderr } from "../../lib/sys/stderr.ts";
import * as sys from "../../lib/sys/sys.ts";
import { version } from "../../package.json";
import { add } from "./add.ts";
import { check } from "./check.ts";
import { del } from "./del.ts";
import { gc } from "./gc.ts";
import { list } from "./list.ts";
import { reconcile } from "./reconcile.ts";
import { status } from "./status.ts";
import { write } from "./writer.ts";

/** Exit status of a wrong call. */
const USAGE = 2;

/** `whereabouts ls ...` and `whereabouts reconcile ...`, or the same after `berth`. */
function answerFlags(args: readonly string[]): string | undefined {
	const [command, ...flags] = args.slice(args[1] === "whereabouts" ? 2 : 1);
	if (command !== "ls" && command !== "reconcile" && command !== "write") return undefined;
	try {
		if (command === "write") {
			write(flags);
			return "";
		}
		if (command === "ls") return list(flags);
		const { text, status: outcome } = reconcile(flags);
		return answer(text, outcome);
	} catch (error) {
		writeStderr(`whereabouts ${command}: ${sentence(error)}\n`);
		return sys.exit(error instanceof FlagError ? USAGE : 1);
	}
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
