/**
 * One executable, many names.
 */
import { version } from "../../package.json";
import { renderError } from "../cni/dispatch.ts";
import { CniError, Code } from "../cni/error.ts";
import { sentence } from "../cni/failures.ts";
import { quote } from "../cni/quote.ts";
import { writeStderr } from "../sys/stderr.ts";
import * as sys from "../sys/sys.ts";
import { type Command, listCommands, print, runCommand, WRONG_CALL } from "./command.ts";

/** What the executable does under a name. */
type Applets = Readonly<Record<string, () => void>>;

/** Runs the applet that argv[0] is called after, or the applet or command that argv[1] names. */
export function runApplet(applets: Applets, commands: Readonly<Record<string, Command>>): void {
	const [own = "", first = ""] = sys.args();
	const applet = appletNamed(applets, fileName(own)) ?? (Object.hasOwn(applets, first) ? applets[first] : undefined);
	if (applet !== undefined) {
		applet();
		return;
	}
	if (Object.hasOwn(commands, first)) runCommand(`berth ${first}`, commands[first]!, sys.args().slice(2));
	if (first === "--version") {
		const engine = sys.engine();
		answer(`berth ${version} (QuickJS-ng ${engine.version}, ${engine.image ? "image" : "bytecode"})\n`);
	}
	if (first === "--help" || first === "-h") {
		print(usage(applets, commands));
		sys.exit(0);
	}
	const names = Object.keys(applets).sort().join(" ");
	if (sys.variable("CNI_COMMAND")) {
		const reason = `${quote(fileName(own))} is the name of no plugin: the executable must be called ${names}`;
		const details =
			'a part before it that ends with "-" or ".", or one behind it that begins with ".", does no harm: cnv-sriov, sriov.old';
		answer(renderError(new CniError(Code.invalidEnvironment, reason, details)), 1);
	}
	writeStderr(usage(applets, commands));
	sys.exit(WRONG_CALL);
}

function usage(applets: Applets, commands: Readonly<Record<string, Command>>): string {
	const plugins = `plugins: ${Object.keys(applets).sort().join(" ")}`;
	return [
		"usage: berth COMMAND [--help], or a link to berth named after a plugin, which a container runtime calls\n\n",
		`${listCommands(commands)}\n${plugins}\n`,
	].join("");
}

/** The file name that this process was called by. */
export const calledAs = (): string => fileName(sys.args()[0] ?? "");

const fileName = (path: string): string => path.slice(path.lastIndexOf("/") + 1);

/**
 * What `name` means: a key of `applets`, or the longest one that it has between a "-" or "." and its end or a ".".
 * Installers call copies cnv-host-local, or host-local.prev.
 */
export function appletNamed<T>(applets: Readonly<Record<string, T>>, name: string): T | undefined {
	if (Object.hasOwn(applets, name)) return applets[name];
	let longest = "";
	for (const applet in applets) {
		if (applet.length > longest.length && hasPart(name, applet)) longest = applet;
	}
	return applets[longest];
}

function hasPart(name: string, part: string): boolean {
	for (let at = name.indexOf(part); at >= 0; at = name.indexOf(part, at + 1)) {
		const [before, behind] = [name[at - 1] ?? ".", name[at + part.length] ?? "."];
		if ((before === "-" || before === ".") && behind === ".") return true;
	}
	return false;
}

/** Prints what was asked for and ends the process. */
export function answer(text: string, status = 0): never {
	try {
		sys.write(1, text);
	} catch (error) {
		writeStderr(`${calledAs()}: the answer cannot be written to stdout: ${sentence(error)}\n`);
		sys.exit(1);
	}
	sys.exit(status);
}
