/**
 * The daemon of dhcp: what it does when it is killed, when servers change their minds and when pods go.
 */

import { rmSync } from "node:fs";
import { connect } from "node:net";
import { expect, it } from "vitest";
import { DhcpLab } from "../lab/dhcp.ts";
import { ip, ipJson } from "../lab/netns-lab.ts";
import { until } from "../lab/until.ts";

const SHORT = ["--dhcp-option-force=58,3", "--dhcp-option-force=59,60"];

it("goes on with its leases after SIGKILL, and hears of a DEL that came meanwhile", async () => {
	await using lab = new DhcpLab();
	await lab.dnsmasq(...SHORT);
	const killed = await lab.daemon();
	const [stays, goes] = [lab.pod(), lab.pod()];
	const { ips } = await lab.add(stays);
	await lab.add(goes);
	await killed.end("SIGKILL");
	const del = await lab.call("DEL", goes);
	expect(del).toMatchObject({ status: 0, stdout: "" });
	expect(del.stderr).toContain("given back once there is a daemon again");
	expect(await lab.call("STATUS", stays)).toMatchObject({ status: 1, json: { code: 50 } });
	expect(await lab.call("ADD", stays)).toMatchObject({ status: 1, json: { code: 11 } });

	const next = await lab.daemon();
	await until("one lease at the server", () => lab.given().length === 1);
	await next.says("renewed");
	expect((await lab.call("ADD", stays)).json.ips).toEqual(ips);
	expect(lab.list().leases).toMatchObject([{ containerId: stays, state: "bound" }]);
});

it("does not make its leases wait for a slow disk", async () => {
	await using lab = new DhcpLab();
	await lab.dnsmasq(...SHORT);
	// Longer than an ADD waits for an address.
	const slow = ["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:delay_enter=30s"];
	const daemon = lab.daemonUnder(["strace", "-D", "-f", "-qq", "-o", "/dev/null", ...slow]);
	await daemon.says("listening on");
	const pods = [lab.pod(), lab.pod()];
	await Promise.all(pods.map((pod) => lab.add(pod)));
	await daemon.says("renewed", 2);
});

it("puts another address on the interface when the server refuses the old one", async () => {
	await using lab = new DhcpLab();
	const before = await lab.dnsmasq(...SHORT);
	const daemon = await lab.daemon();
	const pod = lab.pod();
	const { ips } = await lab.add(pod);
	await before.end();
	rmSync(lab.leaseFile);
	await lab.dnsmasq(...SHORT, "--dhcp-range=10.7.0.10,10.7.0.20,255.255.255.0,120");
	await daemon.says("lost: refused by 10.7.0.1");
	await daemon.says("bound again");
	const [address] = lab.given();
	// It is said first, and done then.
	await until("the other address", () => lab.addresses(pod).join() === `${address}/24`);
	await until("the route", () => ipJson(pod, "-4 route show default")[0]?.gateway === "10.7.0.1");
	const check = await lab.call("CHECK", pod, { more: { prevResult: { cniVersion: "1.1.0", ips } } });
	expect(check).toMatchObject({ status: 1, json: { code: 102 } });
	expect(check.json.msg).toContain(`${address}/24 now`);
});

it("declines an address that somebody has", async () => {
	await using lab = new DhcpLab();
	await lab.dnsmasq("--dhcp-sequential-ip");
	const daemon = await lab.daemon();
	const capture = await lab.capture();
	const squatter = lab.pod();
	ip(squatter, "address add 10.7.0.50/24 dev eth0");
	ip(squatter, "link set eth0 up");
	const { ips } = await lab.add(lab.pod());
	expect(ips[0].address).not.toBe("10.7.0.50/24");
	await capture.until("DECLINE");
	await daemon.says("declined: somebody has the address");
});

it("ends the lease of an interface that vanishes, and of a namespace that ends", async () => {
	await using lab = new DhcpLab();
	await lab.dnsmasq();
	const daemon = await lab.daemon();
	const [first, second] = [lab.pod(), lab.pod()];
	await lab.add(first);
	await lab.add(second);
	ip(first, "link del eth0");
	await daemon.says("ended: the interface is gone");
	expect(lab.list().leases).toMatchObject([{ containerId: second }]);
	lab.end(second);
	await daemon.says("ended: the interface is gone", 2);
	expect(lab.list().leases).toEqual([]);
});

it("gives every one of many ADDs at the same time its own address, and GC takes those of no valid attachment", async () => {
	await using lab = new DhcpLab();
	await lab.dnsmasq();
	await lab.daemon();
	const pods = Array.from({ length: 40 }, () => lab.pod());
	const results = await Promise.all(pods.map((pod) => lab.add(pod)));
	expect(new Set(results.map(({ ips }) => ips[0].address)).size).toBe(pods.length);
	const kept = pods.slice(0, 2).map((containerID) => ({ containerID, ifname: "eth0" }));
	expect(await lab.call("GC", pods[0]!, { more: { "cni.dev/valid-attachments": kept } })).toMatchObject({ status: 0 });
	await until("the others are given back", () => lab.given().length === 2);
	const left = lab.list().leases.map(({ containerId }: { containerId: string }) => containerId);
	expect(left.sort()).toEqual(pods.slice(0, 2).sort());
});

it("says what is wrong", async () => {
	await using lab = new DhcpLab();
	await lab.dnsmasq();
	await lab.daemon();
	const pod = lab.pod();
	expect(await lab.call("STATUS", pod)).toMatchObject({ status: 0 });
	const near = await lab.call("ADD", pod, { ipam: { requests: [] } });
	expect(near.stderr).toContain('did you mean "request"?');
	const bare = lab.netns.add();
	expect(await lab.call("ADD", bare)).toMatchObject({ status: 1, json: { code: 7 } });
	expect(await lab.call("CHECK", bare, { more: { prevResult: {} } })).toMatchObject({ status: 1, json: { code: 102 } });
	const unknown = await lab.call("ADD", pod, { ipam: { request: [{ option: "none" }] } });
	expect(unknown.json).toMatchObject({ code: 7 });
	expect(unknown.json.msg).toContain('Can not parse option "none"');
	const answer = await new Promise<string>((resolve) => {
		const socket = connect(lab.socket, () => socket.write("CONNECT /_goRPC_ HTTP/1.0\n\n"));
		socket.on("data", (data) => resolve(String(data)));
	});
	expect(answer).toContain("does not speak Go's protocol");
});
