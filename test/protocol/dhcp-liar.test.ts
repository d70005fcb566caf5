/**
 * A server whose answers are damaged, most of them: the daemon keeps its leases.
 *
 * BERTH_LIES: how many damaged answers, drawn by BERTH_SEED.
 */
import { expect, it } from "vitest";
import { DhcpLab } from "../lab/dhcp.ts";
import { ip } from "../lab/netns-lab.ts";
import { until } from "../lab/until.ts";

const LIES = Number(process.env.BERTH_LIES ?? 5000);
const SEED = Number(process.env.BERTH_SEED ?? 20_261_126);
const PODS = 12;

it(`keeps all leases through ${LIES} damaged answers, and has them as the server means them in the end`, async () => {
	await using lab = new DhcpLab();
	ip(lab.lan, "address replace 10.7.0.1/16 dev br0");
	ip(lab.lan, "route add 255.255.255.255 dev br0");
	const liar = lab.inLan([process.execPath, `${import.meta.dirname}/../lab/dhcp-liar.ts`, `${LIES}`, `${SEED}`]);
	await liar.says("listening");
	const daemon = await lab.daemon();
	const pods = Array.from({ length: PODS }, () => lab.pod());
	const ownAddress = /^10\.7\.1\.[0-9]+$/;
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
			() => daemon.output.slice(-4000),
		);
		told = lab.list().malformedPackets;
		expect(daemon.hasEnded).toBe(false);
		expect(lab.list().leases.length).toBe(PODS);
	}
	await until(
		"every pod has the address that the server means",
		() => {
			const { leases } = lab.list();
			const addresses = new Set(leases.map(({ address }: { address: string }) => address));
			return (
				addresses.size === PODS &&
				[...addresses].every((address) => ownAddress.test(`${address}`)) &&
				leases.every(
					({ containerId, address }: Record<string, string>) => lab.addresses(containerId!).join() === `${address}/16`,
				)
			);
		},
		() => `${JSON.stringify(lab.list())}\n${pods.map((pod) => lab.addresses(pod))}\n${daemon.output.slice(-4000)}`,
	);
	const { malformedPackets } = lab.list();
	console.log(`dhcp: ${LIES} damaged answers, seed ${SEED}: ${malformedPackets} malformed`);
	expect(malformedPackets).toBeGreaterThan(LIES / 20);
	expect(daemon.output).not.toMatch(/level="error"|stack/);
}, 3_600_000);
