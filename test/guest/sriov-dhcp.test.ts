/**
 * sriov with dhcp: two pods, each with a VF, and a server on a third VF in a namespace of its own, all on the card's
 * wire.
 */
import { beforeAll, expect, test } from "vitest";
import { dnsmasqCommand } from "../lab/dhcp.ts";
import { GuestProgram } from "../lab/guest-program.ts";
import { binaries, callPlugin, createPod, stateFiles, succeeded } from "../lab/pods.ts";
import { createVfs, until, type Vf } from "../lab/sriov.ts";
import { PF, useSriov } from "../lab/sriov-session.ts";

const { guest } = useSriov();
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

const call = (verb: string, index: number, ipam: object = {}) => {
	const configuration = {
		cniVersion: "1.1.0",
		name: "lan",
		type: "sriov",
		deviceID: vfs[index]!.pci,
		ipam: { type: "dhcp", ...ipam },
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
	const ping = ["ip", "netns", "exec", PODS[0]!, "ping", "-c", "1", "-W", "5", other];
	await until("an echo", async () => (await guest().run(ping, { ok: false })).status === 0);
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

test("addresses of both families, and those that the kernel makes of an advertisement", {
	timeout: 600_000,
}, async () => {
	await guest().run(["ip", "-n", "lan", "address", "add", "fd00:7::1/64", "dev", "lan0", "nodad"]);
	const server = ["--dhcp-range=10.7.0.50,10.7.0.250,255.255.255.0,120", "--enable-ra", `--dhcp-leasefile=${LEASES}`];
	await using dnsmasq = new GuestProgram(guest(), [
		...["ip", "netns", "exec", "lan"],
		...dnsmasqCommand("lan0", ...server, "--dhcp-range=fd00:7::100,fd00:7::1ff,slaac,64,120"),
	]);
	await dnsmasq.says(/sockets bound exclusively to interface lan0/);
	await using daemon = new GuestProgram(guest(), [`${binaries}/dhcp`, "daemon"]);
	await daemon.says(/listening on/);
	await guest().run(["ip", "netns", "delete", PODS[0]!]);
	await guest().run(["ip", "netns", "delete", PODS[1]!]);
	for (const pod of PODS) await createPod(guest(), pod);

	const both = succeeded(await call("ADD", 0, { ipv6: "dhcp" })).json.ips;
	const made = succeeded(await call("ADD", 1, { ipv4: false, ipv6: "slaac" })).json.ips;
	expect(both).toMatchObject([{ gateway: "10.7.0.1" }, { address: expect.stringMatching(/^fd00:7::1..\/128$/) }]);
	expect(made).toMatchObject([{ address: expect.stringMatching(/^fd00:7::.*\/64$/), interface: 0 }]);
	const target = made[0].address.replace("/64", "");
	const ping = ["ip", "netns", "exec", PODS[0]!, "ping", "-6", "-c", "1", "-W", "5", target];
	// Addresses answer once duplicate address detection is done with them.
	await until("an answer", async () => (await guest().run(ping, { ok: false })).status === 0);
	for (const index of PODS.keys()) succeeded(await call("DEL", index));
	await until(
		"no lease at the server",
		async () => (await given()).filter((address) => address !== undefined).length === 0,
		() => dnsmasq.output,
	);
	expect(await stateFiles(guest())).toEqual([]);
});
