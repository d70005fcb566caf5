/**
 * What the documentation tells people to type, to look at and to look for is there: commands with their flags, files,
 * headings, sentences of errors.
 *
 * Commands are the lines of blocks ```sh, those behind "$ " in blocks ```console, and `berth ...` in a sentence. A
 * block whose programs are not of this repository is marked with what it needs: ```sh cluster, ```sh node.
 */
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { Code } from "../../lib/cni/error.ts";
import { scripts } from "../../package.json";
import { builtBinaries } from "../lab/executables.ts";

const ROOT = join(import.meta.dirname, "../..");
const PAGES = globSync(["*.md", "docs/*.md", "examples/**/*.md"], { cwd: ROOT }).sort();
/** Those that people call. (`rdma` in the docs is iproute2's.) */
const PROGRAMS = ["berth", "dhcp", "whereabouts"];
const MARKS = ["cluster", "node"];

interface Block {
	readonly page: string;
	readonly line: number;
	readonly language: string;
	readonly marks: readonly string[];
	readonly lines: readonly string[];
}

const read = (page: string): string => readFileSync(join(ROOT, page), "utf8");

function blocksOf(page: string): Block[] {
	const found: Block[] = [];
	let open: { line: number; info: string; lines: string[] } | undefined;
	for (const [index, line] of read(page).split("\n").entries()) {
		const fence = /^```(.*)$/.exec(line);
		if (fence === null) open?.lines.push(line);
		else if (open === undefined) open = { line: index + 1, info: fence[1]!, lines: [] };
		else {
			const [language = "", ...marks] = open.info.split(" ");
			found.push({ page, line: open.line, language, marks, lines: open.lines });
			open = undefined;
		}
	}
	expect(open, page).toBeUndefined();
	return found;
}

/** The words of each program call, without comments, variables that are set, and where output goes. */
function commandsOf({ language, lines }: Block): string[][] {
	const typed = language === "sh" ? lines : lines.filter((line) => line.startsWith("$ ")).map((line) => line.slice(2));
	return typed
		.map((line) => line.replace(/(^|\s)#.*$/, ""))
		.flatMap((line) => line.split(/&&|\|\|?|;/))
		.map((call) =>
			call
				.replace(/\d?[<>]+ ?\S+/g, "")
				.trim()
				.split(/\s+/),
		)
		.filter(([first]) => first !== undefined && first !== "");
}

const blocks = PAGES.flatMap(blocksOf).filter(({ language }) => language === "sh" || language === "console");

/** `berth ...` and the like in the text, as words. */
function inlineCommands(page: string): string[][] {
	const text = read(page).replace(/^```[\s\S]*?^```$/gm, "");
	const quoted = [...text.matchAll(/`([^`\n]+)`/g)].map(([, code]) => code!.split(/\s+/));
	return quoted.filter(([first = "", second]) => isOurs(first) && second !== undefined && /^[a-z]+$/.test(second));
}

const nameOf = (path: string): string => path.replace(/^(\/opt\/cni\/bin|\.|dist\/bin)\//, "");
const isOurs = (path: string): boolean => PROGRAMS.includes(nameOf(path));

const helps = new Map<string, Promise<string>>();
function helpOf(words: readonly string[]): Promise<string> {
	const key = words.join(" ");
	const help =
		helps.get(key) ??
		execa(join(builtBinaries, words[0]!), [...words.slice(1), "--help"], { reject: false }).then(
			({ stdout }) => stdout,
		);
	helps.set(key, help);
	return help;
}

/** Throws where the executable knows no such command, or no such flag of it. */
async function expectKnown(words: readonly string[], where: string): Promise<void> {
	const [first, ...rest] = [nameOf(words[0]!), ...words.slice(1)];
	if (first === "berth" && PROGRAMS.includes(rest[0] ?? "")) return expectKnown(rest, where);
	if (rest[0] === "--version") return;
	const path = [first];
	const args = rest.filter((arg) => arg !== "--help");
	for (const arg of args) {
		if (!/^[a-z]+$/.test(arg)) break;
		// A word is a command's name as long as the help for it is another.
		if (!(await helpOf([...path, arg])).startsWith(`usage: ${[...path, arg].join(" ")}`)) break;
		path.push(arg);
	}
	const help = await helpOf(path);
	expect(path.length, `${where}: ${words.join(" ")}`).toBeGreaterThan(1);
	for (const arg of args) {
		const flag = /^(--?[a-z][\w-]*)/.exec(arg)?.[1];
		if (flag !== undefined)
			expect(help, `${where}: ${words.join(" ")}`).toMatch(new RegExp(`(^|[\\s[|(])-?${flag}\\b`));
	}
}

/** Throws where package.json has no such script, or its file no such flag. */
function expectScript(words: readonly string[], where: string): void {
	if (words[1] === "ci") return;
	const { [words[2]!]: script } = scripts as Record<string, string>;
	expect(script, `${where}: ${words.join(" ")}`).toBeDefined();
	const file = /scripts\/\S+\.ts/.exec(script!)?.[0];
	for (const flag of words.filter((word) => /^--./.test(word)))
		expect(read(file!), `${where}: ${words.join(" ")}`).toContain(flag.slice(2));
}

describe("commands", () => {
	test.each(blocks)("$page:$line", async (block) => {
		const { page, line, marks } = block;
		const commands = commandsOf(block);
		expect(commands.length).toBeGreaterThan(0);
		expect(MARKS).toEqual(expect.arrayContaining([...marks]));
		for (const words of commands) {
			const [first = ""] = words;
			const where = `${page}:${line}`;
			if (isOurs(first)) await expectKnown(words, where);
			else if (first === "npm") expectScript(words, where);
			else if (first.startsWith("./")) expect(existsSync(join(ROOT, first)), `${where}: ${first}`).toBe(true);
			else expect(marks, `${where}: ${first} is not of this repository`).not.toEqual([]);
		}
	});

	test.each(PAGES)("in the sentences of %s", async (page) => {
		for (const words of inlineCommands(page)) await expectKnown(words, page);
	});
});

test.each(PAGES)("%s: no block without a language has a command in it", (page) => {
	for (const { language, lines, line } of blocksOf(page))
		if (language === "") expect(lines.join("\n"), `${page}:${line}`).not.toMatch(/^(\$ |npm |berth |kubectl )/m);
});

/** As GitHub makes it of a heading. */
const anchor = (heading: string): string =>
	heading
		.toLowerCase()
		.replace(/[^\w\s-]/g, "")
		.trim()
		.replaceAll(" ", "-");

test.each(PAGES)("%s: what it links to is there", (page) => {
	for (const [, target] of read(page).matchAll(/\]\(([^)\s]+)\)/g)) {
		if (/^[a-z]+:/.test(target!)) continue;
		const [path = "", fragment] = target!.split("#");
		const file = path === "" ? page : normalize(join(dirname(page), path));
		expect(existsSync(join(ROOT, file)), `${page}: ${target}`).toBe(true);
		if (fragment === undefined) continue;
		const headings = [...read(file).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchor(heading!));
		expect(headings, `${page}: ${target}`).toContain(fragment);
	}
});

