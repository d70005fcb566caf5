/**
 * Many processes of Go's host-local and ours on one store at once.
 */
import { expect, it } from "vitest";
import { addresses, network, range } from "../lab/host-local.ts";
import { heldAddresses, ours, storeFiles } from "../lab/ipam.ts";
import { peer } from "../lab/peers.ts";
import { randomNumbers, SEED } from "../lab/random.ts";

const PROCESSES = 32;
const CALLS = 5000;
const MOST_HELD = 3;

it(`${PROCESSES} processes, ${CALLS} ADD and DEL: no address twice, none lost, at the end none held`, async () => {
	const executables = [ours("host-local"), await peer("host-local")];
	const { runWith, directory } = network({ ranges: [[range("10.1.2.0/24")], [range("2001:db8::/64")]] });
	const live = new Map<string, string>();
	const made = [0, 0];
	let calls = 0;

	const worker = async (number: number) => {
		const below = randomNumbers(SEED + number);
		const held: { id: string; given: string[] }[] = [];
		const pick = () => {
			const which = below(2);
			made[which]!++;
			calls++;
			return executables[which]!;
		};
		const release = async () => {
			const [one] = held.splice(below(held.length), 1);
			for (const address of one!.given) live.delete(address);
			expect(await runWith(pick(), "DEL", { id: one!.id })).toMatchObject({ status: 0, stdout: "" });
		};
		for (let turn = 0; calls < CALLS - PROCESSES * MOST_HELD; turn++) {
			if (held.length === MOST_HELD || (held.length > 0 && below(3) === 0)) {
				await release();
				continue;
			}
			const id = `w${number}-${turn}`;
			const given = addresses(await runWith(pick(), "ADD", { id }));
			for (const address of given) {
				expect(live.get(address), `${address} for ${id}`).toBeUndefined();
				live.set(address, id);
			}
			held.push({ id, given });
		}
		// All but one of what is held: the rest is looked at when everybody has ended.
		while (held.length > 1) await release();
		return { held, release };
	};
	const workers = await Promise.all(Array.from({ length: PROCESSES }, (_, number) => worker(number)));

	const files = storeFiles(directory);
	expect(heldAddresses(directory).length).toBe(live.size);
	for (const [address, id] of live) expect(files[address.split("/")[0]!]).toBe(`${id}\r\neth0`);
	await Promise.all(workers.map(async ({ held, release }) => held.length > 0 && (await release())));
	// The rest of the calls: DEL of what nobody holds any more.
	for (; calls < CALLS; ) {
		made[0]!++;
		calls++;
		expect((await runWith(executables[0]!, "DEL", { id: `w0-${calls}` })).status).toBe(0);
	}
	expect(heldAddresses(directory)).toEqual([]);
	console.log(
		`host-local: seed ${SEED}: ${calls} calls by ${PROCESSES} processes: ${made[0]} of ours, ${made[1]} of Go's`,
	);
}, 1_800_000);
