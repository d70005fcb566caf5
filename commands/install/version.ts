/**
 * `berth version`: which executable this is, for whoever compares it with a release's checksums.
 */
import { type Command, printAnswer } from "../../lib/plugin/command.ts";
import { parseFlags } from "../../lib/plugin/flags.ts";
import * as sys from "../../lib/sys/sys.ts";
import { version as number } from "../../package.json";
import { OWN_FILE } from "./executable.ts";

export const version = (plugins: readonly string[]): Command => ({
	about: "tells the version, the engine's, and the SHA-256 of this executable",
	synopsis: "[--json]",
	help: "  --json  prints JSON\n",
	run: (args) => {
		const { json } = parseFlags(args, { json: false });
		const engine = sys.engine();
		const told = {
			version: number,
			engine: `QuickJS-ng ${engine.version}`,
			start: engine.image ? "image" : "bytecode",
			sha256: sys.sha256(OWN_FILE),
			plugins,
		};
		const lines = Object.entries(told).map(([key, value]) => `${key.padEnd(7)}  ${[value].flat().join(" ")}\n`);
		printAnswer(json, told, () => lines.join(""));
		return 0;
	},
});
