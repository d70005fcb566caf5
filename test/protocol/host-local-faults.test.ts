/**
 * host-local killed and failed at each of its system calls, before and after the call took place: no address is lost,
 * none handed out twice, and no success told of what did not happen. With few addresses held, and with so many that
 * there is an index.
 */
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { afterAll, describe, expect, it } from "vitest";
import { tracer } from "../faults/scenario.ts";
import { held, network, range } from "../lab/host-local.ts";
import { heldAddresses, ours, storeFiles } from "../lab/ipam.ts";

const EIO = 5;
const ENOSPC = 28;
const FAULTS: readonly (readonly [name: string, ...words: (string | number)[]])[] = [
	["killed before it", "kill"],
	["killed after it", "kill-after"],
	["EIO", "fail", EIO],
	["ENOSPC", "fail", ENOSPC],
];

const points: Record<string, number> = {};
afterAll(() => {
	const all = Object.values(points).reduce((sum, count) => sum + count, 0);
	console.log(`host-local: ${all} faults: ${JSON.stringify(points)}`);
});

type Network = ReturnType<typeof network>;

/** One call, synchronous: there are thousands. */
function run(net: Network, verb: string, id: string, prefix: readonly string[] = []): SpawnSyncReturns<string> {
	const [program, ...args] = [...prefix, ours("host-local")];
	const valid = { "cni.dev/valid-attachments": [{ containerID: "p3", ifname: "eth0" }] };
	return spawnSync(program!, args, {
		input: JSON.stringify({ ...net.config, ...(verb === "GC" && valid) }),
		encoding: "utf8",
		timeout: 20_000,
		env: { CNI_COMMAND: verb, CNI_CONTAINERID: id, CNI_NETNS: "/none", CNI_IFNAME: "eth0", CNI_PATH: "/none" },
	});
}

function succeed(net: Network, verb: string, id: string): string {
	const { status, stdout } = run(net, verb, id);
	expect({ verb, status, stdout: status === 0 ? "" : stdout }).toEqual({ verb, status: 0, stdout: "" });
	return verb === "ADD" ? JSON.parse(stdout).ips[0].address.split("/")[0] : "";
}

/** What the files say, but for whose turn it is. */
function holdings(net: Network): Record<string, string> {
	const files = Object.entries(storeFiles(net.directory)).filter(([name]) => !name.startsWith("last_reserved_ip."));
	return Object.fromEntries(files);
}

const ofContainer = (net: Network, id: string): string[] =>
	Object.entries(holdings(net)).flatMap(([name, text]) => (text === held(id) && name !== ".berth.tmp" ? [name] : []));

/** c2 gets an address that nobody holds. */
function givesAnother(net: Network, where: string): void {
	const before = heldAddresses(net.directory);
	expect(before, where).not.toContain(succeed(net, "ADD", "c2"));
}

/** Calls `verb` for c1 with the fault at each of its calls, until there are no more; `before` and `after` each. */
function atEachCall(
	net: Network,
	verb: string,
	fault: readonly (string | number)[],
	each: { before?: () => void; after: (answer: SpawnSyncReturns<string>, where: string) => void },
): number {
	const [mode = "", ...more] = fault.map(String);
	for (let point = 1; ; point++) {
		each.before?.();
		const answer = run(net, verb, "c1", [tracer(), mode, String(point), ...more, "--"]);
		const hit = /tracer: call (.*)$/m.exec(answer.stderr)?.[1];
		each.after(answer, `${verb}, ${mode} ${more} at ${hit}: exit ${answer.status}, ${answer.stdout}`);
		if (hit === undefined) return point - 1;
	}
}

describe.each([
	["few addresses held", 5],
	["an index", 40],
])("with %s", (situation, count) => {
	const crowded = (): Network => {
		const net = network({ ranges: [[range("10.1.2.0/24")]] });
		net.put(Object.fromEntries([...Array(count).keys()].map((i) => [`10.1.2.${i + 2}`, held(`p${i + 2}`)])));
		return net;
	};

	it.each(FAULTS)(
		"ADD, %s: the address is held or free, and never given twice",
		(name, ...fault) => {
			const net = crowded();
			const base = holdings(net);
			points[`ADD, ${situation}, ${name}`] = atEachCall(net, "ADD", fault, {
				after(answer, where) {
					const mine = ofContainer(net, "c1");
					if (answer.status === 0)
						expect(mine, where).toEqual([JSON.parse(answer.stdout).ips[0].address.split("/")[0]]);
					// An error means that nothing is held. Without any answer (killed, or no stdout) DEL is to come.
					else if (answer.status === 1 && answer.stdout !== "") {
						expect({ mine, code: typeof JSON.parse(answer.stdout).code }, where).toEqual({ mine: [], code: "number" });
					}
					givesAnother(net, where);
					for (const id of ["c1", "c2"]) succeed(net, "DEL", id);
					expect(holdings(net), where).toEqual(base);
				},
			});
		},
		300_000,
	);

	it.each(FAULTS)(
		"DEL, %s: success means released, and a second DEL releases",
		(name, ...fault) => {
			const net = crowded();
			const base = holdings(net);
			points[`DEL, ${situation}, ${name}`] = atEachCall(net, "DEL", fault, {
				before: () => void succeed(net, "ADD", "c1"),
				after(answer, where) {
					if (answer.status === 0) expect(ofContainer(net, "c1"), where).toEqual([]);
					givesAnother(net, where);
					for (const id of ["c1", "c2"]) succeed(net, "DEL", id);
					expect(holdings(net), where).toEqual(base);
				},
			});
		},
		300_000,
	);

	it.each(FAULTS)(
		"GC, %s: success means released, what is valid stays",
		(name, ...fault) => {
			const net = crowded();
			const others = { ...holdings(net) };
			points[`GC, ${situation}, ${name}`] = atEachCall(net, "GC", fault, {
				before: () => net.put(Object.fromEntries(Object.entries(others).slice(0, 20))),
				after(answer, where) {
					expect(ofContainer(net, "p3"), where).toEqual(["10.1.2.3"]);
					if (answer.status === 0) expect(heldAddresses(net.directory), where).toEqual(["10.1.2.3"]);
					givesAnother(net, where);
					succeed(net, "GC", "");
					expect(holdings(net), where).toEqual({ "10.1.2.3": held("p3") });
				},
			});
		},
		300_000,
	);
});
