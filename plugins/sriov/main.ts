/**
 * sriov: a virtual function in a pod, and back on the host.
 */
import type { Plugin } from "../../lib/cni/types.ts";
import { withDeviceErrors } from "../../lib/plugin/device-errors.ts";
import { add } from "./add.ts";
import { check } from "./check.ts";
import { del } from "./del.ts";
import { gc } from "./gc.ts";
import { status } from "./status.ts";

// No about text, as in the Go plugin: without CNI_COMMAND it answers with error code 4.
export const plugin: Plugin = withDeviceErrors({ about: "", isMain: true, add, del, check, gc, status });
