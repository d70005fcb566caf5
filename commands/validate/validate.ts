/**
 * `berth validate`: what is wrong with networks' configurations, before a pod finds out.
 */
import { sentence } from "../../lib/cni/failures.ts";
import { type Command, printAnswer } from "../../lib/plugin/command.ts";
import { FlagError, parseCommandLine } from "../../lib/plugin/flags.ts";
import { isDirectory, listIfPresent } from "../../lib/sys/files.ts";
import * as sys from "../../lib/sys/sys.ts";
import { checkText, type Findings } from "./objects.ts";
import type { Problem } from "./problem.ts";

export const validate: Command = {
	about: "finds mistakes in NetworkAttachmentDefinitions, conflists and confs",
	synopsis: "[--strict] [--json] FILE...",
	help: `Reads NetworkAttachmentDefinitions (YAML of several documents, JSON, lists; other objects are passed over), conflists
and confs, and prints every problem with its file, line, column, path and a hint. "-" is stdin. Of a directory, all files
below it count whose names end with .yaml, .yml, .json, .conf or .conflist. Looks at nothing else on this machine.

An error is refused by the runtime or by ADD, a warning is legal and most often a slip. Of plugins that are not in this
executable only what all have in common is checked, and their ipam where it is one of ours. Exit status 1 where there are
errors; warnings alone give 0.

  --strict  warnings give exit status 1, too
  --json    prints JSON
`,
	run: validateFiles,
};

/** etcd holds no object above 1.5 MiB; a file may have several. */
const MAX_BYTES = 4 * 1024 * 1024;
const STDIN = 0;
const NAMES = /\.(ya?ml|json|conf|conflist)$/;

function validateFiles(args: readonly string[]): number {
	const { flags, operands } = parseCommandLine(args, { strict: false, json: false });
	if (operands.length === 0) throw new FlagError("no file is named");
	const findings: Findings = { problems: [], networks: 0, unchecked: new Set() };
	const files = [...new Set(operands.flatMap((path) => orReport(path, findings, [], () => filesAt(path))))];
	for (const file of files) orReport(file, findings, undefined, () => checkText(file, readText(file), findings));
	const { networks } = findings;
	const problems = inOrder(findings.problems);
	const errors = problems.filter(({ severity }) => severity === "error").length;
	const unchecked = [...findings.unchecked].sort();
	printAnswer(flags.json, { problems, files: files.length, networks, unchecked }, () =>
		textOf(problems, files.length, networks, unchecked),
	);
	return errors > 0 || (flags.strict && problems.length > 0) ? 1 : 0;
}

/** File by file, as they were read, and from the top. */
function inOrder(problems: readonly Problem[]): Problem[] {
	const order = new Map(problems.map(({ file }, index) => [file, index]));
	return problems.toSorted((a, b) => order.get(a.file)! - order.get(b.file)! || a.line - b.line || a.column - b.column);
}

/** What `read` makes of a file; `otherwise`, and a problem, where it cannot be read. */
function orReport<T>(file: string, { problems }: Findings, otherwise: T, read: () => T): T {
	try {
		return read();
	} catch (error) {
		problems.push({ severity: "error", file, line: 0, column: 0, path: "", message: sentence(error), hint: "" });
		return otherwise;
	}
}

/** The files below a directory, or the file itself. Links to directories below are not followed: circles. */
const filesAt = (path: string): string[] =>
	path === "-" || !isDirectory(path) ? [path] : filesBelow(path.replace(/(?<=.)\/+$/, ""));

function filesBelow(directory: string): string[] {
	return (listIfPresent(directory) ?? []).flatMap((name) => {
		const path = `${directory}/${name}`;
		if (NAMES.test(name) && !isDirectory(path)) return [path];
		const itself = sys.statat(sys.AT_FDCWD, path, false);
		return sys.isDirectory(itself?.mode ?? 0) ? filesBelow(path) : [];
	});
}

function readText(file: string): string {
	let bytes: Uint8Array;
	try {
		bytes = file === "-" ? sys.readAll(STDIN, MAX_BYTES) : sys.readFile(file, MAX_BYTES);
	} catch (error) {
		if (!sys.isSystemError(error, "EFBIG")) throw error;
		throw new Error("it has more than 4 MiB, and the API server takes no object of such a size");
	}
	if (bytes.includes(0)) throw new Error("it is no text: it has a byte 0");
	return sys.decodeUtf8(bytes);
}

function textOf(problems: readonly Problem[], files: number, networks: number, unchecked: readonly string[]): string {
	const warnings = problems.filter(({ severity }) => severity === "warning").length;
	const summary = [
		`${counted(networks, "network")} in ${counted(files, "file")}: `,
		`${counted(problems.length - warnings, "error")}, ${counted(warnings, "warning")}`,
		unchecked.length === 0 ? "" : `; not checked, since not ours: ${unchecked.join(", ")}`,
	];
	return `${problems.map(line).join("")}${summary.join("")}\n`;
}

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`;

function line({ severity, file, line, column, path, message, hint }: Problem): string {
	const place = line === 0 ? file : `${file}:${line}:${column}`;
	const where = path === "" || message.startsWith(path) ? "" : `${path}: `;
	return `${place}: ${severity}: ${where}${message}${hint === "" ? "" : `\n    ${hint}`}\n`;
}
