/**
 * What a configuration says of an RDMA device on its way into a pod: fields of rdma, and of sriov with `"rdma": true`.
 */
import { z } from "zod";
import { text } from "../cni/schema.ts";

const octet = z.int().min(0).max(255).optional();

export const rdmaFields = {
	rdmaDeviceName: text(
		"Name of the RDMA device in the pod. `{ifname}` stands for CNI_IFNAME, `{index}` for the number that the device has on this node: names must be unique on a node, also between pods. Absent: the host's name.",
	),
	rdmaQoS: z
		.looseObject({
			tos: octet.describe("Default type of service of RoCE connections that RDMA-CM makes. Absent: that of the host."),
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
			'What to do where RDMA devices are shared by all network namespaces: "fail" (default), or "skip" to leave the device where it is.',
		),
};

const fields = z.object(rdmaFields);
export type RdmaFields = z.infer<typeof fields>;
