/**
 * The device-info file, from which Multus fills `device-info` of a pod's network status.
 *
 * Source: Device Information Specification 1.1.0 of the Network Plumbing Working Group. The runtime names the file
 * (capability CNIDeviceInfoFile), has copied the device plugin's into it where there was one, and removes it after
 * DEL.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import { isObject, parseObject } from "../../lib/cni/json.ts";
import type { JsonObject } from "../../lib/cni/types.ts";
import { physicalFunction } from "../../lib/linux/pci.ts";
import type { UndoStack } from "../../lib/plugin/undo-stack.ts";
import * as files from "../../lib/sys/files.ts";
import type { SriovConfig } from "./schema.ts";

/** As the specification's own library writes it: read-only, replaced as a whole. */
const MODE = 0o444;

/** Any absolute path that stays where it says: runtimes have their own directories for it. */
const isDeviceInfoPath = (path: string): boolean => path.startsWith("/") && !path.split("/").includes("..");

/** Throws CniError 7. */
export function requireDeviceInfoPath(path: string): void {
	if (isDeviceInfoPath(path)) return;
	throw new CniError(
		Code.invalidConfig,
		`runtimeConfig.CNIDeviceInfoFile "${path}" must be an absolute path without ".."`,
	);
}

/** Adds what we know of the VF to the file, if the runtime asks for one; what is in it already stays. */
export function writeDeviceInfo(config: SriovConfig, pci: string, undo: UndoStack): void {
	const path = config.runtimeConfig?.CNIDeviceInfoFile;
	if (!path) return;
	const before = files.readTextIfPresent(path);
	const info = before === undefined ? {} : parse(path, before);
	const pf = physicalFunction(pci);
	const known = isObject(info.pci) ? info.pci : {};
	const after = {
		type: "pci",
		version: "1.1.0",
		...info,
		pci: { "pci-address": pci, ...(pf && { "pf-pci-address": pf }), ...known },
	};
	undo.push(`put device-info file ${path} back`, () => {
		if (before === undefined) files.removeIfPresent(path);
		else files.writeAtomic(path, before, MODE);
	});
	const directory = path.slice(0, path.lastIndexOf("/"));
	if (directory !== "") files.makeDirectories(directory, 0o755);
	files.writeAtomic(path, JSON.stringify(after), MODE);
}

/**
 * Removes what an ADD that was killed while it wrote the file left in its directory. The file itself is the
 * runtime's.
 */
export function removeDeviceInfoTemporary({ runtimeConfig }: SriovConfig): void {
	// From a record: it may be anything.
	const path: unknown = isObject(runtimeConfig) ? runtimeConfig.CNIDeviceInfoFile : undefined;
	if (typeof path === "string" && isDeviceInfoPath(path)) files.removeTemporary(path);
}

function parse(path: string, text: string): JsonObject {
	const info = parseObject(text);
	if (info !== undefined) return info;
	throw new CniError(Code.decoding, `device-info file "${path}" is not a JSON object`);
}
