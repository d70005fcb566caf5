/**
 * host-local: addresses for the containers of this host, from ranges, on record in files.
 */
import type { Plugin } from "../../lib/cni/types.ts";
import { version } from "../../package.json";
import { add } from "./add.ts";
import { check } from "./check.ts";
import { del } from "./del.ts";
import { gc } from "./gc.ts";
import { status } from "./status.ts";

export const plugin: Plugin = { about: `CNI host-local plugin v${version}`, add, del, check, gc, status };
