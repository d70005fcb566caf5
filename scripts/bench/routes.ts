/**
 * What ADD and CHECK of static cost with 1,000 routes and 100 addresses of both families: ours and Go's in turn. Our
 * CHECK looks at the interface, which has them all; Go's compares the addresses with prevResult.
 *
 *   npm run bench:routes [-- --executable PATH] [--rounds N]
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { countInstructions, trace } from "./counts.ts";
import { type Call, Laboratory, type Maker } from "./laboratory.ts";
import { type Run, runTimer, spreadOf } from "./timing.ts";

const ROOT = join(import.meta.dirname, "../..");
const MAKERS: readonly Maker[] = ["ours", "Go"];
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

const { values } = parseArgs({
	options: { executable: { type: "string" }, rounds: { type: "string", default: "60" } },
});
using laboratory = await Laboratory.open(values.executable ?? join(ROOT, "dist/bin/berth"), join(ROOT, "build"));
furnish(laboratory);
const all = VERBS.flatMap((verb) => MAKERS.map((maker) => ({ verb, maker, call: callOf(laboratory, maker, verb) })));
const runs = await runTimer(
	laboratory.programs,
	all.map(({ call }) => call),
	Number(values.rounds),
);
console.log("| static, 1,000 routes, 100 addresses | CPU | wall | memory | system calls | instructions |");
console.log("|---|---:|---:|---:|---:|---:|");
const cpu = all.map(({ verb, maker, call }, index) => {
	const median = (key: keyof Run) => spreadOf(runs[index]!.map((each) => each[key])).median;
	const calls = trace(laboratory, call, 0).value.total;
	const instructions = maker === "Go" ? "" : countInstructions(laboratory, call, 0).value.toLocaleString("en");
	const cells = [`${median("cpuMs").toFixed(1)} ms`, `${median("wallMs").toFixed(1)} ms`];
	cells.push(`${median("memoryMb").toFixed(1)} MB`, String(calls), instructions);
	console.log(`| ${verb}, ${maker} | ${cells.join(" | ")} |`);
	return median("cpuMs");
});
for (const [index, verb] of VERBS.entries()) {
	const ratio = cpu[2 * index]! / cpu[2 * index + 1]!;
	const verdict = ratio <= GOAL ? "met" : "NOT MET";
	console.log(`${verb}: ${ratio.toFixed(2)} of Go's CPU time, goal ${GOAL}: ${verdict}`);
}
