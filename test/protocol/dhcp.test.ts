/**
 * dhcp from outside: a real server (dnsmasq), the real daemon, and what both put on the wire as tshark reads it.
 */
import { expect, it } from "vitest";
import { DhcpLab } from "../lab/dhcp.ts";
import { until } from "../lab/until.ts";

it("gives an address, renews it at T1 from the address by unicast, and releases it at DEL", async () => {
	await using lab = new DhcpLab();
	const server = await lab.dnsmasq(
		"--dhcp-option-force=58,3",
		"--dhcp-option-force=59,60",
		"--dhcp-option=6,10.7.0.53",
	);
	const daemon = await lab.daemon();
	const capture = await lab.capture("ip.src", "ip.dst", "eth.dst");
	const pod = lab.pod();
	const result = await lab.add(pod);
	const [address] = lab.given();
	expect(result).toEqual({
		cniVersion: "1.1.0",
		ips: [{ address: `${address}/24`, gateway: "10.7.0.1" }],
		routes: [{ dst: "0.0.0.0/0", gw: "10.7.0.1" }],
		dns: { nameservers: ["10.7.0.53"] },
	});
	await daemon.says("renewed", 2);
	expect(lab.given()).toEqual([address]);

	expect(await lab.call("DEL", pod)).toMatchObject({ status: 0, stdout: "", stderr: "" });
	await until(
		"the server's file of leases is empty",
		() => lab.given().length === 0,
		() => server.output,
	);
	const packets = await capture.untilOnce("RELEASE");
	expect(packets.slice(0, 4).map(([type]) => type)).toEqual(["DISCOVER", "OFFER", "REQUEST", "ACK"]);
	expect(packets[4]!.slice(0, 3)).toEqual(["REQUEST", address, "10.7.0.1"]);
	expect(packets[5]!.slice(0, 3)).toEqual(["ACK", "10.7.0.1", address]);
	expect(packets.at(-1)!.slice(0, 3)).toEqual(["RELEASE", address, "10.7.0.1"]);
	expect(packets.at(-1)![3]).not.toBe("ff:ff:ff:ff:ff:ff");
});
