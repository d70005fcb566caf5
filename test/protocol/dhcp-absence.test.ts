/**
 * Servers that do not answer: for a while, until T2, or past the end of the lease.
 */
import { expect, it } from "vitest";
import { DhcpLab } from "../lab/dhcp.ts";
import { iscDhcpd, kea } from "../lab/dhcp-servers.ts";
import { ip, ipJson } from "../lab/netns-lab.ts";
import { until } from "../lab/until.ts";

const SHORT = { renew: 2, rebind: 4, lifetime: 12 };

it.concurrent.each([iscDhcpd, kea])(
	"asks everyone from T2 on where the server does not hear its clients: $name",
	async (server) => {
		await using lab = new DhcpLab();
		await server.start(lab, SHORT);
		const daemon = await lab.daemon();
		const capture = await lab.capture("ip.src", "ip.dst");
		const pod = lab.pod();
		ip(pod, "link set eth0 up");
		lab.loseUnicast(pod);
		const { ips } = await lab.add(pod);
		await daemon.says("10.7.0.1 does not answer: asking every server");
		await daemon.says("renewed");
		expect(lab.addresses(pod)).toEqual([ips[0].address]);
		const packets = await capture.until("ACK", 2);
		const address = ips[0].address.split("/")[0];
		expect(
			packets
				.filter(([type]) => type === "REQUEST")
				.at(-1)!
				.slice(1, 3),
		).toEqual([address, "255.255.255.255"]);
		// Until T1, 2 s later, and again after the next renewal.
		const leases = await until("a renewed lease", () => {
			const { leases } = lab.list();
			return leases[0]?.state === "bound" && leases;
		});
		expect(leases).toMatchObject([{ state: "bound", address }]);
	},
);

it.concurrent("renews past the kernel before T2 where its table of neighbours or its routes do not lead to the server", async () => {
	await using lab = new DhcpLab();
	await kea.start(lab, { renew: 2, rebind: 60, lifetime: 120 });
	const daemon = await lab.daemon();
	const pod = lab.pod();
	ip(pod, "link set eth0 up");
	lab.loseUnicast(pod);
	const { ips } = await lab.add(pod);
	await daemon.says("renewed");
	expect(daemon.output).not.toContain("asking every server");
	expect(lab.addresses(pod)).toEqual([ips[0].address]);
});

it.concurrent.each([iscDhcpd, kea])(
	"takes an expired address off the interface, and asks until the server is back: $name",
	async (server) => {
		await using lab = new DhcpLab();
		const program = await server.start(lab, SHORT);
		const daemon = await lab.daemon();
		const pod = lab.pod();
		const { ips } = await lab.add(pod);
		ip(pod, "route add default via 10.7.0.1");
		await program.end("SIGKILL");
		await daemon.says("lost: expired");
		await until("no address", () => lab.addresses(pod).length === 0);
		expect(ipJson(pod, "-4 route show")).toEqual([]);
		const check = await lab.call("CHECK", pod, { more: { prevResult: { cniVersion: "1.1.0", ips } } });
		expect(check).toMatchObject({ status: 1, json: { code: 102 } });

		await server.start(lab, SHORT);
		await daemon.says("bound again");
		await until("the address is back", () => lab.addresses(pod)[0] === ips[0].address);
		const gateway = () => ipJson(pod, "-4 route show default")[0]?.gateway;
		await until("the default route is back", () => gateway() === "10.7.0.1");
		expect(server.given(lab).map((address) => `${address}/24`)).toEqual([ips[0].address]);
		const again = await lab.call("CHECK", pod, { more: { prevResult: { cniVersion: "1.1.0", ips } } });
		expect(again).toMatchObject({ status: 0 });
	},
);

it.concurrent("removes what expired while there was no daemon", async () => {
	await using lab = new DhcpLab();
	const program = await kea.start(lab, { renew: 1, rebind: 2, lifetime: 5 });
	const daemon = await lab.daemon();
	const pod = lab.pod();
	const { ips } = await lab.add(pod);
	const [{ expireSeconds }] = lab.list().leases;
	expect(expireSeconds).toBeLessThan(6);
	await daemon.end("SIGKILL");
	await program.end("SIGKILL");
	const begun = Date.now();
	await until("the lease is over", () => Date.now() - begun > 6000);
	const next = await lab.daemon();
	await next.says("lost: expired");
	await until("no address", () => lab.addresses(pod).length === 0);
	await kea.start(lab, SHORT);
	await next.says("bound again");
	await until("the address is back", () => lab.addresses(pod)[0] === ips[0].address);
});
