/**
 * Servers whose answers are damaged, most of them: the daemon keeps its leases. One is the test's own, with every
 * option that we read; the others are real ones behind a relay agent that damages what they say.
 *
 * BERTH_LIES: how many damaged answers, drawn by BERTH_SEED.
 */
import { expect, it } from "vitest";
import { type Background, DhcpLab } from "../lab/dhcp.ts";
import { dnsmasq, iscDhcpd, kea } from "../lab/dhcp-servers.ts";
import { ip } from "../lab/netns-lab.ts";
import { SEED } from "../lab/random.ts";
import { until } from "../lab/until.ts";

const LIES = Number(process.env.BERTH_LIES ?? 5000);
const PODS = 12;

/** Pods that have leases, and keep them until the liar has told all. */
async function leaseThrough(lab: DhcpLab, liar: Background): Promise<{ daemon: Background; pods: string[] }> {
	const daemon = await lab.daemon();
	const pods = Array.from({ length: PODS }, () => lab.pod());
	const add = async (pod: string): Promise<boolean> => {
		const { status, json } = await lab.call("ADD", pod);
		// No address in time, whoever says so: the runtime asks again.
		if (status !== 0) expect(json.code).toBe(11);
		else ip(pod, `address replace ${json.ips[0].address} dev eth0`);
		return status === 0;
	};
	await Promise.all(pods.map((pod) => until("an address", () => add(pod))));
	let told = 0;
	while (!liar.output.includes("all told")) {
		// As long as it goes on: what stands still is what fails.
		await until(
			"another lie",
			() => liar.output.includes("all told") || lab.list().malformedPackets > told,
			() => `${JSON.stringify(lab.list())}\n${daemon.output.slice(-4000)}\n${liar.output.slice(-2000)}`,
		);
		told = lab.list().malformedPackets;
		expect(daemon.hasEnded).toBe(false);
		expect(lab.list().leases.length).toBe(PODS);
	}
	return { daemon, pods };
}

it(`keeps all leases through ${LIES} damaged answers, and has them as the server means them in the end`, async () => {
	await using lab = new DhcpLab();
	ip(lab.lan, "address replace 10.7.0.1/16 dev br0");
	ip(lab.lan, "route add 255.255.255.255 dev br0");
	const liar = lab.inLan([process.execPath, `${import.meta.dirname}/../lab/dhcp-liar.ts`, `${LIES}`, `${SEED}`]);
	await liar.says("listening");
	const { daemon, pods } = await leaseThrough(lab, liar);
	/** The server gives 12 s. A lie that is a valid lease for longer than that holds, and nobody can tell. */
	const isMeant = ({ address, expireSeconds }: { address: string; expireSeconds: number }): boolean =>
		expireSeconds > 12 || /^10\.7\.1\.[0-9]+$/.test(address);
	await until(
		"every pod has the address that the server means",
		() => {
			const { leases } = lab.list();
			const addresses = new Set(leases.map(({ address }: { address: string }) => address));
			return (
				addresses.size === PODS &&
				leases.every(isMeant) &&
				leases.every(
					({ containerId, address }: Record<string, string>) => lab.addresses(containerId!).join() === `${address}/16`,
				)
			);
		},
		() => `${JSON.stringify(lab.list())}\n${pods.map((pod) => lab.addresses(pod))}\n${daemon.output.slice(-4000)}`,
	);
	const { malformedPackets, leases } = lab.list();
	const longer = leases.filter(({ expireSeconds }: { expireSeconds: number }) => expireSeconds > 12);
	expect(longer.length).toBeLessThan(PODS / 2);
	console.log(`dhcp: ${LIES} damaged answers, seed ${SEED}: ${malformedPackets} malformed`);
	expect(malformedPackets).toBeGreaterThan(LIES / 20);
	expect(daemon.output).not.toMatch(/level="error"|stack/);
}, 3_600_000);

it.each([dnsmasq, iscDhcpd, kea])(
	`keeps all leases through ${Math.ceil(LIES / 3)} damaged answers of $name`,
	async (server) => {
		// Two networks, and the relay agent in both: pods are in one of them, the server in the other.
		await using servers = new DhcpLab();
		await using lab = new DhcpLab();
		ip(lab.lan, "address replace 10.99.0.1/24 dev br0");
		ip(lab.lan, "address delete 10.7.0.1/24 dev br0");
		ip(lab.lan, "route add 255.255.255.255 dev br0");
		ip(servers.lan, `link add relay type veth peer name server netns ${lab.lan}`);
		ip(servers.lan, "link set relay master br0 up");
		ip(lab.lan, "address add 10.7.0.2/24 dev server");
		ip(lab.lan, "link set server up");
		// Unicast does not reach the server from where the pods are: what counts is T2.
		await server.start(servers, { renew: 3, rebind: 5, lifetime: 120 });
		const script = `${import.meta.dirname}/../lab/dhcp-liar.ts`;
		const lies = `${Math.ceil(LIES / 3)}`;
		const liar = lab.inLan([process.execPath, script, lies, `${SEED}`, "10.7.0.1", "10.7.0.2"]);
		await liar.says("listening");
		const { daemon } = await leaseThrough(lab, liar);
		const { malformedPackets, leases } = lab.list();
		console.log(`dhcp: ${lies} damaged answers of ${server.name}, seed ${SEED}: ${malformedPackets} malformed`);
		expect(leases.length).toBe(PODS);
		expect(malformedPackets).toBeGreaterThan(LIES / 60);
		await until("each pod has the address that the daemon lists", () =>
			lab
				.list()
				.leases.every(({ containerId, address }: Record<string, string>) =>
					lab.addresses(containerId!).some((each) => each.split("/")[0] === address),
				),
		);
		expect(daemon.output).not.toMatch(/level="error"|stack/);
	},
	3_600_000,
);
