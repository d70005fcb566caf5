/**
 * STATUS: whether an ADD can work. Cheap: it is polled every few seconds.
 */
import { CniError, Code } from "../../lib/cni/error.ts";
import type { Request } from "../../lib/cni/types.ts";
import { requireWritable } from "../../lib/rdma/record.ts";
import { openExclusive } from "../../lib/rdma/subsystem.ts";
import * as sys from "../../lib/sys/sys.ts";
import { strictConfig } from "./config.ts";

export function status(request: Request): void {
	const config = strictConfig(request);
	try {
		using host = openExclusive(config);
		if (host !== undefined) requireWritable();
	} catch (error) {
		if (error instanceof CniError) throw new CniError(Code.notAvailable, error.message, error.details);
		if (sys.isSystemError(error)) throw new CniError(Code.notAvailable, error.message);
		throw error;
	}
}
