/**
 * The whole life of a lease with servers of three makers, each packet of it read by tshark.
 */
import { expect, it } from "vitest";
import { DhcpLab } from "../lab/dhcp.ts";
import { dnsmasq, iscDhcpd, kea } from "../lab/dhcp-servers.ts";
import { until } from "../lab/until.ts";

it.each([dnsmasq, iscDhcpd, kea])("$name: given, renewed at T1 and released", async (server) => {
	await using lab = new DhcpLab();
	const program = await server.start(lab);
	const explain = (): string => program.output;
	const daemon = await lab.daemon();
	const capture = await lab.capture("ip.src", "ip.dst");
	const pod = lab.pod();
	const result = await lab.add(pod);
	const [address] = await until(
		"a lease in the server's file",
		() => server.given(lab).length > 0 && server.given(lab),
		explain,
	);
	expect(result).toMatchObject({
		ips: [{ address: `${address}/24`, gateway: "10.7.0.1" }],
		routes: [{ dst: "0.0.0.0/0", gw: "10.7.0.1" }],
	});
	await daemon.says("renewed", 2);
	expect(server.given(lab)).toEqual([address]);

	expect(await lab.call("DEL", pod)).toMatchObject({ status: 0, stdout: "", stderr: "" });
	await until("the address free in the server's file", () => server.given(lab).length === 0, explain);
	const packets = await capture.untilOnce("RELEASE");
	const types = packets.map(([type]) => type);
	expect(types.slice(0, 4)).toEqual(["DISCOVER", "OFFER", "REQUEST", "ACK"]);
	expect(types.slice(4, 8)).toEqual(["REQUEST", "ACK", "REQUEST", "ACK"]);
	// Renewals and RELEASE go from the address to the server.
	for (const index of [4, 6, packets.length - 1]) expect(packets[index]!.slice(1)).toEqual([address, "10.7.0.1"]);
});
