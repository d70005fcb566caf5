/**
 * dhcp over IPv6 from outside: DHCPv6 and SLAAC of dnsmasq, DHCPv6 of ISC dhcpd where leases have to be short, and what
 * is on the wire as tshark reads it.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { type Background, DhcpLab } from "../lab/dhcp.ts";
import { ip, ipJson } from "../lab/netns-lab.ts";
import { until } from "../lab/until.ts";

/** Of dnsmasq's file: what follows the line with the server's DUID is of IPv6. */
function given6(lab: DhcpLab): string[] {
	return lab.given().filter((address) => address?.includes(":"));
}

/** ISC dhcpd for fd00:7::100 to fd00:7::1ff; times in seconds. */
async function dhcpd6(lab: DhcpLab, times: { renew: number; rebind: number; valid: number }): Promise<Background> {
	const config = lab.write(
		"dhcpd6.conf",
		`authoritative;
default-lease-time ${times.valid};
preferred-lifetime ${times.valid};
option dhcp-renewal-time ${times.renew};
option dhcp-rebinding-time ${times.rebind};
subnet6 fd00:7::/64 { range6 fd00:7::100 fd00:7::1ff; }
`,
	);
	const leases = join(lab.directory, "dhcpd6.leases");
	writeFileSync(leases, "", { flag: "a" });
	const files = ["-cf", config, "-lf", leases, "-pf", join(lab.directory, "dhcpd6.pid")];
	const server = lab.inLan(["dhcpd", "-6", "-f", "-d", ...files, "br0"]);
	await server.says("Server starting service");
	return server;
}

const lan6 = (lab: DhcpLab): string => ip(lab.lan, "address add fd00:7::1/64 dev br0 nodad");

it("gives addresses of both families, renews after a restart, and releases at DEL", async () => {
	await using lab = new DhcpLab();
	const server = await lab.dnsmasq6("--dhcp-option=option6:dns-server,[fd00:7::53]", "--dhcp-option=6,10.7.0.53");
	const daemon = await lab.daemon();
	const capture = await lab.capture6("ipv6.src", "ipv6.dst", "dhcpv6.iaid", "dhcpv6.duid.bytes");
	const pod = lab.pod("02:00:5e:00:00:07");
	const ipam = { ipv6: "dhcp" };
	const result = await lab.add(pod, { ipam });
	const [address] = given6(lab);
	expect(result).toEqual({
		cniVersion: "1.1.0",
		ips: [
			{ address: expect.stringMatching(/^10\.7\.0\.\d+\/24$/), gateway: "10.7.0.1" },
			{ address: `${address}/128` },
		],
		routes: [{ dst: "0.0.0.0/0", gw: "10.7.0.1" }],
		dns: { nameservers: ["10.7.0.53", "fd00:7::53"] },
	});
	ip(pod, `address add ${address}/128 dev eth0`);
	expect((await lab.call("ADD", pod, { ipam })).json).toEqual(result);
	expect(await lab.call("CHECK", pod, { ipam, more: { prevResult: result } })).toMatchObject({ status: 0 });
	// The default route is the router's to advertise.
	await until("the default route", () => ipJson(pod, "-6 route show default").length > 0);
	expect(ipJson(pod, "-6 route show default")).toMatchObject([{ protocol: "ra", dev: "eth0" }]);

	// dnsmasq gives no less than two minutes: it is time to renew once the record says so.
	await daemon.end("SIGKILL");
	const directory = `${lab.socket}.d/leases`;
	for (const name of readdirSync(directory)) {
		const record = JSON.parse(readFileSync(join(directory, name), "utf8"));
		if (record.spec.family === 6) record.binding.renewAt = 0;
		writeFileSync(join(directory, name), JSON.stringify(record));
	}
	const next = await lab.daemon();
	await next.says("renewed");
	expect(given6(lab)).toEqual([address]);

	expect(await lab.call("DEL", pod, { ipam })).toMatchObject({ status: 0, stdout: "", stderr: "" });
	await until(
		"the server's file of leases is empty",
		() => given6(lab).length === 0,
		() => server.output,
	);
	expect(lab.list().leases).toEqual([]);
	const packets = await capture.untilOnce("REPLY", 3);
	expect(packets.map(([type]) => type)).toEqual(["SOLICIT", "REPLY", "RENEW", "REPLY", "RELEASE", "REPLY"]);
	for (const [type, source, destination, iaid, duid] of packets) {
		if (type === "REPLY") continue;
		expect(source).toMatch(/^fe80:/);
		expect(destination).toBe("ff02::1:2");
		expect(iaid).toBe("5e000007");
		expect(duid?.replaceAll(":", "")).toContain("0003000102005e000007");
	}
});

