/**
 * What the kernel refuses, as an error of the protocol, and what STATUS finds missing: for plugins that change devices.
 */
import { CniError, Code } from "../cni/error.ts";
import type { Plugin, Request } from "../cni/types.ts";
import { NetlinkError } from "../netlink/error.ts";
import { isSystemError } from "../sys/sys.ts";

/**
 * The plugin, with refusals of the kernel as code 100, a matter of the device, and not as 5, an I/O error of ours.
 */
export function withDeviceErrors(plugin: Plugin): Plugin {
	const { add, del, check, gc, status } = plugin;
	return {
		...plugin,
		add: withDeviceError(add),
		del: withDeviceError(del),
		check: withDeviceError(check),
		gc: withDeviceError(gc),
		status: withDeviceError(status),
	};
}

type Valid = Parameters<Plugin["gc"]>[1];

function withDeviceError<T>(verb: (request: Request, valid: Valid) => T): (request: Request, valid?: Valid) => T {
	return (request, valid) => {
		try {
			return verb(request, valid);
		} catch (error) {
			if (error instanceof NetlinkError) throw new CniError(Code.device, error.message);
			throw error;
		}
	};
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