test.each(PAGES)("%s: files of the repository that it names are there", (page) => {
	const named = read(page).matchAll(
		/`((?:commands|docs|examples|ipam|lib|manifests|plugins|runtime|schemas|scripts|test)\/[\w./-]+)`/g,
	);
	for (const [, path] of named) expect(existsSync(join(ROOT, path!)), `${page}: ${path}`).toBe(true);
});

test("docs/operations.md: says of every code what to do", () => {
	const table = read("docs/operations.md").split("## Errors by code")[1]!.split("\n## ")[0]!;
	const codes = [...table.matchAll(/^\| (\d+) \|/gm)].map(([, code]) => Number(code));
	expect(codes).toEqual(Object.values(Code));
});

test("docs/operations.md: the errors that it tells what to do about are sentences of the code", () => {
	const sources = globSync("{commands,ipam,lib,plugins}/**/*.ts", { cwd: ROOT }).map(read).join("\n");
	const table = read("docs/operations.md").split("## By sentence")[1]!;
	const rows = table.split("\n").filter((line) => line.startsWith("| `"));
	expect(rows.length).toBeGreaterThan(10);
	for (const row of rows) {
		const sentences = row.split(" | ")[0]!.matchAll(/`([^`]+)`/g);
		// What stands between placeholders, with the quotes of quote() as the code has them.
		for (const [, sentence] of sentences)
			for (const part of sentence!.split(/ ?(?:\.\.\.|<\w+>) ?/).filter(Boolean))
				expect(sources.includes(part), `${row.slice(0, 60)}: ${part}`).toBe(true);
	}
});
