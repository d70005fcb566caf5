/**
 * sriov with dhcp: two pods, each with a VF, and a server on a third VF in a namespace of its own, all on the card's wire.
 */
import { beforeAll, expect, test } from "vitest";
import { dnsmasqCommand } from "../lab/dhcp.ts";
import { GuestProgram } from "../lab/guest-program.ts";
import { useGuest } from "../lab/guest-session.ts";
import { binaries, callPlugin, createPod, stateFiles, succeeded } from "../lab/pods.ts";
import { createVfs, until, type Vf } from "../lab/sriov.ts";

const guest = useGuest();
const PF = "eth0";
const LEASES = "/run/dnsmasq.leases";
const PODS = ["pod0", "pod1"];
let vfs: Vf[];

beforeAll(async () => {
	vfs = await createVfs(guest(), PF, 3);
	await createPod(guest(), "lan");
	const { netdev } = vfs[2]!;
	await guest().run([
		"sh",
		"-ec",
		`ip link set ${netdev} netns lan name lan0
ip -n lan address add 10.7.0.1/24 dev lan0
ip -n lan link set lan0 up`,
	]);
});

const call = (verb: string, index: number) => {
	const configuration = {
		cniVersion: "1.1.0",
		name: "lan",
		type: "sriov",
		deviceID: vfs[index]!.pci,
		ipam: { type: "dhcp" },
	};
	const pod = PODS[index]!;
	return callPlugin(guest(), "sriov", verb, configuration, { containerId: pod, netns: `/run/netns/${pod}` });
};

/** Addresses in the server's file of leases, in order. */
async function given(): Promise<string[]> {
	const lines = (await guest().readFile(LEASES)).split("\n").filter(Boolean);
	return lines.map((line) => line.split(" ")[2]!).sort();
}

test("pods on two VFs get leases, reach each other, keep the leases, and give them back", {
	timeout: 600_000,
}, async () => {
	const server = ["--dhcp-option-force=58,8", "--dhcp-option-force=59,60", `--dhcp-leasefile=${LEASES}`];
	await using dnsmasq = new GuestProgram(guest(), [
		...["ip", "netns", "exec", "lan"],
		...dnsmasqCommand("lan0", ...server),
	]);
	await dnsmasq.says(/sockets bound exclusively to interface lan0/);
	await using daemon = new GuestProgram(guest(), [`${binaries}/dhcp`, "daemon"]);
	await daemon.says(/listening on/);

	const addresses: string[] = [];
	for (const [index, pod] of PODS.entries()) {
		await createPod(guest(), pod);
		const { json } = succeeded(await call("ADD", index));
		expect(json.ips).toMatchObject([{ gateway: "10.7.0.1", interface: 0 }]);
		addresses.push(json.ips[0].address);
	}
	expect(addresses.map((address) => address.replace("/24", "")).sort()).toEqual(await given());
	for (const [index, pod] of PODS.entries()) {
		const [link] = await guest().json(["ip", "-n", pod, "-j", "-4", "address", "show", "net1"]);
		expect(link.addr_info).toMatchObject([{ local: addresses[index]!.replace("/24", ""), prefixlen: 24 }]);
	}

	const other = addresses[1]!.replace("/24", "");
	await guest().run(["ip", "netns", "exec", PODS[0]!, "ping", "-c", "1", "-W", "20", other]);
	for (const pod of PODS) await daemon.says(new RegExp(`renewed.*${pod}|${pod}.*renewed`), 2);
	expect(await given()).toHaveLength(2);

	for (const index of PODS.keys()) succeeded(await call("DEL", index));
	await until(
		"the server's file of leases empty",
		async () => (await given()).length === 0,
		() => dnsmasq.output,
	);
	expect(await stateFiles(guest())).toEqual([]);
});
