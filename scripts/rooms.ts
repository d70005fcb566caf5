/**
 * The floor plan: which directory may import which, as the table of docs/architecture.md says. `node scripts/rooms.ts`
 * fails with a list of imports that it does not allow, and of cycles between directories and between files.
 *
 * Imports of types count: a type says who knows whom.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

const ROOT = join(import.meta.dirname, "..");
const PLAN = "docs/architecture.md";

interface Room {
	/** Path from the root; `*` stands for one name. */
	readonly directory: string;
	/**
	 * Directories, and modules from outside ("zod"; `node:*` for those that begin so). Its own directory needs no
	 * mention.
	 */
	readonly uses: readonly string[];
}

/** From the roof to the ground: the rows of the table. The first that fits a directory counts. */
const ROOMS: readonly Room[] = readFileSync(join(ROOT, PLAN), "utf8")
	.matchAll(/^\| `(\S+)\/` \| .* \| (.*) \|$/gm)
	.map(([, directory, uses]) => ({ directory: directory!, uses: [...uses!.matchAll(/[^`, ]+/g)].map(String) }))
	.toArray();

/** Files that must not be where the rule does not reach: the root has only configuration. */
const ROOT_FILES = new Set(["vitest.config.ts", "package.json"]);
/** Tests import what they test. */
const isTest = (file: string): boolean => file.startsWith("test/") && !/^test\/(lab|vm)\//.test(file);
/** The only importers of what a whole room would otherwise see. */
const ONLY_IMPORTERS: Readonly<Record<string, RegExp>> = {
	"native:sys": /^lib\/sys\/sys\.ts$/,
	zod: /schema\.ts$|^ipam\/fields\.ts$|^scripts\/build\//,
};

interface Import {
	readonly from: string;
	/** A file's path from the root, or a module's name. */
	readonly to: string;
	readonly isFile: boolean;
}

/** Every import in the TypeScript files of the rooms. Throws for one that leads to no file. */
export function findImports(root: string): Import[] {
	const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "*.ts"], {
		cwd: root,
		encoding: "utf8",
	});
	const found: Import[] = [];
	for (const from of files.trim().split("\n")) {
		if (isTest(from) || !existsSync(join(root, from))) continue;
		for (const specifier of specifiers(readFileSync(join(root, from), "utf8"))) {
			const isFile = specifier.startsWith(".");
			const to = isFile ? normalize(join(dirname(from), specifier)) : specifier;
			if (isFile && !existsSync(join(root, to))) throw new Error(`${from} imports ${specifier}, which is no file`);
			found.push({ from, to, isFile });
		}
	}
	return found;
}

/**
 * As the formatter writes imports: `import ... from "x"`, `} from "x"`, `export ... from "x"`, `import "x"`; or
 * awaited.
 */
function specifiers(source: string): string[] {
	const patterns = [
		/^(?:import|export|\}) ?[^"'`\n]*?from "([^"\n]+)"/gm,
		/^import "([^"\n]+)"/gm,
		/await import\("([^"\n]+)"\)/g,
	];
	return patterns.flatMap((pattern) => [...source.matchAll(pattern)].map((match) => match[1]!));
}

const matches = (pattern: string, name: string): boolean =>
	new RegExp(`^${pattern.replaceAll("*", pattern.includes(":") ? ".*" : "[^/]+")}$`).test(name);

/** What the plan does not allow, a sentence each. */
export function violations(imports: readonly Import[]): string[] {
	const found: string[] = [];
	for (const { from, to, isFile } of imports) {
		const directory = dirname(from);
		const target = isFile ? dirname(to) : to;
		if (ROOT_FILES.has(from) || ROOT_FILES.has(to) || directory === target) continue;
		const room = ROOMS.find((room) => matches(room.directory, directory));
		if (room === undefined) found.push(`${from}: there is no room ${directory} in ${PLAN}`);
		else if (!room.uses.some((each) => matches(each, target))) found.push(`${from}: ${directory} may not import ${to}`);
		else if (ONLY_IMPORTERS[to] && !ONLY_IMPORTERS[to].test(from)) found.push(`${from} may not import ${to}`);
	}
	return found;
}

/** Groups of nodes that reach each other, sorted. */
export function cycles(edges: readonly (readonly [from: string, to: string])[]): string[][] {
	const next = Map.groupBy(
		edges.filter(([from, to]) => from !== to),
		([from]) => from,
	);
	const reachable = (node: string, reached = new Set<string>()): Set<string> => {
		for (const [, to] of next.get(node) ?? []) {
			if (!reached.has(to)) reachable(to, reached.add(to));
		}
		return reached;
	};
	const reach = new Map([...next.keys()].map((node) => [node, reachable(node)]));
	const groups = [...reach]
		.filter(([node, reached]) => reached.has(node))
		.map(([node, reached]) => [...reached].filter((other) => reach.get(other)?.has(node)).sort());
	return [...new Map(groups.map((group) => [group.join(" "), group])).values()];
}

export const fileCycles = (imports: readonly Import[]): string[][] =>
	cycles(imports.filter(({ isFile }) => isFile).map(({ from, to }) => [from, to]));
export const directoryCycles = (imports: readonly Import[]): string[][] =>
	cycles(imports.filter(({ isFile }) => isFile).map(({ from, to }) => [dirname(from), dirname(to)]));

/** The executable's rooms as a house: each storey imports from the storeys below it. */
export function planPicture(): string {
	const rooms = ROOMS.filter(({ directory }) => !/^(scripts|test)\b/.test(directory));
	const height = (room: Room): number => {
		const below = rooms.filter((other) => other !== room && room.uses.includes(other.directory));
		return below.length === 0 ? 0 : 1 + Math.max(...below.map(height));
	};
	const top = Math.max(...rooms.map(height));
	const storeys = Array.from({ length: top + 1 }, (_, storey) => rooms.filter((room) => height(room) === top - storey));
	const lines = storeys.map((storey) => storey.map(({ directory }) => `[ ${directory} ]`).join("   "));
	const width = Math.max(...lines.map((line) => line.length));
	const centred = [...lines, "-".repeat(width), "runtime/ (the Rust host)"].map(
		(line) => " ".repeat((width - line.length) / 2) + line,
	);
	return ["```", ...centred, "```"].join("\n");
}

if (import.meta.main) {
	const imports = findImports(ROOT);
	const wrong = [
		...violations(imports),
		...directoryCycles(imports).map((group) => `directories import each other: ${group.join(", ")}`),
		...fileCycles(imports).map((group) => `files import each other: ${group.join(", ")}`),
	];
	for (const sentence of wrong) console.error(sentence);
	if (wrong.length > 0) process.exitCode = 1;
}
