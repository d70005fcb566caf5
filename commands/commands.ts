/**
 * What operators ask: `berth <command>`.
 */
import type { Command } from "../lib/plugin/command.ts";
import { heal } from "./heal.ts";

export const commands: Readonly<Record<string, Command>> = { heal };
