/**
 * host-local while somebody damages its store, at any moment: lock, index and times, address files removed, truncated
 * and rolled back, the whole directory removed or brought back from a backup. Seeded; BERTH_STORM_CALLS=3000 for the
 * long run.
 *
 * What holds then. An address is *damaged* while its file is removed, written or brought back by damage, and until the
 * calls have ended that ran meanwhile: they may act on what they saw before. An attachment is *clean* if its address
 * has not been damaged since such a call could still be there when its ADD began. Then:
 * - a clean attachment has its address alone: no other ADD gets it before its DEL, and its file says whose it is;
 * - DEL of a clean attachment gives the address back;
 * - no ADD gets an address whose file a backup brought back, though its pod be gone: it is held until GC;
 * - GC leaves the addresses of valid attachments, and no others.
 *
 * Of any other address damage itself decides: whose file was removed by hand may be another's, of a file that was cut
 * off nobody knows whose it is.
 *
 * What Go does wrong, and the test lets go: its lock is not compared with its path, so that its ADD works on beside
 * those who have the new lock file, and one of ours may make an index that does not know of it. So an attachment of
 * Go's counts as damaged if the lock was removed while its ADD could run. (An empty file holds an address for ever in
 * Go; here it is free by the end.)
 */
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { addresses, held, network, range } from "../lab/host-local.ts";
import { heldAddresses, ours, storeFiles } from "../lab/ipam.ts";
import { peer } from "../lab/peers.ts";
import { randomNumbers, SEED } from "../lab/random.ts";

const PROCESSES = 16;
const CALLS = Number(process.env.BERTH_STORM_CALLS ?? 400);
const MOST_HELD = 4;
/** Enough for an index. */
const STANDING = 60;
/** What it wants to damage may be gone meanwhile. */
const sh = async (script: string): Promise<void> =>
	void (await promisify(execFile)("sh", ["-c", `{ ${script}; } 2>/dev/null || true`]));

type Random = (below: number) => number;
type Network = ReturnType<typeof network>;

interface Attachment {
	readonly id: string;
	readonly address: string;
	/** When the first of the calls began that ran when its ADD did. */
	readonly since: number;
	readonly isGo: boolean;
}

/** Who has which address, and which of them are damaged. Time is the number of events. */
class Ledger {
	readonly live = new Map<string, Attachment>();
	readonly violations: string[] = [];
	readonly sum = { clean: 0, damaged: 0, failed: 0 };
	readonly #running = new Set<number>();
	readonly #damaged = new Map<string, number>();
	readonly #isLost = new Set<Attachment>();
	#now = 0;

