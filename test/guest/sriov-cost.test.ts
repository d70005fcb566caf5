/** What an attachment costs, with IPAM called as a function and as a process. Times: `npm run bench:guest`. */
import { beforeAll, expect, test } from "vitest";
import { useGuest } from "../lab/guest-session.ts";
import { binaries } from "../lab/pods.ts";
import { createVfs } from "../lab/sriov.ts";

const guest = useGuest();
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

interface Cost {
	readonly processes: number;
	readonly calls: number;
}

/** System calls and processes of a verb that succeeds, with IPAM looked up in `path`. */
async function count(verb: string, path: string): Promise<Cost> {
	await run(
		`${environment(path)} CNI_COMMAND=${verb} strace -f -qq -o /tmp/sriov.strace ${binaries}/sriov </tmp/sriov-cost.json`,
	);
	const lines = (await guest().readFile("/tmp/sriov.strace")).split("\n").filter(Boolean);
	return {
		processes: new Set(lines.map((line) => line.split(" ")[0])).size,
		calls: lines.filter((line) => /^\d+ +\w+\(/.test(line)).length,
	};
}

async function costs(path: string): Promise<{ ADD: Cost; DEL: Cost }> {
	return { ADD: await count("ADD", path), DEL: await count("DEL", path) };
}

test("IPAM in process saves a process and system calls: ADD has at most 140, DEL at most 105", async () => {
	const [inside, outside] = [await costs(binaries), await costs(COPY)];
	console.log(`sriov + host-local: ${JSON.stringify({ inside, outside })}`);
	for (const verb of ["ADD", "DEL"] as const) {
		expect({ verb, inside: inside[verb].processes, outside: outside[verb].processes }).toEqual({
			verb,
			inside: 1,
			outside: 2,
		});
		expect(inside[verb].calls, verb).toBeLessThan(outside[verb].calls);
	}
	// An ADD with less than 80 is none: VLAN, move, addresses and record take more.
	expect(inside.ADD.calls).toBeGreaterThan(80);
	expect(inside.ADD.calls).toBeLessThanOrEqual(140);
	expect(inside.DEL.calls).toBeLessThanOrEqual(105);
});
