/**
 * The floor plan: which directory may import which. `node scripts/rooms.ts` fails with a list of imports that it does
 * not allow, and of cycles between directories and between files. docs/architecture.md shows it.
 *
 * Imports of types count: a type says who knows whom.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

interface Room {
	/** Path from the root; `*` stands for one name. */
	readonly directory: string;
	readonly what: string;
	/**
	 * Directories, and modules from outside ("zod"; `node:*` for those that begin so). Its own directory needs no
	 * mention.
	 */
	readonly uses: readonly string[];
}

/** What every plugin may build on. */
const LIBRARIES = ["lib/plugin", "lib/cni", "lib/linux", "lib/netlink", "lib/ip", "lib/sys"];

/** From the roof to the ground. */
const ROOMS: readonly Room[] = [
	{
		directory: "commands",
		what: "the executable: the table of plugins (generated), the table of operators' commands, and which of them a name means",
		uses: ["commands/*", "plugins/*", "ipam/*", "lib/state", "lib/store", "lib/plugin", "lib/cni", "lib/ip", "lib/sys"],
	},
	{
		directory: "commands/validate",
		what: "`berth validate`: documents as trees with places, what the protocol and the plugins refuse, and what is most often a slip",
		uses: ["plugins/*", "ipam/*", "lib/plugin", "lib/cni", "lib/ip", "lib/sys", "validator:*", "yaml"],
	},
	{
		directory: "commands/install",
		what: "`berth install`, `uninstall`, `verify`, `version`: the executable's own files on a node, and what whereabouts knows the API server by",
		uses: ["lib/kube", "lib/plugin", "lib/cni", "lib/sys", "smol-toml"],
	},
	{
		directory: "commands/*",
		what: "a command of operators that is more than one file",
		uses: ["plugins/*", "ipam/*", "lib/rdma", "lib/state", ...LIBRARIES, "zod"],
	},
	{
		directory: "plugins/*",
		what: "main plugins: `main.ts`, `schema.ts` and `config.ts`, a file for each verb, and files named after what they share",
		uses: ["lib/rdma", "lib/state", ...LIBRARIES, "validator:*", "zod"],
	},
	{
		directory: "ipam/*",
		what: "IPAM plugins: the same files",
		uses: ["ipam", "ipam/dhcp/*", "lib/kube", "lib/state", "lib/store", ...LIBRARIES, "validator:*", "zod"],
	},
	{
		directory: "ipam/dhcp/daemon",
		what: "`dhcp daemon`: leases, their journal, the socket that plugins ask",
		uses: ["ipam/dhcp/wire", "lib/loop", "lib/plugin", "lib/cni", "lib/linux", "lib/netlink", "lib/ip", "lib/sys"],
	},
	{
		directory: "ipam/dhcp/wire",
		what: "DHCP messages and options. Pure",
		uses: ["lib/cni", "lib/ip", "lib/sys"],
	},
	{ directory: "ipam", what: "fields that IPAM configurations share", uses: ["lib/cni", "lib/ip", "zod"] },
	{
		directory: "lib/rdma",
		what: "RDMA devices of attachments: which one, its way into a pod and back, its name and quality of service; rdma's records, and its lock",
		uses: ["lib/state", ...LIBRARIES, "zod"],
	},
	{
		directory: "lib/state",
		what: "records of attachments: a directory of them, what a damaged one says, whether its sandbox is still there",
		uses: ["lib/plugin", "lib/cni", "lib/sys"],
	},
	{
		directory: "lib/store",
		what: "addresses that this node hands out, a file for each (the Go plugin host-local's format), with an index; which one comes next",
		uses: ["lib/plugin", "lib/cni", "lib/ip", "lib/sys"],
	},
	{
		directory: "lib/kube",
		what: "the Kubernetes API: kubeconfig, questions, refusals",
		uses: ["lib/http", "lib/cni", "lib/sys", "yaml"],
	},
	{
		directory: "lib/plugin",
		what: "what plugins share: process entry, delegation, undo, log, locks of verbs, the pod's side, addresses and routes on an interface",
		uses: ["lib/cni", "lib/linux", "lib/netlink", "lib/ip", "lib/sys"],
	},
	{
		directory: "lib/cni",
		what: "the protocol: dispatch, versions, results, errors, CNI_ARGS, configuration. Nothing of Linux",
		uses: ["lib/ip", "validator:*", "zod"],
	},
	{
		directory: "lib/linux",
		what: "network namespaces, PCI and SR-IOV in sysfs, announcements (ARP, NDP). Throws system errors only, knows no CNI",
		uses: ["lib/netlink", "lib/ip", "lib/sys"],
	},
	{
		directory: "lib/netlink",
		what: "wire constants, message codec, sockets; links, VF settings, addresses, routes, RDMA",
		uses: ["lib/ip", "lib/sys"],
	},
	{
		directory: "lib/http",
		what: "a client of one HTTPS server: names (DNS), connections, HTTP/1.1. Knows no CNI",
		uses: ["lib/ip", "lib/sys"],
	},
	{ directory: "lib/loop", what: "an event loop over poll(2), for processes that stay", uses: ["lib/sys"] },
	{ directory: "lib/ip", what: "addresses, CIDRs, ranges, MACs. Pure", uses: ["lib/sys"] },
	{
		directory: "lib/sys",
		what: "the native module and what is nearest to it: files, locks and who holds them, boot, sysctl. `sys.ts` is its only importer",
		uses: ["native:sys"],
	},
	{
		directory: "scripts",
		what: "what people run: build, generate, demo, test, bench, release, rooms",
		uses: ["scripts/*", "test/lab", "plugins/*", "lib/cni", "node:*"],
	},
	{ directory: "scripts/bench", what: "measurements and their report", uses: ["scripts/build", "test/lab", "node:*"] },
	{
		directory: "scripts/release",
		what: "a release's parts: the tarball, and the list of what is linked into the executable (SBOM)",
		uses: ["scripts/build", "node:*"],
	},
	{ directory: "scripts/demonstration", what: "the demo's parts", uses: ["test/lab", "node:*"] },
	{
		directory: "scripts/build",
		what: "TypeScript to a bundle, a heap image and an executable; validators from zod schemas",
		uses: ["lib/cni", "esbuild", "zod", "node:*"],
	},
	{
		directory: "test/vm",
		what: "the test guest: what it boots from, and `test/vm/guest` for hand use",
		uses: ["test/lab", "node:*"],
	},
	{
		directory: "test/lab",
		what: "the guest, peers, pods: what tests, demo and bench share",
		uses: ["scripts/build", "node:*", "vitest", "vitest/node", "execa", "yaml"],
	},
];

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
			if (!specifier.startsWith(".")) {
				found.push({ from, to: specifier, isFile: false });
				continue;
			}
			const to = normalize(join(dirname(from), specifier));
			if (!existsSync(join(root, to))) throw new Error(`${from} imports ${specifier}, which is no file`);
			found.push({ from, to, isFile: true });
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
	pattern === name ||
	(pattern.includes("*") &&
		new RegExp(`^${pattern.replaceAll("*", pattern.includes(":") ? ".*" : "[^/]+")}$`).test(name));

