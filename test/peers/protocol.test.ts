/**
 * Go's plugins and ours, asked the same: the same result, exit status, code and sentence, but for what
 * intended-differences.ts lists.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { binaries } from "../lab/executables.ts";
import { peersDirectory } from "../lab/peers.ts";
import { type Field, LISTED, type ListedDifference, type Reply, RULES, type Rule } from "./intended-differences.ts";
import { CASES, type Call, type Case } from "./protocol-cases.ts";

let go: string;
let directory: string;
const used = new Set<Rule | ListedDifference>();
const counts = { calls: 0, equal: 0, explained: 0, listed: 0 };

beforeAll(async () => {
	go = await peersDirectory();
	directory = mkdtempSync(join(tmpdir(), "berth-peers-"));
});

afterAll(() => {
	rmSync(directory, { recursive: true, force: true });
	const { calls, equal, explained, listed } = counts;
	console.log(
		`protocol: ${CASES.length} cases, ${calls} calls: ${equal} equal, ${explained} apart by a rule, ${listed} by an entry of the list`,
	);
});

/** Runs the calls of a case with the executables in `plugins`, in a directory that no other run sees. */
function runCase({ calls, files = {} }: Case, plugins: string): Reply[] {
	const store = join(directory, "case");
	rmSync(store, { recursive: true, force: true });
	mkdirSync(store);
	for (const [name, text] of Object.entries(files)) writeFileSync(join(store, name), text);
	return calls.map((call) => runCall(call, plugins, store));
}

function runCall({ plugin, env, stdin }: Call, plugins: string, store: string): Reply {
	const text = typeof stdin === "string" ? stdin : JSON.stringify(stdin);
	const input = stdin instanceof Uint8Array ? stdin : text.replaceAll("@STORE@", store);
	const { status, stdout, stderr, error } = spawnSync(join(plugins, plugin), { input, env, timeout: 30_000 });
	// A program that does not read its stdin makes the pipe break.
	if (error && (error as NodeJS.ErrnoException).code !== "EPIPE") throw error;
	return readReply(status, stdout.toString(), stderr.toString());
}

function readReply(status: number | null, stdout: string, stderr: string): Reply {
	if (stdout === "") return { status, kind: "nothing", stdout, stderr };
	let json: { code?: number; msg?: string; details?: string };
	try {
		json = JSON.parse(stdout);
	} catch {
		return { status, kind: "garbled", stdout, stderr };
	}
	if (json.code === undefined) return { status, kind: "result", stdout, stderr };
	const { code, msg: message, details } = json;
	return {
		status,
		kind: "error",
		stdout,
		stderr,
		code,
		...(message !== undefined && { message }),
		...(details !== undefined && { details }),
	};
}

/**
 * The fields in which two replies differ. Results are compared as text: the order of keys and the indentation count.
 */
function differingFields(call: Call, ofGo: Reply, ofOurs: Reply): Field[] {
	const fields: Field[] = [];
	if (ofGo.status !== ofOurs.status) fields.push("status");
	if (ofGo.kind !== ofOurs.kind) fields.push("kind");
	else if (ofGo.kind === "result" && ofGo.stdout !== ofOurs.stdout) fields.push("result");
	else if (ofGo.kind === "error") {
		for (const field of ["code", "message", "details"] as const) if (ofGo[field] !== ofOurs[field]) fields.push(field);
	}
	if (!call.env.CNI_COMMAND && ofGo.stderr !== ofOurs.stderr) fields.push("stderr");
	return fields;
}

/** What remains when the rules have explained what they can. */
function unexplained(fields: Field[], ofGo: Reply, ofOurs: Reply): Field[] {
	return fields.filter((field) => {
		const rule = RULES.find((each) => each.field === field && each.explains(ofGo, ofOurs));
		if (rule) used.add(rule);
		return rule === undefined;
	});
}

function compare(one: Case): void {
	const ofGo = runCase(one, go);
	const ofOurs = runCase(one, binaries);
	for (const [index, call] of one.calls.entries()) {
		const differing = differingFields(call, ofGo[index]!, ofOurs[index]!);
		const left = unexplained(differing, ofGo[index]!, ofOurs[index]!);
		const listed = LISTED.find((entry) => entry.case === one.name && (entry.call ?? 0) === index);
		if (listed) used.add(listed);
		counts.calls++;
		counts[differing.length === 0 ? "equal" : listed ? "listed" : "explained"]++;
		expect(left, `call ${index}\nGo:   ${show(ofGo[index]!)}\nours: ${show(ofOurs[index]!)}\n`).toEqual(
			listed?.fields ?? [],
		);
	}
}

function show({ status, stdout, stderr }: Reply): string {
	return `exit ${status}, stdout ${stdout}, stderr ${stderr}`;
}

describe("Go and ours agree on", () => {
	it.each(CASES)("$name", compare);
});

describe("the list of intended differences", () => {
	it("has no rule that explains nothing", () => {
		expect(RULES.filter((rule) => !used.has(rule)).map((rule) => rule.reason)).toEqual([]);
	});

	it("has no entry whose case does not exist", () => {
		expect(LISTED.filter((entry) => !used.has(entry)).map((entry) => entry.case)).toEqual([]);
	});

	it("is about at least 200 cases, each with a name of its own", () => {
		expect(new Set(CASES.map((one) => one.name)).size).toBe(CASES.length);
		expect(CASES.length).toBeGreaterThanOrEqual(200);
	});
});
