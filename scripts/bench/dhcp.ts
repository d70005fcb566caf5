/**
 * dhcp and the Go plugin on the same server: the time of an ADD, and the memory of a daemon for each lease.
 *
 *   npm run bench:dhcp [-- --rounds N --leases N --executable PATH]
 *
 * --rounds      ADDs and DELs of each, in turns, 50 by default
 * --leases      leases of each daemon whose memory is read, 200 by default
 * --executable  another build than dist/bin/berth, which is built first
 *
 * Needs root, gcc, Go, dnsmasq and tshark; all in network namespaces of its own. Prints a table, judges nothing.
 */
import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Capture, DhcpLab } from "../../test/lab/dhcp.ts";
import { call } from "../../test/lab/ipam.ts";
import { ip, ipJson, netnsPath } from "../../test/lab/netns-lab.ts";
import { peer } from "../../test/lab/peers.ts";
import { alignColumns } from "../../test/lab/table.ts";
import { until } from "../../test/lab/until.ts";
import { executableOf, positive, print, say } from "./command.ts";
import { callOf, MAKERS, type Maker } from "./laboratory.ts";
import { runTimer, spreadOf } from "./timing.ts";

/** ADDs at the same time while leases are collected. */
const AT_ONCE = 8;
/** More addresses than the lab's own range has. */
const RANGE = "--dhcp-range=10.8.1.0,10.8.250.0,255.255.0.0,3600";

/** A daemon with its socket, and the plugin that asks it. */
type Side = Awaited<ReturnType<typeof startSide>>;

async function startSide(lab: DhcpLab, maker: Maker, program: string) {
	const socket = join(lab.directory, `${maker}.sock`);
	const config = { ...lab.config(), cniVersion: "1.0.0", ipam: { type: "dhcp", daemonSocketPath: socket } };
	const { pid } = lab.start([program, "daemon", "-socketpath", socket]);
	// A DEL of what is not there: once it is answered, there is a daemon.
	await until(`the daemon of ${maker}`, async () => {
		const { status, stderr } = await call(program, "DEL", { config, netns: "/run/netns/none" });
		return status === 0 && stderr === "";
	});
	return {
		maker,
		program,
		config,
		/** Kilobytes. */
		memory(): number {
			return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]);
		},
		/** Milliseconds of its process so far: user and system, by ticks of 10 ms. */
		cpuMs(): number {
			const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
			return (Number(fields[11]) + Number(fields[12])) * 10;
		},
	};
}

interface Times {
	/** Of the ADD's process, and of the wait for the server in it; of the DEL's process. */
	readonly add: number[];
	readonly wire: number[];
	readonly del: number[];
}

async function timeCalls(lab: DhcpLab, sides: readonly Side[], rounds: number): Promise<Times[]> {
	const pods = sides.map(() => lab.pod());
	const calls = sides.flatMap((side, index) =>
		["ADD", "DEL"].map((command) => {
			const attachment = { CNI_CONTAINERID: `bench-${index}`, CNI_NETNS: netnsPath(pods[index]!), CNI_IFNAME: "eth0" };
			const variables = { CNI_COMMAND: command, ...attachment, CNI_PATH: "/opt/cni/bin" };
			return callOf(side.program, variables, side.config);
		}),
	);
	// The link is up, and has its carrier: no contender waits for it.
	for (const pod of pods) ip(pod, "link set eth0 up");
	const capture = await lab.capture("frame.time_epoch", "dhcp.hw.mac_addr");
	const runs = await runTimer(lab.directory, calls, rounds);
	const wires = await waits(capture, sides.length * (rounds + 1));
	return pods.map((pod, index) => ({
		add: runs[2 * index]!.map(({ wallMs }) => wallMs),
		del: runs[2 * index + 1]!.map(({ wallMs }) => wallMs),
		wire: (wires.get(ipJson(pod, "link show eth0")[0].address) ?? []).slice(1),
	}));
}

