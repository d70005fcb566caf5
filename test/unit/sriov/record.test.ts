import { describe, expect, test } from "vitest";
import type { VfIndex, VfSettings } from "../../../lib/netlink/vf.ts";
import { parseTruncated, readTold } from "../../../lib/state/json.ts";
import { formatRecord, parseRecord, type VfRecord } from "../../../plugins/sriov/record-format.ts";

const record: VfRecord = {
	containerId: "c1",
	ifName: "net1",
	netns: "/run/netns/pod1",
	netnsIdentity: "0102",
	bootId: "boot",
	pod: "default/pod",
	podUid: "uid",
	rdma: undefined,
	network: 'net "quoted" \\ {[,]}',
	pci: "0000:01:10.0",
	pfName: "eth0",
	vfIndex: 3 as VfIndex,
	original: {
		netdev: {
			name: "eth5",
			mac: "02:00:00:00:00:01",
			mtu: 1480,
			altNames: ["enp1s16", "a,b"],
			up: true,
			promiscuous: true,
			allMulticast: false,
			alias: "rack 4",
			txQueueLength: 500,
			group: 7,
			parentDevice: "0000:01:10.0",
		},
		settings: {
			mac: "02:00:00:00:00:02",
			vlan: 55,
			vlanQos: 1,
			vlanProto: "802.1ad",
			minTxRate: 10,
			maxTxRate: 100,
			spoofCheck: undefined,
			trust: true,
			linkState: "disable",
			// Settings that come later need no value here.
		} as VfSettings,
	},
	config: {
		cniVersion: "1.0.0",
		name: 'net "quoted" \\ {[,]}',
		type: "sriov",
		ipam: { type: "host-local" },
		mtu: 1400,
	},
	requestedMac: undefined,
};

test("a record is read as it was written", () => {
	const { config: _, ...rest } = parseRecord(readTold(formatRecord(record)), "other", "other")!;
	const { config: __, ...expected } = record;
	expect(rest).toEqual(expected);
});

test.each([true, false, undefined])("an RDMA device is on record with the VF that it is of (%s)", (qosDirectory) => {
	const rdma = {
		...{ hostName: "mlx5_0", podName: "roce", index: 4, uverbs: 3, qosDirectory },
		qos: { tos: 32, trafficClass: undefined },
		podQos: { tos: 96, trafficClass: 5 },
	};
	expect(parseRecord(readTold(formatRecord({ ...record, rdma })), "", "")?.rdma).toEqual(rdma);
});

test("of an RDMA device there is no word on record where none was given", () => {
	expect(JSON.parse(formatRecord(record)).berth).not.toHaveProperty("rdma");
});

test("a name of the kernel's with a character that JavaScript takes for white space makes no damaged record", () => {
	const netdev = { ...record.original.netdev!, name: "\ufeffeth", altNames: ["alt\u2003name"] };
	const read = parseRecord(
		readTold(formatRecord({ ...record, pfName: "\ufeffpf", original: { ...record.original, netdev } })),
		"",
		"",
	);
	expect(read).toMatchObject({
		pfName: "\ufeffpf",
		original: { netdev: { name: "\ufeffeth", altNames: netdev.altNames } },
	});
});

test("no key of the configuration is one of the record's own, as Go folds letters", () => {
	const config = { ...record.config, "Origvf\u017ftate": { Vlan: 7 }, bertH: 1 };
	const keys = Object.keys(JSON.parse(formatRecord({ ...record, config } as VfRecord)));
	expect(keys).not.toContain("Origvf\u017ftate");
	expect(keys).not.toContain("bertH");
});

describe("a truncated record", () => {
	const text = formatRecord(record);
	const whole = JSON.parse(text);

	/** Whether all that `part` says is said by `all`, too. */
	function isPart(part: unknown, all: unknown): boolean {
		if (typeof part !== "object" || part === null) return part === all;
		return (
			typeof all === "object" &&
			all !== null &&
			Object.entries(part).every(([key, value]) => isPart(value, (all as Record<string, unknown>)[key]))
		);
	}

	test("at any byte says nothing that the whole one does not say", () => {
		for (let length = 0; length < text.length; length++) {
			const part = parseTruncated(text.slice(0, length));
			expect(isPart(part, whole), `${length}: ${JSON.stringify(part)}`).toBe(true);
			expect(parseRecord(readTold(text.slice(0, length)), "c1", "net1"), `${length}`).toBeUndefined();
		}
		expect(parseTruncated(text)).toEqual(whole);
	});

	test("after a member still says that member", () => {
		const cut = text.indexOf('"HostIFName":"eth5",') + '"HostIFName":"eth5",'.length;
		expect(parseTruncated(text.slice(0, cut))).toEqual({ OrigVfState: { HostIFName: "eth5" } });
		expect(parseTruncated(text.slice(0, text.indexOf('"cniVersion"')))).toEqual({
			OrigVfState: whole.OrigVfState,
			berth: whole.berth,
		});
	});

	test.each(["", "nonsense", "{", "[1,2", '"text', "\u0000\u0000", "{]", "null"])("%j says nothing", (nonsense) => {
		expect(parseTruncated(nonsense)).toEqual({});
	});
});
