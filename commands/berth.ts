/**
 * The executable: each plugin under its name.
 */
import { runApplet } from "../lib/plugin/applets.ts";
import { pluginMain } from "../lib/plugin/plugin-main.ts";
import { plugins } from "./plugins.ts";

/** What the host calls, once in a process. */
export function main(): void {
	const applets = Object.keys(plugins).map((name) => [name, () => pluginMain(name, plugins)] as const);
	runApplet(Object.fromEntries(applets));
}
