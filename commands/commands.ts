/**
 * What operators ask: `berth <command>`.
 */
import type { Command } from "../lib/plugin/command.ts";
import { heal } from "./heal.ts";
import { metrics } from "./metrics.ts";
import { node } from "./node/node.ts";
import { validate } from "./validate/validate.ts";

export const commands: Readonly<Record<string, Command>> = { heal, metrics, node, validate };
