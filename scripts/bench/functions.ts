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
		const start = symbols.findLast((each) => each.address <= at)?.address;
		// All names of it: the section has one of them.
		for (const symbol of symbols) if (symbol.address === start) found.add(symbol.name);
	}
	return [...found];
}

/**
 * What calls run that callgrind does not tell: the C library's assembly, in files of one function, and its last one,
 * which does not return.
 */
const UNTOLD = ["crt1", "__set_thread_area", "memcpy", "memmove", "memset", "_Exit"];
/** What calls read that belongs to no function: the engine's constants but its lists of builtins, and ours. */
const CONSTANTS = [
	"*quickjs.o(.rodata.cst* .rodata.str* .rodata.*.str* .rodata.dispatch_table* .rodata.typed_array* .rodata.digits*)",
	"*dtoa.o(.rodata .rodata.*) *libregexp.o(.rodata .rodata.*) *(.rodata._ZN5berth*)",
	"*berth*.o(.rodata.cst*)",
];

/**
 * Each function has a section of its own, and so has the table that it jumps by; the hash at the end of a name of
 * Rust's is another with each compiler.
 */
export function linkerScript(names: readonly string[]): string {
	const known = new Set(names.map((name) => name.replace(/(17h)[0-9a-f]{16}E.*$/, "$1*")));
	const code = Array.from(known, (name) => `*(.text.${name}) *(.text.unlikely.${name})`);
	const constants = Array.from(known, (name) => `*(.rodata.${name})`);
	const lines = (patterns: readonly string[]) =>
		patterns
			.join(" ")
			.replace(/(.{1,110}\S*)(?: |$)/g, "$1\n\t\t")
			.trimEnd();
	return `/* Made by \`npm run bench:guest -- --update\` (scripts/bench/functions.ts): what VERSION, ADD and DEL of sriov and
   rdma run, in one place, and what it reads. A name that is none any more does no harm. */
SECTIONS
{
	.text.first : {
		${lines([...UNTOLD.map((file) => `*${file}.*o(.text .text.*)`), ...code])}
	}
}
INSERT BEFORE .text;
SECTIONS
{
	.rodata.first : {
		${lines([...CONSTANTS, ...constants])}
	}
}
INSERT AFTER .rodata;
`;
}
