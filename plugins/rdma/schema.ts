/**
 * Configuration of the rdma plugin: the one source of its types, JSON Schema, validator and reference page.
 */
import type { z } from "zod";
import { capabilityArgs, flag, lockTimeout, pluginConfig, podArgs, text } from "../../lib/cni/schema.ts";
import { rdmaFields } from "../../lib/rdma/schema.ts";

export const schema = pluginConfig
	.extend({
		...lockTimeout,
		ipam: pluginConfig.shape.ipam.describe("Not read: rdma gives no addresses."),
		deviceID: text(
			"PCI address of the VF, or name of the auxiliary device (mlx5_core.sf.4). Multus sets it. Absent: found by the one interface of prevResult.",
		),
		pciBusID: text("The same, as Multus also writes it. Used where deviceID is missing."),
		...rdmaFields,
		logLevel: text('"panic", "error", "warning", "info" (default) or "debug". Another word means info.'),
		logFile: text("File that log lines are added to, in place of stderr."),
		args: podArgs({
			rdmaDeviceName: text("As the top-level one; wins over it."),
			debug: flag('true is `"logLevel": "debug"`.'),
		}),
		runtimeConfig: capabilityArgs({
			deviceID: text("Capability `deviceID`: used where the top-level one is missing."),
		}),
	})
	.describe("Configuration of the rdma plugin.");

export type RdmaConfig = z.infer<typeof schema>;
