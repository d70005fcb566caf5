/**
 * What `berth node --json` prints: the one source of its types and of its JSON Schema.
 */
import { z } from "zod";

const text = z.string();

const holder = z
	.object({
		container: text.describe("Container ID of the attachment's record."),
		interface: text.describe("Name of the interface in the pod."),
		network: text.describe('Name of the network; "" where the record does not tell.'),
		pod: text.describe('"namespace/name"; "" where CNI_ARGS did not tell.'),
		netns: text.describe('Path of the sandbox; "" where the record does not tell.'),
		alive: z.boolean().nullable().describe("Whether the sandbox is still there, and still the same; null: not known."),
		madeBy: z.enum(["berth", "go"]).describe("Whose record it is."),
	})
	.describe("Who has the VF by the records of this node.");

const vf = z.object({
	index: z.int().describe("Number of the VF on its PF."),
	pci: text.describe("PCI address."),
	driver: text.nullable().describe("Driver that is bound."),
	place: z
		.enum(["host", "pod", "elsewhere", "none"])
		.describe("Where its interface is: in no namespace that is known (elsewhere), or it has none."),
	netdev: text.nullable().describe("Name of its interface, where that is."),
	mac: text.nullable().describe("Address of its interface."),
	settings: z
		.object({
			mac: text.describe("Administrative MAC; all zero: the VF chooses."),
			vlan: z.int(),
			qos: z.int(),
			vlanProto: text,
			trust: z.boolean().nullable(),
			spoofchk: z.boolean().nullable(),
			linkState: text,
			minTxRate: z.int().describe("Mbit/s."),
			maxTxRate: z.int().describe("Mbit/s."),
		})
		.nullable()
		.describe("What the PF enforces; null where it does not tell."),
	addresses: z.array(text).describe("Of its interface in the pod, as CIDR."),
	rdma: z
		.object({ name: text, place: z.enum(["host", "pod", "elsewhere"]) })
		.nullable()
		.describe("Its RDMA device."),
	holder: holder.nullable(),
	state: z.enum(["free", "used", "orphaned", "unknown"]),
	marks: z.array(text).describe("What a person should look at."),
});

export const schema = z
	.object({
		pfs: z.array(
			z.object({
				pci: text,
				netdev: text.nullable(),
				driver: text.nullable(),
				vfs: z.array(vf),
				totalVfs: z.int().describe("How many VFs it can have."),
			}),
		),
		rdmaMode: z.enum(["exclusive", "shared"]).nullable().describe("Of RDMA devices in network namespaces."),
		marks: z.array(text).describe("What is of no VF that is there: records and markers."),
		notes: z.array(text).describe("What is not known, and why."),
	})
	.describe("SR-IOV on a node: `berth node --json`.");

export type NodeView = z.infer<typeof schema>;
export type VfView = z.infer<typeof vf>;
export type Holder = z.infer<typeof holder>;
