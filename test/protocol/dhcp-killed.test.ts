/**
 * The daemon, killed at each of its system calls while a lease is asked for, renewed, refused, replaced and given back:
 * the next daemon goes on, and in the end nobody has an address that is not given, nor two.
 *
 * A life is some hundreds of calls. Without BERTH_KILLS a few of them are tried, drawn by BERTH_SEED; BERTH_KILLS=all
 * tries each.
 */
import { rmSync } from "node:fs";
import { expect, it } from "vitest";
import { tracer } from "../faults/scenario.ts";
import { type Background, DhcpLab } from "../lab/dhcp.ts";
import { ip } from "../lab/netns-lab.ts";
import { randomNumbers, SEED } from "../lab/random.ts";
import { until } from "../lab/until.ts";

const KILLS = process.env.BERTH_KILLS ?? "12";
/** Lives at the same time: each waits for a renewal most of its time. */
const AT_ONCE = 6;

/** A daemon under the tracer, and those that come after it. */
class Daemons {
	readonly #lab: DhcpLab;
	readonly first: Background;
	#now: Background;

	constructor(lab: DhcpLab, fault: readonly string[]) {
		this.#lab = lab;
		this.first = lab.daemonUnder([tracer(), ...fault, "--"]);
		this.#now = this.first;
	}

	/** The one that runs: the next where the first is dead. */
	async now(): Promise<Background> {
		await until("the daemon listens or is dead", () => this.#now.hasEnded || this.#now.output.includes("listening on"));
		if (this.#now.hasEnded) this.#now = await this.#lab.daemon();
		return this.#now;
	}

	/** Once a daemon has said `text`, whichever it is. */
	async say(text: string): Promise<void> {
		await until(
			`a daemon says "${text}"`,
			async () => (await this.now()).output.includes(text),
			() => `${this.first.output}${this.#now.output}`,
		);
	}
}

/** What the daemon lists; undefined where it is killed just now. */
function leasesOf(lab: DhcpLab): { address?: string }[] | undefined {
	try {
		return lab.list().leases;
	} catch {
		return undefined;
	}
}

/** A pod's whole life. Resolves to what the tracer saw. */
async function live(fault: readonly string[]): Promise<string> {
	await using lab = new DhcpLab();
	const short = ["--dhcp-option-force=58,3", "--dhcp-option-force=59,8"];
	const server = await lab.dnsmasq(...short);
	const daemons = new Daemons(lab, fault);
	const pod = lab.pod();
	const add = async () => {
		await daemons.now();
		const answer = await lab.call("ADD", pod);
		// A runtime asks again for what is told with this code: the daemon was killed under it.
		if (answer.status !== 0) expect(answer.json).toMatchObject({ code: 11 });
		return answer.status === 0 && answer.json;
	};
	const added = await until("an address", add);
	const { address } = added.ips[0];
	ip(pod, `address replace ${address} dev eth0`);
	await daemons.say('"renewed"');
	expect(lab.given().map((given) => `${given}/24`)).toEqual([address]);
	expect(lab.addresses(pod)).toEqual([address]);

	await server.end();
	rmSync(lab.leaseFile);
	await lab.dnsmasq(...short, "--dhcp-range=10.7.0.10,10.7.0.20,255.255.255.0,120");
	const moved = await until(
		"one other address, the same at the server, in the list and on the interface",
		async () => {
			await daemons.now();
			const [given, ...more] = lab.given();
			const isOne = more.length === 0 && lab.addresses(pod).join() === `${given}/24`;
			return (
				isOne &&
				leasesOf(lab)
					?.map((lease) => lease.address)
					.join() === given &&
				`${given}/24`
			);
		},
		() => `${lab.given()} ${lab.addresses(pod)} ${JSON.stringify(leasesOf(lab))}\n${daemons.first.output}`,
	);
	expect((await until("the same address", add)).ips[0].address).toBe(moved);
	expect(await lab.call("DEL", pod)).toMatchObject({ status: 0, stdout: "" });
	await until(
		"the address is given back, and no lease left",
		async () => {
			await daemons.now();
			return lab.given().length === 0 && leasesOf(lab)?.length === 0;
		},
		() => daemons.first.output,
	);
	await daemons.first.end();
	return daemons.first.output;
}

it("keeps the lease, and one only, wherever the daemon is killed", async () => {
	const counted = [...(await live(["count"])).matchAll(/^([0-9]+)\*? /gm)].length;
	const below = randomNumbers(SEED);
	const points =
		KILLS === "all"
			? Array.from({ length: counted }, (_, index) => index + 1)
			: Array.from({ length: Number(KILLS) }, () => 1 + below(counted));
	const hits: string[] = [];
	const waiting = [...points];
	const worker = async (): Promise<void> => {
		for (let point = waiting.shift(); point !== undefined; point = waiting.shift()) {
			const output = await live(["kill", `${point}`]).catch((error) => {
				throw new Error(`killed at call ${point}: ${error.message}`, { cause: error });
			});
			const hit = /^tracer: (.*)$/m.exec(output)?.[1];
			if (hit !== undefined) hits.push(hit);
		}
	};
	await Promise.all(Array.from({ length: AT_ONCE }, worker));
	console.log(`dhcp: killed at ${hits.length} of ${counted} calls, seed ${SEED}`);
	// Events of other namespaces on the machine make some lives longer than others.
	expect(hits.length).toBeGreaterThan(points.length / 2);
}, 3_600_000);
