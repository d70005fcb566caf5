/**
 * The neighbours hear of a pod's addresses: captured on another VF of the same PF, as another pod's card would have it.
 */
import { beforeAll, expect, test } from "vitest";
import { compileC } from "../lab/fixture-executable.ts";
import { callPlugin, createPod, succeeded } from "../lab/pods.ts";
import { createVfs, until, type Vf } from "../lab/sriov.ts";
import { PF, useSriov } from "../lab/sriov-session.ts";

const { guest } = useSriov();
const MAC = "02005e100001";
let vfs: Vf[];

beforeAll(async () => {
	vfs = await createVfs(guest(), PF, 2);
});

/** Each frame that an interface receives, in hex, from when this returns until it is disposed of. */
async function capture(interfaceName: string, pod?: string): Promise<{ frames: string[] } & AsyncDisposable> {
	const lines: string[] = [];
	let rest = "";
	const where = pod === undefined ? [] : ["ip", "netns", "exec", pod];
	const sniffer = guest().start([...where, compileC("test/fixtures/netlink/sniff.c"), interfaceName], {
		ok: false,
		onStdout(bytes) {
			const text = rest + Buffer.from(bytes).toString();
			rest = text.slice(text.lastIndexOf("\n") + 1);
			lines.push(...text.split("\n").slice(0, -1));
		},
	});
	await until(`the capture on ${interfaceName}`, async () => lines.shift() === "ready");
	return {
		frames: lines,
		async [Symbol.asyncDispose]() {
			sniffer.kill();
			await sniffer.result;
		},
	};
}

const isArp = (frame: string): boolean => frame.slice(24, 28) === "0806";
/** Of the address fd00::3, whoever sends it. */
const isAdvertisement = (frame: string): boolean =>
	frame.slice(24, 28) === "86dd" &&
	frame.slice(108, 112) === "8800" &&
	frame.slice(124, 156) === `fd00${"0".repeat(27)}3`;
/** The kernel's own announcement comes from the address itself, ours from the link-local one. */
const isFromKernel = (frame: string): boolean => frame.slice(44, 76) === frame.slice(124, 156);

test("out of the VF, once its carrier is there, and not out of another interface of the pod", async () => {
	const netns = await createPod(guest(), "pod1");
	await createPod(guest(), "elsewhere");
	// Up before the VF: what goes to a multicast address without an interface leaves here.
	const pair = ["type", "veth", "peer", "name", "other", "netns", "elsewhere"];
	await guest().run(["ip", "-n", "pod1", "link", "add", "other", "up", ...pair]);
	await guest().run(["ip", "-n", "elsewhere", "link", "set", "other", "up"]);
	await until("an address to send from", async () => {
		const [link] = await guest().json(["ip", "-n", "pod1", "-j", "address", "show", "other"]);
		return link.addr_info.length === 1 && !link.addr_info[0].tentative;
	});
	await guest().run(["ip", "link", "set", vfs[1]!.netdev!, "up"]);
	await until("the listener's carrier", async () => {
		const [link] = await guest().json(["ip", "-j", "link", "show", vfs[1]!.netdev!]);
		return link.operstate === "UP";
	});
	await using neighbour = await capture(vfs[1]!.netdev!);
	await using otherNetwork = await capture("other", "elsewhere");

	const configuration = {
		cniVersion: "1.1.0",
		name: "announced",
		type: "sriov",
		deviceID: vfs[0]!.pci,
		mac: MAC.replace(/..(?=.)/g, "$&:"),
		ipam: { type: "static", addresses: [{ address: "10.1.2.3/24" }, { address: "fd00::3/64" }] },
	};
	const isOurs = (frame: string): boolean => isAdvertisement(frame) && !isFromKernel(frame);
	const areThere = (): boolean => neighbour.frames.some(isArp) && neighbour.frames.some(isOurs);
	const attachment = { containerId: "c1", netns };
	// Nothing is announced without a carrier, and that may take longer than ADD waits for it.
	for (let tries = 3; !areThere(); tries--) {
		neighbour.frames.length = 0;
		succeeded(await callPlugin(guest(), "sriov", "ADD", configuration, attachment));
		await until("both announcements", areThere, undefined, 15_000).catch((error) => {
			if (tries === 1 || neighbour.frames.some((frame) => isArp(frame) || isOurs(frame))) throw error;
		});
		succeeded(await callPlugin(guest(), "sriov", "DEL", configuration, attachment));
	}

	// RFC 5227: to all, a request in which sender and target are the same address. The card pads to 60 bytes.
	const arps = neighbour.frames.filter(isArp);
	const request = ["ffffffffffff", MAC, "0806", "0001080006040001", MAC, "0a010203", "ffffffffffff", "0a010203"];
	expect(arps).toEqual([request.join("").padEnd(120, "0")]);

	// RFC 4861, 7.2.6: to all nodes (ff02::1), hop limit 255, override flag alone, target, option 2 with the MAC.
	const advertisements = neighbour.frames.filter(isAdvertisement);
	for (const frame of advertisements) {
		expect(frame.slice(0, 24)).toBe(`333300000001${MAC}`);
		expect(frame.slice(36, 44)).toBe("00203aff");
		expect(frame.slice(76, 108)).toBe(`ff02${"0".repeat(27)}1`);
		expect(frame.slice(116)).toBe(`20000000fd00${"0".repeat(27)}3` + `0201${MAC}`);
	}
	expect(otherNetwork.frames.filter((frame) => isArp(frame) || isAdvertisement(frame))).toEqual([]);
});
