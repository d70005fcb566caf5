/**
 * One executable, many names.
 */
import { version } from "../../package.json";
import { writeStderr } from "../sys/stderr.ts";
import * as sys from "../sys/sys.ts";

/** What the executable does under a name. */
export type Applets = Readonly<Record<string, () => void>>;

/** Exit status of a wrong call of `berth` itself. */
const USAGE = 2;

/** Runs the applet that argv[0] is called after, or that argv[1] names. */
export function runApplet(applets: Applets): void {
	const [own = "", first] = sys.args();
	const applet = find(applets, own.slice(own.lastIndexOf("/") + 1)) ?? find(applets, first);
	if (applet !== undefined) {
		applet();
		return;
	}
	if (first === "--version") {
		const engine = sys.engine();
		sys.write(1, `berth ${version} (QuickJS-ng ${engine.version}, ${engine.image ? "image" : "bytecode"})\n`);
		return;
	}
	const names = Object.keys(applets).sort().join(" ");
	writeStderr(`usage: berth APPLET, or a link to berth named after the applet\napplets: ${names}\n`);
	sys.exit(USAGE);
}

function find(applets: Applets, name: string | undefined): (() => void) | undefined {
	return name !== undefined && Object.hasOwn(applets, name) ? applets[name] : undefined;
}