/** For each MAC, the milliseconds that each of its leases waited: DISCOVER to OFFER and REQUEST to ACK. */
async function waits(capture: Capture, leases: number): Promise<Map<string, number[]>> {
	const waits = new Map<string, number[]>();
	const asked = new Map<string, number>();
	const sums = new Map<string, number>();
	for (const [type, time, mac = ""] of await capture.until("ACK", leases)) {
		const ms = Number(time) * 1000;
		if (type === "DISCOVER" || type === "REQUEST") asked.set(mac, ms);
		if (type === "OFFER") sums.set(mac, ms - asked.get(mac)!);
		if (type === "ACK") waits.set(mac, [...(waits.get(mac) ?? []), sums.get(mac)! + ms - asked.get(mac)!]);
	}
	return waits;
}

type Memory = Awaited<ReturnType<typeof hold>>;

async function hold(lab: DhcpLab, side: Side, leases: number) {
	say(`${leases} leases of ${side.maker}`);
	const empty = side.memory();
	const before = side.cpuMs();
	const pods = Array.from({ length: leases }, () => lab.pod());
	const queue = pods.values();
	const work = Array.from({ length: AT_ONCE }, async () => {
		for (const pod of queue) {
			const answer = await call(side.program, "ADD", { config: side.config, id: pod, netns: netnsPath(pod) });
			if (answer.status !== 0) throw new Error(`ADD of ${side.maker}: ${answer.stdout}${answer.stderr}`);
		}
	});
	await Promise.all(work);
	return { empty, full: side.memory(), cpuMs: side.cpuMs() - before };
}

function table(times: readonly Times[], memories: readonly Memory[], leases: number): string {
	const median = (values: readonly number[]) => spreadOf(values).median;
	const perLease = ({ empty, full }: Memory) => (full - empty) / leases;
	const rows: [string, number[], number][] = [
		["ADD, ms", times.map(({ add }) => median(add)), 1],
		["  of it the server's answers", times.map(({ wire }) => median(wire)), 1],
		["  the rest", times.map(({ add, wire }) => median(add.map((ms, index) => ms - wire[index]!))), 1],
		["DEL, ms", times.map(({ del }) => median(del)), 1],
		["daemon's CPU for each ADD, ms", memories.map(({ cpuMs }) => cpuMs / leases), 2],
		["daemon without a lease, MB", memories.map(({ empty }) => empty / 1024), 1],
		[`daemon with ${leases} leases, MB`, memories.map(({ full }) => full / 1024), 1],
		["for each lease, KB", memories.map(perLease), 1],
	];
	return alignColumns(
		[
			["", ...MAKERS, "ours / Go"],
			...rows.map(([what, values, digits]) => [
				what,
				...values.map((value) => value.toFixed(digits)),
				(values[0]! / values[1]!).toFixed(3),
			]),
		],
		1,
	);
}

async function measure(rounds: number, leases: number, executable: string): Promise<string> {
	await using lab = new DhcpLab();
	ip(lab.lan, "address add 10.8.0.1/16 dev br0");
	await lab.dnsmasq(RANGE, "--dhcp-lease-max=10000");
	const ours = join(lab.directory, "dhcp");
	copyFileSync(executable, ours);
	const programs = { ours, Go: await peer("dhcp") };
	const sides: Side[] = [];
	const memories: Memory[] = [];
	for (const maker of MAKERS) {
		const side = await startSide(lab, maker, programs[maker]);
		sides.push(side);
		memories.push(await hold(lab, side, leases));
	}
	say(`${rounds} rounds of ADD and DEL`);
	const times = await timeCalls(lab, sides, rounds);
	return `medians of ${rounds} rounds\n\n${table(times, memories, leases)}`;
}

await print(async () => {
	const { values } = parseArgs({
		options: {
			rounds: { type: "string", default: "50" },
			leases: { type: "string", default: "200" },
			executable: { type: "string" },
		},
	});
	const [rounds, leases] = [positive("rounds", values.rounds), positive("leases", values.leases)];
	return measure(rounds, leases, executableOf(values.executable));
});
