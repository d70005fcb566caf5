/**
 * host-local while somebody damages its store: the lock and the index are removed, truncated, brought back from a backup, at any moment; the
 * whole folder goes; times step. Seeded; BERTH_STORM_CALLS=3000 for the long run.
 */
import { execFile } from "node:child_process";
import { existsSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { addresses, held, network, range } from "../lab/host-local.ts";
import { heldAddresses, ours, storeFiles } from "../lab/ipam.ts";
import { peer } from "../lab/peers.ts";
import { randomNumbers } from "../lab/random.ts";

const PROCESSES = 16;
const CALLS = Number(process.env.BERTH_STORM_CALLS ?? 400);
const SEED = Number(process.env.BERTH_SEED ?? 20_261_126);
const MOST_HELD = 4;
/** What it wants to damage may be gone meanwhile. */
const sh = async (script: string): Promise<void> =>
	void (await promisify(execFile)("sh", ["-c", `{ ${script}; } 2>/dev/null || true`]));

/** What may happen to everything but the address files, at any moment. */
function damages(net: ReturnType<typeof network>): ((below: (limit: number) => number) => Promise<void> | void)[] {
	const { directory, dataDir } = net;
	const [index, backup] = [join(dataDir, ".berth"), join(dataDir, "backup")];
	return [
		() => rmSync(join(directory, "lock"), { force: true }),
		() => rmSync(join(directory, "last_reserved_ip.0"), { force: true }),
		() => existsSync(directory) && writeFileSync(join(directory, "last_reserved_ip.0"), "nonsense"),
		() => sh(`rm -rf ${index}`),
		(below) => sh(`rm -f ${index}/net/*/c*${below(10)} ${index}/net/*/held*`),
		(below) =>
			sh(`for file in ${index}/net/*/*${below(10)}; do [ ! -f "$file" ] || truncate -s ${below(60)} "$file"; done`),
		() =>
			sh(
				`rm -rf ${backup}; [ ! -d ${index} ] || cp -a ${index} ${backup} 2>/dev/null || true; touch -r ${directory} ${backup}.time`,
			),
		() =>
			sh(
				`[ ! -d ${backup} ] || { rm -rf ${index}; cp -a ${backup} ${index} 2>/dev/null; touch -r ${backup}.time ${directory}; }`,
			),
		() => sh(`[ ! -d ${backup} ] || cp -a ${backup}/net/*/c* ${index}/net/*/ 2>/dev/null || true`),
		// As if the clock had been an hour off when the folder was changed last.
		(below) => {
			const at = new Date(Date.now() + (below(2) * 2 - 1) * 3_600_000);
			if (existsSync(directory)) utimesSync(directory, at, at);
		},
	];
}

it.each([
	["ours", false],
	["ours and Go's in turn", true],
])(
	`%s, ${CALLS} ADD and DEL by ${PROCESSES} processes, the store damaged meanwhile: no address twice, none lost`,
	async (_, isMixed) => {
		const net = network({ ranges: [[range("10.1.0.0/22")]] });
		const executables = [ours("host-local"), ...(isMixed ? [await peer("host-local")] : [])];
		// Enough for an index.
		net.put(Object.fromEntries(Array.from({ length: 60 }, (_, number) => [`10.1.3.${number}`, held(`p${number}`)])));
		const live = new Map<string, string>();
		const doubled: string[] = [];
		let calls = 0;
		const all = damages(net);
		const damage: unknown[] = [];

		const worker = async (number: number) => {
			const below = randomNumbers(SEED + number);
			const mine: { id: string; address: string }[] = [];
			/** With its lock or its temporary file taken away a call may fail; then it is made again, as a runtime does. */
			const run = async (verb: string, id: string) => {
				const once = () => net.runWith(executables[below(executables.length)]!, verb, { id });
				let answer = await once();
				for (let again = 0; answer.status !== 0 && again < 5; again++) answer = await once();
				return answer;
			};
			for (let turn = 0; calls < CALLS; turn++) {
				calls++;
				// Not waited for: it happens during calls.
				if (below(3) === 0) damage.push(all[below(all.length)]!(below));
				if (mine.length === MOST_HELD || (mine.length > 0 && below(3) === 0)) {
					const [one] = mine.splice(below(mine.length), 1);
					live.delete(one!.address);
					expect(await run("DEL", one!.id)).toMatchObject({ status: 0 });
					continue;
				}
				const id = `w${number}-${turn}`;
				const [address] = addresses(await run("ADD", id));
				if (live.has(address!)) doubled.push(`${address} of ${live.get(address!)} for ${id}`);
				live.set(address!, id);
				mine.push({ id, address: address! });
			}
		};
		await Promise.all(Array.from({ length: PROCESSES }, (_, number) => worker(number)));
		await Promise.all(damage);
		expect(doubled).toEqual([]);
		const files = storeFiles(net.directory);
		for (const [address, id] of live) expect(files[address.split("/")[0]!], address).toBe(held(id));
		for (const id of live.values()) expect((await net.run("DEL", { id })).status).toBe(0);
		expect(heldAddresses(net.directory)).toHaveLength(60);
		// The whole folder gone, under an index that knows it: all is free.
		rmSync(net.directory, { recursive: true });
		expect(addresses(await net.run("ADD", { id: "after" }))).toEqual(["10.1.0.2/22"]);
	},
	400_000,
);
