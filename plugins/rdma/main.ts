/**
 * rdma: the RDMA device of an attachment goes where its interface goes, and returns to the host.
 */
import type { Plugin } from "../../lib/cni/types.ts";
import { withDeviceErrors } from "../../lib/plugin/device-errors.ts";
import { version } from "../../package.json";
import { add } from "./add.ts";
import { check } from "./check.ts";
import { del } from "./del.ts";
import { gc } from "./gc.ts";
import { status } from "./status.ts";

// The Go plugin's flag, in each spelling that Go's flag package takes. Go's release builds fill in commit and date.
const FLAGS = ["-v", "--v", "-version", "--version"];

function answerFlags(args: readonly string[]): string | undefined {
	if (!FLAGS.includes(args.at(-1) ?? "")) return undefined;
	return `rdma-cni cni version:${version}, commit:unknown commit, date:unknown date\n`;
}

// No about text, as in the Go plugin: without CNI_COMMAND it answers with error code 4.
export const plugin: Plugin = withDeviceErrors({ about: "", isMain: true, add, del, check, gc, status, answerFlags });
