/**
 * What operators ask: `berth <command>`.
 */
import type { Command } from "../lib/plugin/command.ts";

export const commands: Readonly<Record<string, Command>> = {};
