/**
 * Many leases in one daemon: asked for at the same time, and renewed again and again.
 *
 * BERTH_LEASES and BERTH_RENEWALS (of all leases together) give other numbers: 1,000 leases of an hour are renewed
 * 48,000 times a day.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { execa } from "execa";
import { expect, it } from "vitest";
import { DhcpLab } from "../lab/dhcp.ts";
import { call, ours } from "../lab/ipam.ts";
import { ip, ipJson, netnsPath } from "../lab/netns-lab.ts";
import { until } from "../lab/until.ts";

const LEASES = Number(process.env.BERTH_LEASES ?? 200);
const RENEWALS = Number(process.env.BERTH_RENEWALS ?? 1000);
/** ADDs that are started together. */
const TOGETHER = 200;
const MOST_MEMORY = 12;
/** On a busy machine answers come too late: then they are asked for again after most of a minute. */
const STAGE_MS = 150_000;

/**
 * Interfaces `e0`, `e1`, ... of one namespace on the bridge of `lab`: veth pairs are what costs, not the daemon's part.
 */
function interfaces(lab: DhcpLab, count: number): { netns: string; names: string[] } {
	const netns = lab.netns.add();
	const names = Array.from({ length: count }, (_, index) => `e${index}`);
	const sysctl = (namespace: string, setting: string): void => {
		execFileSync("ip", ["netns", "exec", namespace, "sysctl", "-qw", setting]);
	};
	// Each interface answers for its own address only, as in a namespace of its own.
	sysctl(netns, "net.ipv4.conf.all.arp_ignore=1");
	// Every interface would tell all the others that it is there.
	for (const namespace of [netns, lab.lan]) sysctl(namespace, "net.ipv6.conf.default.disable_ipv6=1");
	const inLan = names.flatMap((name) => [
		`link add p${name} type veth peer name ${name} netns ${netns}`,
		`link set p${name} master br0 up`,
	]);
	execFileSync("ip", ["-n", lab.lan, "-batch", "-"], { input: inLan.join("\n") });
	execFileSync("ip", ["-n", netns, "-batch", "-"], { input: names.map((name) => `link set ${name} up`).join("\n") });
	return { netns, names };
}

/**
 * Writes down who has which address: the kernel's table of neighbours, one for all namespaces of a machine, has room
 * for 1,024, and what stands in it for good is not counted.
 */
function introduce(lab: DhcpLab, netns: string, addresses: ReadonlyMap<string, string>): void {
	const macs = new Map<string, string>(ipJson(netns, "link show").map(({ ifname, address }) => [ifname, address]));
	const batch = (namespace: string, lines: string[]): void => {
		execFileSync("ip", ["-n", namespace, "-batch", "-"], { input: lines.join("\n") });
	};
	const names = [...addresses.keys()];
	const [{ address: router }] = ipJson(lab.lan, "link show br0");
	batch(
		netns,
		names.map((name) => `neigh replace 10.7.0.1 lladdr ${router} dev ${name} nud permanent`),
	);
	const hosts = names.map((name) => [addresses.get(name)!.split("/")[0], macs.get(name)]);
	batch(
		lab.lan,
		hosts.map(([address, mac]) => `neigh replace ${address} lladdr ${mac} dev br0 nud permanent`),
	);
}

/** Megabytes that a process has in memory, and seconds of CPU that it has used. */
function usage(pid: number): { rss: number; cpu: number } {
	const status = readFileSync(`/proc/${pid}/status`, "utf8");
	const times = readFileSync(`/proc/${pid}/stat`, "utf8").split(" ");
	return { rss: Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1000, cpu: (Number(times[13]) + Number(times[14])) / 100 };
}

