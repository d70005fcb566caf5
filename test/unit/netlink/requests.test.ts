import { beforeAll, beforeEach, expect, test, vi } from "vitest";
import { deleteAddress, newAddress } from "../../../lib/netlink/address.ts";
import { NETLINK_ROUTE } from "../../../lib/netlink/constants.ts";
import { getLink, type LinkIndex, listLinks } from "../../../lib/netlink/link.ts";
import { addAltName, removeAltName, setLink } from "../../../lib/netlink/link-change.ts";
import { deleteRoute, newRoute } from "../../../lib/netlink/route.ts";
import { type Change, NetlinkSocket } from "../../../lib/netlink/socket.ts";
import { getPfByName, getVf, getVfs, setVf, type VfIndex } from "../../../lib/netlink/vf.ts";
import { errorBody, fakeKernel } from "./fake-kernel.ts";
import { compileVectors } from "./kernel-vectors.ts";

vi.mock("native:sys", async (original) => (await import("./fake-kernel.ts")).nativeModule(await original<object>()));

let vectors: Map<string, Uint8Array>;
let socket: NetlinkSocket;
const link = 7 as LinkIndex;
const pf = 2 as LinkIndex;
const vf = (index: number) => index as VfIndex;

beforeAll(() => {
	vectors = compileVectors();
});
beforeEach(() => {
	fakeKernel.reset();
	socket = NetlinkSocket.open(NETLINK_ROUTE);
});

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const ACK = { type: 2, body: errorBody(0) };
const DONE = { type: 3, body: new Uint8Array(4) };

const make = ({ message, name }: Change): void => socket.change(message, name);
const requests: [vector: string, answer: { type: number; body?: Uint8Array }, run: () => void][] = [
	["get-by-name", { type: 2, body: errorBody(19) }, () => getLink(socket, "eth0")],
	["get-by-alt-name", { type: 2, body: errorBody(19) }, () => getLink(socket, "sixteen-letters-")],
	["get-by-index", { type: 2, body: errorBody(19) }, () => getLink(socket, link)],
	["list", DONE, () => listLinks(socket)],
	["up", ACK, () => setLink(socket, link, { up: true })],
	["down", ACK, () => setLink(socket, link, { up: false })],
	["plain", ACK, () => setLink(socket, link, { promiscuous: false, allMulticast: false })],
	[
		"move",
		ACK,
		() => setLink(socket, link, { netnsFd: 9, name: "net1", mtu: 1400, mac: "02-00-00-00-00-01", up: true }),
	],
	["move-notify", ACK, () => setLink(socket, link, { netnsFd: 9, name: "net1", arpNotify: true })],
	["up-by-name", ACK, () => setLink(socket, "net1", { up: true })],
	["add-alt-name", ACK, () => addAltName(socket, link, "enp1s0f0v3")],
	["remove-alt-name", ACK, () => removeAltName(socket, link, "enp1s0f0v3")],
	[
		"set-vf-all",
		ACK,
		() =>
			setVf(socket, pf, vf(3), {
				linkState: "disable",
				trust: true,
				spoofCheck: false,
				maxTxRate: 200,
				minTxRate: 10,
				mac: "02:00:00:00:00:01",
				vlanProto: "802.1ad",
				vlanQos: 5,
				vlan: 100,
			}),
	],
	["set-vf-no-vlan", ACK, () => setVf(socket, pf, vf(0), { vlan: 0 })],
	["add-ipv4", ACK, () => make(newAddress(socket, link, "10.1.2.3/24"))],
	["add-ipv4-31", ACK, () => make(newAddress(socket, link, "10.1.2.2/31"))],
	["add-ipv6", ACK, () => make(newAddress(socket, link, "fd00::3/64"))],
	["add-ipv6-nodad", ACK, () => make(newAddress(socket, link, "fd00::3/64", { noDad: true }))],
	["delete-ipv4", ACK, () => deleteAddress(socket, link, "10.1.2.3/24")],
	["add-default", ACK, () => make(newRoute(socket, { dst: "0.0.0.0/0", gw: "10.1.2.1", linkIndex: link }))],
	[
		"add-full",
		ACK,
		() =>
			make(
				newRoute(socket, {
					dst: "fd01::/48",
					gw: "fd00::1",
					linkIndex: link,
					mtu: 1300,
					advmss: 1240,
					priority: 50,
					table: 1000,
				}),
			),
	],
	["delete", ACK, () => deleteRoute(socket, { dst: "10.0.0.0/8", linkIndex: link, table: 100 })],
];

test.each(requests)("%s is the message that the kernel's headers make", (name, answer, run) => {
	fakeKernel.queue.push([answer]);
	run();
	expect(hex(fakeKernel.sent[0]!)).toBe(hex(vectors.get(name)!));
});

