/** What an attachment costs, with IPAM called as a function and as a process: counts are bounds, times are printed and judged by nobody. */
import { beforeAll, expect, test } from "vitest";
import { useGuest } from "../support/guest-session.ts";
import { binaries } from "../support/pods.ts";
import { createVfs } from "../support/sriov.ts";

const guest = useGuest();
const ROUNDS = 12;
/** A copy of ours: another file, so that host-local of it is executed. */
const COPY = "/tmp/sriov-cost-bin";

const environment = (path: string) =>
	`export CNI_CONTAINERID=c1 CNI_IFNAME=net1 CNI_NETNS=/run/netns/pod1 CNI_PATH=${path};`;
const run = (script: string) => guest().run(["bash", "-ec", script]);

beforeAll(async () => {
	const [vf] = await createVfs(guest(), "eth0", 7);
	const configuration = {
		cniVersion: "1.1.0",
		name: "sriov-network",
		type: "sriov",
		deviceID: vf!.pci,
		vlan: 100,
		trust: "on",
		mtu: 1400,
		ipam: { type: "host-local", subnet: "10.56.219.0/24", routes: [{ dst: "0.0.0.0/0" }] },
	};
	await guest().writeFile("/tmp/sriov-cost.json", JSON.stringify(configuration));
	await run(`ip netns add pod1; mkdir -p ${COPY}; cp ${binaries}/berth ${COPY}/host-local`);
});

/** System calls and processes of a verb, with IPAM looked up in `path`. */
async function count(verb: string, path: string): Promise<{ calls: number; processes: number }> {
	await run(
		`${environment(path)} CNI_COMMAND=${verb} strace -f -qq -o /tmp/sriov.strace ${binaries}/sriov </tmp/sriov-cost.json`,
	);
	const lines = (await guest().readFile("/tmp/sriov.strace")).split("\n").filter(Boolean);
	return {
		calls: lines.filter((line) => /^\d+ +\w+\(/.test(line)).length,
		processes: new Set(lines.map((line) => line.split(" ")[0])).size,
	};
}

test("with IPAM in process, ADD is one process with at most 400 system calls, and DEL with at most 300", async () => {
	for (const [how, path, processes] of [
		["in process", binaries, 1],
		["as a process", COPY, 2],
	] as const) {
		const add = await count("ADD", path);
		const del = await count("DEL", path);
		console.log(
			`sriov + host-local ${how}: ADD ${add.calls} system calls, DEL ${del.calls}; processes ${add.processes}`,
		);
		expect([add.processes, del.processes]).toEqual([processes, processes]);
		expect(add.calls).toBeGreaterThan(80);
		if (processes > 1) continue;
		expect(add.calls).toBeLessThanOrEqual(400);
		expect(del.calls).toBeLessThanOrEqual(300);
	}
});

test("wall and CPU time of ADD+DEL, in turns", async () => {
	const { stdout } = await run(`TIMEFORMAT='%R %U %S'
pair() { CNI_COMMAND=ADD ${binaries}/sriov </tmp/sriov-cost.json >/dev/null; CNI_COMMAND=DEL ${binaries}/sriov </tmp/sriov-cost.json; }
export CNI_COMMAND; ${environment("/")}
for round in $(seq ${ROUNDS}); do
	CNI_PATH=${binaries}; echo "in $( { time pair; } 2>&1 )"
	CNI_PATH=${COPY}; echo "out $( { time pair; } 2>&1 )"
done`);
	const samples = { in: [] as number[][], out: [] as number[][] };
	for (const line of stdout.trim().split("\n")) {
		const [how, wall, user, system] = line.split(" ");
		samples[how as "in" | "out"].push([Number(wall), Number(user) + Number(system)]);
	}
	const median = (how: "in" | "out", figure: number) =>
		samples[how].map((sample) => sample[figure]!).sort((a, b) => a - b)[ROUNDS / 2]! * 1000;
	for (const [figure, name] of ["wall", "CPU"].entries()) {
		const [inside, outside] = [median("in", figure), median("out", figure)];
		console.log(
			`sriov + host-local ADD+DEL, ${name}, medians of ${ROUNDS}: in process ${inside.toFixed(0)} ms, as a process ${outside.toFixed(0)} ms, ratio ${(inside / outside).toFixed(2)}`,
		);
	}
	expect([samples.in.length, samples.out.length]).toEqual([ROUNDS, ROUNDS]);
	expect([...samples.in, ...samples.out].flat().every((value) => value > 0)).toBe(true);
});
