/**
 * What operators ask: `berth <command>`.
 */
import type { Command } from "../lib/plugin/command.ts";
import { heal } from "./heal.ts";
import { install } from "./install/install.ts";
import { uninstall } from "./install/uninstall.ts";
import { verify } from "./install/verify.ts";
import { version } from "./install/version.ts";
import { metrics } from "./metrics.ts";
import { node } from "./node/node.ts";
import { plugins } from "./plugins.ts";
import { validate } from "./validate/validate.ts";

const names = Object.keys(plugins);

export const commands: Readonly<Record<string, Command>> = {
	install: install(names),
	verify: verify(names),
	uninstall: uninstall(names),
	validate,
	node,
	heal,
	metrics,
	version: version(names),
};
