/**
 * What the kernel refuses, as an error of the protocol: for plugins that change devices.
 */
import { CniError, Code } from "../cni/error.ts";
import type { Plugin } from "../cni/types.ts";
import { NetlinkError } from "../netlink/error.ts";
import { isSystemError } from "../sys/sys.ts";

/**
 * The plugin, with refusals of the kernel as code 100, a matter of the device, and not as 5, an I/O error of ours.
 */
export function withDeviceErrors(plugin: Plugin): Plugin {
	return {
		...plugin,
		add: (request) => attempt(() => plugin.add(request)),
		del: (request) => attempt(() => plugin.del(request)),
		check: (request) => attempt(() => plugin.check(request)),
		gc: (request, valid) => attempt(() => plugin.gc(request, valid)),
		status: (request) => attempt(() => plugin.status(request)),
	};
}

function attempt<T>(verb: () => T): T {
	try {
		return verb();
	} catch (error) {
		if (error instanceof NetlinkError) throw new CniError(Code.device, error.message);
		throw error;
	}
}

/** Runs a look of STATUS, whose refusal is code 50, after the words `what`. */
export function requireAvailable(what: string, look: () => void): void {
	try {
		look();
	} catch (error) {
		if (!(error instanceof CniError || isSystemError(error))) throw error;
		throw new CniError(Code.notAvailable, `${what}${error.message}`, error instanceof CniError ? error.details : "");
	}
}
