/**
 * Which functions of the host calls run, for the linker: they lie together then, and a page fault, which maps the 16
 * pages around, maps those that are needed next.
 */
import { join } from "node:path";
import { execaSync } from "execa";

/** Read by the linker beside its own script: see runtime/build.rs. */
export const ORDER = join(import.meta.dirname, "../../runtime/first.ld");

interface Symbol {
	readonly address: number;
	readonly name: string;
}

/** The functions of an executable that is not stripped, by address. */
export function symbolsOf(executable: string): Symbol[] {
	const { stdout } = execaSync("nm", ["--defined-only", "--numeric-sort", executable]);
	return Array.from(stdout.matchAll(/^([0-9a-f]+) [tTwW] (\S+)$/gm), ([, address, name]) => ({
		address: Number.parseInt(address!, 16),
		name: name!,
	}));
}

/**
 * The functions with an instruction that was run, in the order of callgrind's output: `--dump-instr=yes`, of which a
 * line of cost is an address (`0x...`, `+N`, `-N`, or `*` for the same), a line and a count. Source: valgrind's manual,
 * "Callgrind Format Specification".
 */
export function functionsRun(output: string, symbols: readonly Symbol[]): string[] {
	const found = new Set<string>();
	let address = 0;
	for (const [, absolute, relative] of output.matchAll(/^(?:(0x[0-9a-f]+)|([+-]\d+)|\*) \S+ \d+$/gm)) {
		address = absolute === undefined ? address + Number(relative ?? 0) : Number(absolute);
		const at = address;
		const symbol = symbols.findLast((each) => each.address <= at);
		if (symbol !== undefined) found.add(symbol.name);
	}
	return [...found];
}

/** Each function has a section of its own; the hash at the end of a name of Rust's is another with each compiler. */
export function linkerScript(names: readonly string[]): string {
	const sections = names.map((name) => `*(.text.${name.replace(/(17h)[0-9a-f]{16}E.*$/, "$1*")})`);
	return `/* Made by \`npm run bench:guest -- --update\` (scripts/bench/functions.ts): what VERSION, ADD and DEL of sriov and
   rdma run, in one place. A name that is none any more does no harm. */
SECTIONS
{
	.text.first : {
		${[...new Set(sections)].join("\n\t\t")}
	}
}
INSERT BEFORE .text;
`;
}
