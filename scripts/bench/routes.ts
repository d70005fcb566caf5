/**
 * What ADD and CHECK of static cost with 1,000 routes and 100 addresses of both families: ours and Go's in turn. Our
 * CHECK looks at the interface, which has them all; Go's compares the addresses with prevResult.
 *
 *   npm run bench:routes [-- --executable PATH] [--rounds N]
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { executableOf, positive, print } from "./command.ts";
import { countInstructions, trace } from "./counts.ts";
import { type Call, Laboratory, MAKERS, type Maker } from "./laboratory.ts";
import { type Run, runTimer, spread } from "./timing.ts";

const VERBS = ["ADD", "CHECK"] as const;
/** The most of Go's CPU time. */
const GOAL = 0.6;

const numbers = (count: number) => Array.from({ length: count }, (_, index) => index);
const ADDRESSES = numbers(50).flatMap((n) => [
	{ address: `10.1.${n}.3/24`, gateway: `10.1.${n}.1` },
	{ address: `2001:db8:1:${n.toString(16)}::3/64`, gateway: `2001:db8:1:${n.toString(16)}::1` },
]);
const ROUTES = numbers(500).flatMap((n) => [
	{ dst: `10.${64 + (n >> 8)}.${n & 255}.0/24`, gw: `10.1.${n % 50}.1` },
	{ dst: `2001:db8:f${n.toString(16)}::/48`, gw: `2001:db8:1:${(n % 50).toString(16)}::1` },
]);
const ipam = { type: "static", addresses: ADDRESSES, routes: ROUTES };

/** The interface with all of it, as ADD of a main plugin leaves it. */
function furnish(laboratory: Laboratory): void {
	const lines = [
		"link add net1 type veth peer name far",
		"link set far up",
		"link set net1 up",
		...ADDRESSES.map(({ address }) => `address add ${address} dev net1${address.includes(":") ? " nodad" : ""}`),
		...ROUTES.map(({ dst, gw }) => `route add ${dst} via ${gw} dev net1`),
	];
	execFileSync("nsenter", [`--net=${join(laboratory.state, "netns")}`, "ip", "-batch", "-"], {
		input: `${lines.join("\n")}\n`,
		stdio: ["pipe", "inherit", "inherit"],
	});
}

function callOf(laboratory: Laboratory, maker: Maker, verb: (typeof VERBS)[number]): Call {
	const prevResult = {
		cniVersion: "1.0.0",
		interfaces: [{ name: "net1", sandbox: join(laboratory.state, "netns") }],
		ips: ADDRESSES.map((each) => ({ ...each, interface: 0 })),
		routes: ROUTES,
	};
	return laboratory.call(verb, maker, "static", { ipam, ...(verb === "CHECK" && { prevResult }) });
}

await print(async () => {
	const { values } = parseArgs({
		options: { executable: { type: "string" }, rounds: { type: "string", default: "60" } },
	});
	using laboratory = await Laboratory.open(executableOf(values.executable));
	furnish(laboratory);
	const all = VERBS.flatMap((verb) => MAKERS.map((maker) => ({ verb, maker, call: callOf(laboratory, maker, verb) })));
	const calls = all.map(({ call }) => call);
	const runs = await runTimer(laboratory.programs, calls, positive("rounds", values.rounds));
	const median = (index: number, key: keyof Run) => spread(runs[index]!, key).median;
	const rows = all.map(({ verb, maker, call }, index) => {
		const instructions = maker === "Go" ? "" : countInstructions(laboratory, call, 0).value.toLocaleString("en");
		const times = `${median(index, "cpuMs").toFixed(1)} ms | ${median(index, "wallMs").toFixed(1)} ms`;
		const memory = `${median(index, "memoryMb").toFixed(1)} MB`;
		const { total } = trace(laboratory, call, 0).value;
		return `| ${verb}, ${maker} | ${times} | ${memory} | ${total} | ${instructions} |`;
	});
	const verdicts = VERBS.map((verb, index) => {
		const ratio = median(2 * index, "cpuMs") / median(2 * index + 1, "cpuMs");
		return `${verb}: ${ratio.toFixed(2)} of Go's CPU time, goal ${GOAL}: ${ratio <= GOAL ? "met" : "NOT MET"}`;
	});
	return [
		"| static, 1,000 routes, 100 addresses | CPU | wall | memory | system calls | instructions |",
		"|---|---:|---:|---:|---:|---:|",
		...rows,
		...verdicts,
	].join("\n");
});