	/** When the oldest of the calls that run now began, one that begins now among them. */
	begin(): { since: number; end: () => void } {
		const begun = ++this.#now;
		this.#running.add(begun);
		return { since: Math.min(...this.#running), end: () => this.#running.delete(begun) };
	}

	/** Does damage to the files of these addresses, to "all", or to the "lock". */
	async damage(names: readonly string[], work: () => Promise<void> | void): Promise<void> {
		for (const name of names) this.#damaged.set(name, Number.POSITIVE_INFINITY);
		await work();
		for (const name of names) this.#damaged.set(name, ++this.#now);
	}

	isClean(attachment: Attachment): boolean {
		const { address, since } = attachment;
		return !this.#isLost.has(attachment) && this.#isIntact("all", since) && this.#isIntact(address, since);
	}

	#isIntact(name: string, since: number): boolean {
		return (this.#damaged.get(name) ?? 0) < since;
	}

	added(attachment: Attachment): void {
		for (const other of this.live.values()) {
			if (other.address === attachment.address && this.isClean(other))
				this.violations.push(`${other.address} of ${other.id} given to ${attachment.id}`);
		}
		this.live.set(attachment.id, attachment);
		if (attachment.isGo && !this.#isIntact("lock", attachment.since)) this.#isLost.add(attachment);
	}

	/** At the end of DEL, when the file of the address says `text`. */
	deleted(attachment: Attachment, text: string): void {
		const isClean = this.isClean(attachment);
		this.sum[isClean ? "clean" : "damaged"]++;
		if (isClean && text === held(attachment.id))
			this.violations.push(`${attachment.address} of ${attachment.id} is still held after DEL`);
	}
}

/** What may happen at any moment to all but the address files. */
function damagesBeside({ directory, dataDir }: Network): ((below: Random) => Promise<void> | void)[] {
	const [index, backup] = [join(dataDir, ".berth"), join(dataDir, "index-backup")];
	return [
		() => rmSync(join(directory, "last_reserved_ip.0"), { force: true }),
		() => existsSync(directory) && writeFileSync(join(directory, "last_reserved_ip.0"), "nonsense"),
		() => sh(`rm -rf ${index}`),
		(below) => sh(`rm -f ${index}/net/*/c*${below(10)} ${index}/net/*/held*`),
		(below) =>
			sh(`for file in ${index}/net/*/*${below(10)}; do [ ! -f "$file" ] || truncate -s ${below(60)} "$file"; done`),
		() => sh(`rm -rf ${backup}; [ ! -d ${index} ] || cp -a ${index} ${backup}; touch -r ${directory} ${backup}.time`),
		() =>
			sh(`[ ! -d ${backup} ] || { rm -rf ${index}; cp -a ${backup} ${index}; touch -r ${backup}.time ${directory}; }`),
		() => sh(`[ ! -d ${backup} ] || cp -a ${backup}/net/*/c* ${index}/net/*/`),
		// As if the clock had been an hour off when the directory was changed last.
		(below) => {
			const at = new Date(Date.now() + (below(2) * 2 - 1) * 3_600_000);
			if (existsSync(directory)) utimesSync(directory, at, at);
		},
	];
}

/** The store as it was, to be brought back. */
function backupOf({ directory, dataDir }: Network) {
	const backup = join(dataDir, "backup");
	let replaced = 0;
	return {
		make: () => sh(`rm -rf ${backup}; cp -a ${directory} ${backup}`),
		names: () => (existsSync(backup) ? readdirSync(backup).filter((name) => name.startsWith("10.")) : []),
		/** Over what is there. */
		restore: () => sh(`[ ! -d ${backup} ] || cp -aT ${backup} ${directory}`),
		/** In place of it. */
		replace: () => {
			const old = `${directory}.${replaced++}`;
			return sh(`[ ! -d ${backup} ] || { mv -T ${directory} ${old}; cp -aT ${backup} ${directory}; rm -rf ${old}; }`);
		},
	};
}

/** One address file is removed, truncated, or says what it said once. */
async function damageOne({ directory }: Network, ledger: Ledger, below: Random): Promise<void> {
	const all = [...ledger.live.values()];
	const { address } = all[below(all.length)]!;
	const path = join(directory, address);
	await ledger.damage([address], () => {
		if (!existsSync(path)) return;
		const how = below(3);
		if (how === 0) rmSync(path, { force: true });
		else if (how === 1) truncateSync(path, below(12));
		else writeFileSync(path, held("gone"));
	});
}

async function damageAll(
	{ directory }: Network,
	backup: ReturnType<typeof backupOf>,
	ledger: Ledger,
	below: Random,
): Promise<void> {
	const how = below(4);
	if (how === 0) await ledger.damage(["all"], () => sh(`rm -rf ${directory}`));
	else if (how === 1) await ledger.damage(["all"], backup.replace);
	else if (how === 2) await ledger.damage(backup.names(), backup.restore);
	else await backup.make();
}

const textOf = (net: Network, address: string): string => {
	const path = join(net.directory, address);
	return existsSync(path) ? readFileSync(path, "utf8") : "";
};

it.each([
	["ours", false],
	["ours and Go's in turn", true],
])(
	`%s, ${CALLS} ADD and DEL by ${PROCESSES} processes, the store damaged meanwhile: no address twice, none lost`,
	async (_, isMixed) => {
		const net = network({ ranges: [[range("10.1.0.0/22")]] });
		const executables = [ours("host-local"), ...(isMixed ? [await peer("host-local")] : [])];
		const ledger = new Ledger();
		const standing = Array.from({ length: STANDING }, (_, number) => ({
			id: `p${number}x`,
			address: `10.1.3.${number}`,
		}));
		net.put(Object.fromEntries(standing.map(({ id, address }) => [address, held(id)])));
		for (const each of standing) ledger.added({ ...each, since: 1, isGo: false });
		const beside = damagesBeside(net);
		const backup = backupOf(net);
		const damages: unknown[] = [];
		let calls = 0;
		let ids = 0;

		const damage = (below: Random): Promise<void> | void => {
			const which = below(60);
			if (which === 0) return damageAll(net, backup, ledger, below);
			if (which < 20) return damageOne(net, ledger, below);
			// Those who remove what seems to be left over begin with the lock.
			if (which < 30) return ledger.damage(["lock"], () => rmSync(join(net.directory, "lock"), { force: true }));
			return beside[below(beside.length)]!(below);
		};
		const any = (below: Random): string => executables[below(executables.length)]!;
		/**
		 * A call may fail whose lock, temporary file or directory is taken away: then there is a DEL and another ADD,
		 * as a runtime does it.
		 */
		const run = async (below: Random, verb: string, id: string, executable = any(below)) => {
			const once = () => net.runWith(executable, verb, { id });
			let answer = await once();
			for (let again = 0; answer.status !== 0 && again < 5 && verb === "DEL"; again++) answer = await once();
			if (answer.status !== 0) ledger.sum.failed++;
			if (verb === "DEL") expect(answer).toMatchObject({ status: 0 });
			return answer;
		};
		const add = async (below: Random): Promise<Attachment> => {
			for (let again = 0; ; again++) {
				// Truncated it is no other's.
				const id = `w${ids++}x`;
				const { since, end } = ledger.begin();
				const executable = any(below);
				const answer = await run(below, "ADD", id, executable);
				end();
				if (answer.status !== 0 && again < 5) {
					await run(below, "DEL", id);
					continue;
				}
				const attachment = {
					id,
					address: addresses(answer)[0]!.split("/")[0]!,
					since,
					isGo: executable !== executables[0],
				};
				ledger.added(attachment);
				return attachment;
			}
		};
		const del = async (below: Random, attachment: Attachment) => {
			ledger.live.delete(attachment.id);
			const { end } = ledger.begin();
			await run(below, "DEL", attachment.id);
			ledger.deleted(attachment, textOf(net, attachment.address));
			end();
		};
		const worker = async (number: number) => {
			const below = randomNumbers(SEED + number);
			const mine: Attachment[] = [];
			while (calls < CALLS) {
				calls++;
				// Not waited for: it happens during calls.
				if (below(3) === 0) damages.push(damage(below));
				if (mine.length === MOST_HELD || (mine.length > 0 && below(3) === 0)) {
					await del(below, mine.splice(below(mine.length), 1)[0]!);
				} else mine.push(await add(below));
			}
		};
		await Promise.all(Array.from({ length: PROCESSES }, (_, number) => worker(number)));
		await Promise.all(damages);

		const below = randomNumbers(SEED);
		await ledger.damage(backup.names(), backup.restore);
		const texts = Object.entries(storeFiles(net.directory));
		const broughtBack = texts.filter(([, text]) => text.trim() !== "").map(([name]) => name);
		for (let number = 0; number < PROCESSES; number++) expect(broughtBack).not.toContain((await add(below)).address);

		const live = [...ledger.live.values()];
		const clean = live.filter((each) => ledger.isClean(each));
		console.log(`damage: ${JSON.stringify({ ...ledger.sum, live: live.length, cleanAtTheEnd: clean.length })}`);
		expect(ledger.violations).toEqual([]);
		for (const { id, address } of clean) expect(textOf(net, address), address).toBe(held(id));
		const valid = live.map(({ id }) => ({ containerID: id, ifname: "eth0" }));
		const config = { ...net.config, "cni.dev/valid-attachments": valid };
		expect(await net.run("GC", { config })).toMatchObject({ status: 0 });
		for (const address of heldAddresses(net.directory)) {
			const holders = live.filter((each) => each.address === address).map(({ id }) => id);
			// One that is truncated after the container is held as long as that has any interface.
			expect(holders, address).toContain(textOf(net, address).split("\r")[0]);
		}
		for (const { id, address } of clean) expect(textOf(net, address), address).toBe(held(id));
		for (const { id } of live) expect((await net.run("DEL", { id })).status).toBe(0);
		expect(heldAddresses(net.directory)).toEqual([]);
		expect(ledger.sum.clean).toBeGreaterThan(CALLS / 20);
	},
	// What is long says so by its number of calls.
	120_000 + 400 * CALLS,
);

it("the whole directory gone, under an index that knows it: all is free", async () => {
	const net = network({ ranges: [[range("10.1.0.0/22")]] });
	net.put(
		Object.fromEntries(Array.from({ length: STANDING }, (_, number) => [`10.1.0.${number + 2}`, held(`p${number}`)])),
	);
	expect(addresses(await net.run("ADD", { id: "before" }))).toEqual(["10.1.0.62/22"]);
	rmSync(net.directory, { recursive: true });
	expect(addresses(await net.run("ADD", { id: "after" }))).toEqual(["10.1.0.2/22"]);
});