const roomOf = (directory: string): Room | undefined => ROOMS.find((room) => matches(room.directory, directory));

/** What the plan does not allow, a sentence each. */
export function violations(imports: readonly Import[]): string[] {
	const found: string[] = [];
	for (const { from, to, isFile } of imports) {
		const directory = dirname(from);
		const target = isFile ? dirname(to) : to;
		if (ROOT_FILES.has(from) || ROOT_FILES.has(to) || directory === target) continue;
		const room = roomOf(directory);
		if (room === undefined) found.push(`${from}: there is no room ${directory} in scripts/rooms.ts`);
		else if (!room.uses.some((each) => matches(each, target))) found.push(`${from}: ${directory} may not import ${to}`);
		else if (ONLY_IMPORTERS[to] && !ONLY_IMPORTERS[to].test(from)) found.push(`${from} may not import ${to}`);
	}
	return found;
}

/** Groups of nodes that reach each other, sorted. */
export function cycles(edges: Iterable<readonly [from: string, to: string]>): string[][] {
	const next = new Map<string, Set<string>>();
	for (const [from, to] of edges) {
		if (from === to) continue;
		next.set(from, (next.get(from) ?? new Set()).add(to));
	}
	const reach = new Map([...next.keys()].map((node) => [node, reachable(next, node)]));
	const groups = new Map<string, string[]>();
	for (const [node, reached] of reach) {
		if (!reached.has(node)) continue;
		const group = [...reached].filter((other) => reach.get(other)?.has(node)).sort();
		groups.set(group.join(" "), group);
	}
	return [...groups.values()];
}

function reachable(next: ReadonlyMap<string, ReadonlySet<string>>, start: string): Set<string> {
	const reached = new Set<string>();
	const queue = [...(next.get(start) ?? [])];
	for (let node = queue.pop(); node !== undefined; node = queue.pop()) {
		if (reached.has(node)) continue;
		reached.add(node);
		queue.push(...(next.get(node) ?? []));
	}
	return reached;
}

export const fileCycles = (imports: readonly Import[]): string[][] =>
	cycles(imports.filter(({ isFile }) => isFile).map(({ from, to }) => [from, to] as const));
export const directoryCycles = (imports: readonly Import[]): string[][] =>
	cycles(imports.filter(({ isFile }) => isFile).map(({ from, to }) => [dirname(from), dirname(to)] as const));

/** The plan as a table. */
export function planTable(): string {
	const code = (names: readonly string[]): string => names.map((name) => `\`${name}\``).join(", ") || "-";
	return [
		"| directory | what is in it | may import |",
		"|---|---|---|",
		...ROOMS.map(({ directory, what, uses }) => `| \`${directory}/\` | ${what} | ${code(uses)} |`),
	].join("\n");
}

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
	const centred = lines.map((line) => " ".repeat((width - line.length) / 2) + line);
	return ["```", ...centred, "-".repeat(width), `${" ".repeat((width - 24) / 2)}runtime/ (the Rust host)`, "```"].join(
		"\n",
	);
}

function main(): number {
	const imports = findImports(join(import.meta.dirname, ".."));
	const wrong = [
		...violations(imports),
		...directoryCycles(imports).map((group) => `directories import each other: ${group.join(", ")}`),
		...fileCycles(imports).map((group) => `files import each other: ${group.join(", ")}`),
	];
	for (const sentence of wrong) console.error(sentence);
	return wrong.length > 0 ? 1 : 0;
}

if (import.meta.main) process.exitCode = main();
