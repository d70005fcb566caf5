/**
 * The executable: each plugin under its name, and commands for people.
 */
import { runApplet } from "../lib/plugin/applets.ts";
import { pluginMain } from "../lib/plugin/plugin-main.ts";
import { commands } from "./commands.ts";
import { plugins } from "./plugins.ts";

const applets = Object.fromEntries(
	Object.keys(plugins).map((name) => [name, () => pluginMain(name, plugins)] as const),
);

/** What the host calls, once in a process. */
export const main = (): void => runApplet(applets, commands);