it(`keeps ${LEASES} leases in a few megabytes, however often they are renewed`, async () => {
	await using lab = new DhcpLab();
	ip(lab.lan, "address replace 10.7.0.1/16 dev br0");
	ip(lab.lan, "address del 10.7.0.1/24 dev br0");
	await lab.dnsmasq(
		"--dhcp-range=10.7.1.0,10.7.9.250,255.255.0.0,120",
		"--dhcp-lease-max=2000",
		`--dhcp-option-force=58,${Math.max(3, LEASES / 50)}`,
		"--quiet-dhcp",
	);
	// A server that so many ask at once does not hear them all.
	const daemon = await lab.daemon("-resendmax", "4s");
	let renewals = 0;
	daemon.process.stderr!.on("data", (data) => {
		renewals += String(data).split("renewed").length - 1;
	});
	const { netns, names } = interfaces(lab, LEASES);
	const idle = usage(daemon.pid);
	const addresses = new Map<string, string>();
	const add = async (ifName: string): Promise<void> => {
		const options = { config: lab.config(), id: ifName, ifName, netns: netnsPath(netns) };
		const { status, json, stderr } = await call(ours("dhcp"), "ADD", options);
		expect({ status, json, stderr }).toMatchObject({ status: 0 });
		addresses.set(ifName, json.ips[0].address);
	};
	ip(netns, `route add 10.7.0.0/16 dev ${names[0]}`);
	const begun = performance.now();
	for (let at = 0; at < names.length; at += TOGETHER) {
		const batch = names.slice(at, at + TOGETHER);
		const adds = Promise.all(batch.map(add));
		// Who asks meanwhile is answered within his patience, 5 s.
		const listed = await execa(ours("dhcp"), ["list", "-json", "-socketpath", lab.socket]);
		expect(JSON.parse(listed.stdout).leases.length).toBeLessThan(at + TOGETHER + 1);
		await adds;
		// What a main plugin does: without its address an interface renews by broadcasts, which all the others hear.
		const lines = batch.map((name) => `address add ${addresses.get(name)} dev ${name} noprefixroute`);
		execFileSync("ip", ["-n", netns, "-batch", "-"], { input: lines.join("\n") });
		introduce(lab, netns, addresses);
	}
	const seconds = (performance.now() - begun) / 1000;
	expect(new Set(addresses.values()).size).toBe(LEASES);
	const given = usage(daemon.pid);

	renewals = 0;
	const reached = async (count: number): Promise<{ rss: number; cpu: number }> => {
		// A stage at a time: only one that stands still is a failure.
		for (let stage = renewals; stage < count; ) {
			stage = Math.min(count, stage + LEASES);
			await until(
				`renewal ${stage}`,
				() => renewals >= stage,
				() => `${renewals} renewals\n${daemon.output.slice(-2000)}`,
				STAGE_MS,
			);
		}
		return usage(daemon.pid);
	};
	// Once all have been renewed, all buffers have been needed once.
	const early = await reached(LEASES);
	const late = await reached(LEASES + RENEWALS);
	expect(
		lab
			.list()
			.leases.map(({ address }: { address: string }) => `${address}/16`)
			.sort(),
	).toEqual([...addresses.values()].sort());
	// It writes its file anew at each renewal, and they go on: one look may find a part of it.
	await until("all leases in the server's file", () => lab.given().length === LEASES);
	console.log(
		`dhcp: ${LEASES} ADDs, ${TOGETHER} together: ${seconds.toFixed(1)} s, daemon ${(given.cpu - idle.cpu).toFixed(2)} s of CPU; memory ` +
			`${idle.rss.toFixed(1)} MB idle, ${given.rss.toFixed(1)} MB then, ${early.rss.toFixed(1)} MB after each was renewed, ` +
			`${late.rss.toFixed(1)} MB ${RENEWALS} renewals later (${(((late.cpu - early.cpu) * 1000) / RENEWALS).toFixed(2)} ms of CPU each)`,
	);
	expect(late.rss).toBeLessThan(MOST_MEMORY);
	expect(late.rss).toBeLessThan(early.rss + 0.5);
}, 1_800_000);
