import { expect, test, vi } from "vitest";
import { NETLINK_ROUTE } from "../../../lib/netlink/constants.ts";
import type { LinkIndex } from "../../../lib/netlink/link.ts";
import { NetlinkSocket } from "../../../lib/netlink/socket.ts";
import type { VfIndex, VfSettings } from "../../../lib/netlink/vf.ts";
import { restoreSettings } from "../../../plugins/sriov/settings.ts";
import { fakeKernel } from "../netlink/fake-kernel.ts";
import { compileVectors } from "../netlink/kernel-vectors.ts";

vi.mock("native:sys", async (original) =>
	(await import("../netlink/fake-kernel.ts")).nativeModule(await original<object>()),
);

test("what a driver does not tell of, it is not asked to put back: a record of Go's has values for all", () => {
	fakeKernel.reset();
	const socket = NetlinkSocket.open(NETLINK_ROUTE);
	// VF 2 of this answer has the driver's "not known" for spoofchk and trust.
	fakeKernel.queue.push(compileVectors().get("vfs-answer")!);
	const port = { pfName: "eth0", pfIndex: 2 as LinkIndex, pfHasCarrier: true, vf: 2 as VfIndex };
	const original = {
		mac: "",
		vlan: 4094,
		vlanQos: 7,
		vlanProto: "802.1q",
		minTxRate: 0,
		maxTxRate: 1000,
		spoofCheck: true,
		trust: true,
		linkState: "disable",
	} as VfSettings;
	expect(restoreSettings(socket, port, original)).toEqual([]);
	// The one question.
	expect(fakeKernel.sent).toHaveLength(1);
});
