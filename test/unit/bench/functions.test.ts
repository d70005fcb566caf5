import { expect, test } from "vitest";
import { functionsRun, linkerScript } from "../../../scripts/bench/functions.ts";

test("what ran is told by the addresses of callgrind's output, each function once, by all of its names", () => {
	const symbols = [
		{ address: 0x1000, name: "main" },
		{ address: 0x1080, name: "one" },
		{ address: 0x1080, name: "alias" },
		{ address: 0x10c0, name: "never" },
		{ address: 0x2000, name: "last" },
	];
	const output = [
		"positions: instr line",
		"events: Ir",
		"fn=(1) 0x1084",
		"0x1084 0 3",
		"+4 0 1",
		"calls=2 0x2000 0",
		"* 0 90",
		"-136 0 7",
		"0x2010 0 45",
		"totals: 146",
	];
	expect(functionsRun(output.join("\n"), symbols)).toEqual(["one", "alias", "main", "last"]);
});

test("the linker is told of sections, whatever hash the compiler gives a name", () => {
	const script = linkerScript(["JS_Call", "_ZN5berth3end8exit_now17h0123456789abcdefE", "JS_Call", "f.part.0"]);
	const code = /\.text\.first : \{([^}]*)\}/.exec(script)![1]!;
	expect(code.match(/\*\(.*?\)/g)).toEqual(
		["JS_Call", "_ZN5berth3end8exit_now17h*", "f.part.0"].flatMap((name) => [
			`*(.text.${name})`,
			`*(.text.unlikely.${name})`,
		]),
	);
	expect(script).toContain("*(.rodata._ZN5berth3end8exit_now17h*)");
	expect(script).toMatch(/\nINSERT BEFORE \.text;\n/);
});