it("reports the addresses that the kernel makes of an advertisement", async () => {
	await using lab = new DhcpLab();
	const router = await lab.dnsmasq6("--dhcp-range=fd00:7::,ra-only,64");
	const pod = lab.pod("02:00:5e:00:00:07");
	const ipam = { ipv4: false, ipv6: "slaac" };
	// Nobody is asked but the kernel: there is no daemon.
	const { status, json, stderr } = await lab.call("ADD", pod, { ipam });
	expect({ status, json, stderr }).toEqual({
		status: 0,
		json: { cniVersion: "1.1.0", ips: [{ address: "fd00:7::5eff:fe00:7/64" }] },
		stderr: "",
	});
	expect(lab.addresses(pod, 6)).toEqual(["fd00:7::5eff:fe00:7/64"]);
	expect(ipJson(pod, "-6 route show default")).toMatchObject([{ protocol: "ra", dev: "eth0" }]);
	const check = { ipam, more: { prevResult: json } };
	expect(await lab.call("CHECK", pod, check)).toMatchObject({ status: 0 });
	// Its next advertisement would give the address again.
	await router.end("SIGKILL");
	ip(pod, "address del fd00:7::5eff:fe00:7/64 dev eth0");
	expect(await lab.call("CHECK", pod, check)).toMatchObject({ status: 1, json: { code: 102 } });
});

it("declines an address that somebody has", async () => {
	await using lab = new DhcpLab();
	lan6(lab);
	const squatter = lab.pod();
	ip(squatter, "link set eth0 up");
	for (let last = 0x100; last <= 0x1ff; last++)
		ip(squatter, `address add fd00:7::${last.toString(16)}/64 dev eth0 nodad`);
	await dhcpd6(lab, { renew: 60, rebind: 90, valid: 120 });
	const daemon = await lab.daemon();
	const capture = await lab.capture6("dhcpv6.iaaddr.ip");
	const added = lab.call("ADD", lab.pod(), { ipam: { ipv4: false, ipv6: "dhcp" } });
	await daemon.says("declined: somebody has the address");
	const packets = await capture.until("DECLINE");
	const declined = packets.find(([type]) => type === "DECLINE")![1]!;
	expect(declined).toMatch(/^fd00:7::1/);
	ip(squatter, "address flush dev eth0");
	const { status, json } = await added;
	expect(status).toBe(0);
	expect(json.ips[0].address).not.toBe(`${declined}/128`);
});

it("renews at T1, asks every server at T2, gives the address up when it expires, and finds one again", async () => {
	await using lab = new DhcpLab();
	lan6(lab);
	const times = { renew: 3, rebind: 5, valid: 16 };
	const first = await dhcpd6(lab, times);
	const daemon = await lab.daemon();
	const capture = await lab.capture6();
	const pod = lab.pod();
	const ipam = { ipv4: false, ipv6: "dhcp" };
	const { ips } = await lab.add(pod, { ipam });
	await daemon.says("renewed");
	await first.end("SIGKILL");
	await capture.until("REBIND");
	const second = await dhcpd6(lab, times);
	await daemon.says("renewed", 2);
	expect(lab.addresses(pod, 6)).toEqual([ips[0].address]);
	await second.end("SIGKILL");
	await daemon.says("lost: expired");
	await until("the address off the interface", () => lab.addresses(pod, 6).length === 0);
	await dhcpd6(lab, times);
	await daemon.says("bound again");
	await until("the address on the interface", () => lab.addresses(pod, 6).includes(ips[0].address));
});
