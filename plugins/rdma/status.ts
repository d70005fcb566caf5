/**
 * STATUS: whether an ADD can work. Cheap: it is polled every few seconds.
 */
import type { Request } from "../../lib/cni/types.ts";
import { requireAvailable } from "../../lib/plugin/device-errors.ts";
import { requireWritable } from "../../lib/rdma/record.ts";
import { openExclusive } from "../../lib/rdma/subsystem.ts";
import { strictConfig } from "./config.ts";

export function status(request: Request): void {
	const config = strictConfig(request);
	requireAvailable("", () => {
		using host = openExclusive(config);
		if (host !== undefined) requireWritable();
	});
}
