/**
 * The variables of a call, checked as Go's skel checks them: in its order, with its sentences.
 *
 * Source: containernetworking/cni v1.3.0, pkg/skel getCmdArgsFromEnv and pkg/utils.
 */
import { CniError, Code } from "./error.ts";
import { SPACE } from "./space.ts";
import type { Request, Verb } from "./types.ts";

type Environment = Pick<Request, "containerId" | "netns" | "ifName" | "args" | "path">;

/** What a verb is about: an attachment in its sandbox, one that may have lost it, or none. */
const ABOUT: Readonly<Record<Verb, "sandbox" | "attachment" | "none">> = {
	ADD: "sandbox",
	CHECK: "sandbox",
	DEL: "attachment",
	GC: "none",
	STATUS: "none",
};

/** Longest name of a network interface in bytes: IFNAMSIZ of linux/if.h less the closing NUL. */
const MAX_INTERFACE_NAME = 15;

const NOT_IN_INTERFACE = new RegExp(`[/:${SPACE}]`);

/**
 * Reads and checks the variables, of which CNI_COMMAND is `command`. Throws code 4: a value with bad characters at
 * once, missing ones together.
 * Values are checked only for the verbs that need them.
 */
export function readEnvironment(command: string, variable: (name: string) => string | undefined): Environment {
	const containerId = variable("CNI_CONTAINERID") ?? "";
	const netns = variable("CNI_NETNS") ?? "";
	const ifName = variable("CNI_IFNAME") ?? "";
	const path = variable("CNI_PATH") ?? "";
	const about = Object.hasOwn(ABOUT, command) ? ABOUT[command as Verb] : undefined;
	const isOfAttachment = about === "sandbox" || about === "attachment";
	if (isOfAttachment && containerId !== "") checkContainerId(containerId);
	if (isOfAttachment && ifName !== "") checkInterfaceName(ifName);

	const missing: string[] = [];
	if (command === "") missing.push("CNI_COMMAND");
	if (isOfAttachment && containerId === "") missing.push("CNI_CONTAINERID");
	if (about === "sandbox" && netns === "") missing.push("CNI_NETNS");
	if (isOfAttachment && ifName === "") missing.push("CNI_IFNAME");
	if (about !== undefined && path === "") missing.push("CNI_PATH");
	if (missing.length > 0) {
		throw new CniError(Code.invalidEnvironment, `required env variables [${missing.join(",")}] missing`);
	}
	return { containerId, netns, ifName, args: variable("CNI_ARGS") ?? "", path };
}

/** CNI_NETNS_OVERRIDE: the sandbox may be the plugin's own namespace. */
export function isSameNetnsAllowed(variable: (name: string) => string | undefined): boolean {
	const override = variable("CNI_NETNS_OVERRIDE") ?? "";
	return override === "1" || override.toUpperCase() === "TRUE";
}

/** Letters, digits, "_", "." and "-", the first a letter or a digit: container ids and network names. */
export const isValidName = (text: string): boolean => NAME.test(text);
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;

function checkContainerId(id: string): void {
	if (!isValidName(id)) throw new CniError(Code.invalidEnvironment, "invalid characters in containerID", id);
}

/** Throws code 4 where `name` cannot be the name of a network interface. */
function checkInterfaceName(name: string): void {
	// No character of one UTF-16 unit has more than 3 bytes, and none of two has more than 4.
	if (name.length * 3 > MAX_INTERFACE_NAME && utf8Length(name) > MAX_INTERFACE_NAME) {
		throw new CniError(
			Code.invalidEnvironment,
			"interface name is too long",
			`interface name should be less than ${MAX_INTERFACE_NAME + 1} characters`,
		);
	}
	if (name === "." || name === "..") throw new CniError(Code.invalidEnvironment, "interface name is . or ..");
	if (NOT_IN_INTERFACE.test(name)) {
		throw new CniError(Code.invalidEnvironment, "interface name contains / or : or whitespace characters");
	}
}

function utf8Length(text: string): number {
	let length = 0;
	for (const character of text) {
		const code = character.codePointAt(0)!;
		length += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
	}
	return length;
}
