/**
 * The variables of a call, checked as Go's skel checks them: in its order, with its sentences.
 *
 * Source: containernetworking/cni v1.3.0, pkg/skel getCmdArgsFromEnv and pkg/utils.
 */
import { CniError, Code } from "./error.ts";
import { hasSpace } from "./space.ts";
import type { Verb } from "./types.ts";

export interface Environment {
	/** CNI_COMMAND. "" where it is missing: then nothing else is read. */
	readonly command: string;
	readonly containerId: string;
	readonly netns: string;
	readonly ifName: string;
	readonly args: string;
	readonly path: string;
	/** CNI_NETNS_OVERRIDE: the sandbox may be the plugin's own namespace. */
	readonly sameNetnsAllowed: boolean;
}

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

/**
 * Reads and checks the variables. Throws code 4: a value with bad characters at once, missing ones together.
 * Values are checked only for the verbs that need them.
 */
export function readEnvironment(variable: (name: string) => string | undefined): Environment {
	const command = variable("CNI_COMMAND") ?? "";
	const missing: string[] = [];
	if (command === "") missing.push("CNI_COMMAND");

	const about = Object.hasOwn(ABOUT, command) ? ABOUT[command as Verb] : undefined;
	const read = (name: string, isNeeded: boolean, check?: (value: string) => void): string => {
		const value = variable(name) ?? "";
		if (!isNeeded) return value;
		if (value === "") missing.push(name);
		else check?.(value);
		return value;
	};
	const isOfAttachment = about === "sandbox" || about === "attachment";
	const containerId = read("CNI_CONTAINERID", isOfAttachment, checkContainerId);
	const netns = read("CNI_NETNS", about === "sandbox");
	const ifName = read("CNI_IFNAME", isOfAttachment, checkInterfaceName);
	const path = read("CNI_PATH", about !== undefined);

	if (missing.length > 0) {
		throw new CniError(Code.invalidEnvironment, `required env variables [${missing.join(",")}] missing`);
	}
	const override = variable("CNI_NETNS_OVERRIDE") ?? "";
	return {
		command,
		containerId,
		netns,
		ifName,
		args: variable("CNI_ARGS") ?? "",
		path,
		sameNetnsAllowed: override === "1" || override.toUpperCase() === "TRUE",
	};
}

/** Letters, digits, "_", "." and "-", the first a letter or a digit: container ids and network names. */
export const isValidName = (text: string): boolean => /^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(text);

function checkContainerId(id: string): void {
	if (!isValidName(id)) throw new CniError(Code.invalidEnvironment, "invalid characters in containerID", id);
}

/** Throws code 4 where `name` cannot be the name of a network interface. */
function checkInterfaceName(name: string): void {
	if (name === "") throw new CniError(Code.invalidEnvironment, "interface name is empty");
	// No character of one UTF-16 unit has more than 3 bytes, and none of two has more than 4.
	if (name.length * 3 > MAX_INTERFACE_NAME && utf8Length(name) > MAX_INTERFACE_NAME) {
		throw new CniError(
			Code.invalidEnvironment,
			"interface name is too long",
			`interface name should be less than ${MAX_INTERFACE_NAME + 1} characters`,
		);
	}
	if (name === "." || name === "..") throw new CniError(Code.invalidEnvironment, "interface name is . or ..");
	if (name.includes("/") || name.includes(":") || hasSpace(name)) {
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