test("the VLAN of a VF has 16 bytes, its protocol in network byte order", () => {
	fakeKernel.queue.push([ACK]);
	setVf(socket, pf, vf(1), { vlan: 5, vlanProto: "802.1ad" });
	// length 20 (4 of header, 16 of struct), type 1; VF, VLAN, QoS; 88 a8; padding.
	expect(hex(fakeKernel.sent[0]!)).toContain("14000100" + "01000000" + "05000000" + "00000000" + "88a8" + "0000");
});

test("a rate alone, or a VLAN's priority without the VLAN, is refused before anything is sent", () => {
	expect(() => setVf(socket, pf, vf(0), { minTxRate: 5 })).toThrow("give both");
	expect(() => setVf(socket, pf, vf(0), { vlanQos: 5 })).toThrow("without vlan");
	expect(fakeKernel.sent).toEqual([]);
});

test("a link is read with all that the kernel tells", () => {
	fakeKernel.queue.push(vectors.get("link-answer")!);
	expect(getLink(socket, "eth0")).toEqual({
		index: 2,
		name: "eth0",
		altNames: ["enp1s0f0", "uplink-of-rack-4"],
		mac: "52:54:00:aa:00:01",
		mtu: 9000,
		flags: 0x1 | 0x2 | 0x40 | 0x1000,
		up: true,
		running: true,
		operState: "up",
		type: 1,
		kind: "veth",
		alias: "uplink",
		txQueueLength: 1000,
		group: 7,
		parentDevice: "0000:01:00.0",
	});
});

const expectedVfs = [
	{
		mac: "02:00:00:00:01:00",
		vlan: 0,
		vlanQos: 0,
		vlanProto: "802.1q",
		minTxRate: 0,
		maxTxRate: 0,
		spoofCheck: true,
		trust: false,
		linkState: "auto",
	},
	{
		mac: "02:00:00:00:01:01",
		vlan: 100,
		vlanQos: 3,
		vlanProto: "802.1ad",
		minTxRate: 10,
		maxTxRate: 200,
		spoofCheck: false,
		trust: true,
		linkState: "enable",
	},
	{
		mac: "02:00:00:00:01:02",
		vlan: 4094,
		vlanQos: 7,
		vlanProto: "802.1q",
		minTxRate: 0,
		maxTxRate: 1000,
		// All ones: the driver does not tell.
		spoofCheck: undefined,
		trust: undefined,
		linkState: "disable",
	},
];

test("a PF and its VFs are read from one answer", () => {
	fakeKernel.queue.push(vectors.get("vfs-answer")!);
	const answer = getPfByName(socket, "eth0")!;
	expect(answer.vfs()).toStrictEqual(expectedVfs);
	expect(answer.vf(vf(1))).toStrictEqual(expectedVfs[1]);
	expect(answer.vf(vf(3))).toBeUndefined();
	expect(answer.listsVfs).toBe(true);
	expect(fakeKernel.sent).toHaveLength(1);

	fakeKernel.queue.push([{ type: 2, body: errorBody(19) }], vectors.get("link-answer")!);
	expect(getPfByName(socket, "eth0")).toBeUndefined();
	const withoutVfs = getPfByName(NetlinkSocket.open(NETLINK_ROUTE), "eth0")!;
	expect(withoutVfs.link).toMatchObject({ index: 2, name: "eth0" });
	expect(withoutVfs.listsVfs).toBe(false);
});

test("the VFs of a PF are read, with what the driver does not tell as undefined; statistics are not asked for", () => {
	fakeKernel.queue.push(vectors.get("vfs-answer")!);
	expect(getVfs(socket, pf)).toStrictEqual(expectedVfs);
	expect(hex(fakeKernel.sent[0]!)).toBe(hex(vectors.get("get-vfs")!));
});

test("one VF is read; one that the PF does not list is undefined", () => {
	fakeKernel.queue.push(vectors.get("vfs-answer")!);
	expect(getVf(socket, pf, vf(1))).toStrictEqual(expectedVfs[1]);
	socket = NetlinkSocket.open(NETLINK_ROUTE);
	fakeKernel.queue.push(vectors.get("vfs-answer")!);
	expect(getVf(socket, pf, vf(3))).toBeUndefined();
});

test("a PF with 200 VFs answers in one datagram of 39 KB", () => {
	const answer = vectors.get("200-vfs-answer")!;
	expect(answer.length).toBeGreaterThan(39_000);
	fakeKernel.queue.push(answer);
	const vfs = getVfs(socket, pf);
	expect(vfs.map((each) => each?.vlan)).toEqual(Array.from({ length: 200 }, (_, index) => index));
});
