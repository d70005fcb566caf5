/**
 * Configuration of the rdma plugin: the one source of its types, JSON Schema, validator and reference page.
 */
import { z } from "zod";
import { capabilityArgs, pluginConfig, podArgs } from "../../lib/cni/schema.ts";

const deviceName = z.string().optional();
const octet = z.int().min(0).max(255).optional();

export const schema = pluginConfig
	.extend({
		ipam: pluginConfig.shape.ipam.describe("Not read: rdma gives no addresses."),
		deviceID: z
			.string()
			.optional()
			.describe(
				"PCI address of the VF, or name of the auxiliary device (mlx5_core.sf.4). Multus sets it. Absent: found by the one interface of prevResult.",
			),
		pciBusID: z.string().optional().describe("The same, as Multus also writes it. Used where deviceID is missing."),
		rdmaDeviceName: deviceName.describe(
			"Name of the RDMA device in the pod. `{ifname}` stands for CNI_IFNAME, `{index}` for the number that the device has on this node: names must be unique on a node, also between pods. Absent: the host's name.",
		),
		rdmaQoS: z
			.looseObject({
				tos: octet.describe(
					"Default type of service of RoCE connections that RDMA-CM makes. Absent: that of the host.",
				),
				tc: octet.describe(
					"Traffic class of RoCE packets, where the driver has such a setting (NVIDIA's own, not the kernel's); else a warning.",
				),
			})
			.optional()
			.describe("RoCE quality of service in the pod."),
		sharedMode: z
			.enum(["skip", "fail", ""])
			.optional()
			.describe(
				'What to do where RDMA devices are shared by all network namespaces: "fail" (default), or "skip" to pass prevResult on and do nothing.',
			),
		logLevel: z
			.string()
			.optional()
			.describe('"panic", "error", "warning", "info" (default) or "debug". Another word means info.'),
		logFile: z.string().optional().describe("File that log lines are added to, in place of stderr."),
		args: podArgs({
			rdmaDeviceName: deviceName.describe("As the top-level one; wins over it."),
			debug: z.boolean().optional().describe('true is `"logLevel": "debug"`.'),
		}),
		runtimeConfig: capabilityArgs({
			deviceID: z.string().optional().describe("Capability `deviceID`: used where the top-level one is missing."),
		}),
	})
	.describe("Configuration of the rdma plugin.");

export type RdmaConfig = z.infer<typeof schema>;
