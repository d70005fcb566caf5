/**
 * static: the addresses, routes and DNS settings of the configuration, as a result.
 */
import type { Plugin } from "../../lib/cni/types.ts";
import { version } from "../../package.json";
import { add } from "./add.ts";
import { check } from "./check.ts";
import { del } from "./del.ts";
import { gc } from "./gc.ts";
import { status } from "./status.ts";

export const plugin: Plugin = { about: `CNI static plugin v${version}`, add, del, check, gc, status };
