/** White space that Go and JavaScript see differently: lists and files as the Go plugins read them. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { network, range } from "../lab/host-local.ts";
import { type Call, call, ours, scratchDirectory } from "../lab/ipam.ts";
import { peer } from "../lab/peers.ts";

const both = async (plugin: "static", verb: string, options: Call) => {
	const answers = [];
	for (const executable of [ours(plugin), await peer(plugin)])
		answers.push((await call(executable, verb, options)).json);
	return answers as [Record<string, unknown>, Record<string, unknown>];
};

test("resolv.conf", async () => {
	const path = join(scratchDirectory(), "resolv.conf");
	writeFileSync(
		path,
		[
			"\u0085nameserver\u00a010.0.0.1\u3000",
			"\ufeffnameserver 10.0.0.2",
			"nameserver \ufeff10.0.0.3",
			"search a\u2028b\u0085c\ufeff",
		].join("\n"),
	);
	const dns = [];
	for (const executable of [ours("host-local"), await peer("host-local")]) {
		const net = network({ ranges: [[range("10.1.2.0/24")]], resolvConf: path });
		dns.push((await net.runWith(executable, "ADD")).json.dns);
	}
	expect(dns[0]).toEqual(dns[1]);
	expect(dns[0]).toEqual({ nameservers: ["10.0.0.1", "\ufeff10.0.0.3"], search: ["a", "b", "c\ufeff"] });
});

const config = { cniVersion: "1.1.0", name: "net", type: "sriov", ipam: { type: "static" } };

test("addresses and gateways of CNI_ARGS", async () => {
	const args = "IP=\u008510.1.2.3/24\u3000,\u00a010.1.3.3/24;GATEWAY=\u008510.1.2.1\u2028";
	const [own, go] = await both("static", "ADD", { config, args });
	expect(own.ips).toEqual(go.ips);
	expect(own.ips).toHaveLength(2);
});

test.each(["IP=\ufeff10.1.2.3/24", "IP=10.1.2.3/24;GATEWAY=\ufeff10.1.2.1"])("%j is no address", async (args) => {
	const [own, go] = await both("static", "ADD", { config, args });
	expect(own.msg).toBe(go.msg);
	expect(own.msg).toContain("\ufeff10.1.2");
});
