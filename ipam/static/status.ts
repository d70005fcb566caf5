/**
 * STATUS: an ADD would find its configuration in order.
 */
import type { Request } from "../../lib/cni/types.ts";
import { loadStatic } from "./config.ts";

export function status(request: Request): void {
	loadStatic(request);
}
