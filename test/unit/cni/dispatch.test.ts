import { describe, expect, it } from "vitest";
import { runPlugin } from "../../../lib/cni/dispatch.ts";
import { CniError, Code } from "../../../lib/cni/error.ts";
import type { PluginIo } from "../../../lib/cni/io.ts";
import type { CniResult, Plugin, Request, ValidAttachment } from "../../../lib/cni/types.ts";

const ADDRESS: CniResult = { ips: [{ address: "10.1.2.3/24" }] };

interface Call {
	verb: string;
	request: Request;
	valid?: readonly ValidAttachment[] | undefined;
}

interface Outcome {
	status: number;
	stdout: string;
	stderr: string;
	calls: Call[];
	stdinReads: number;
	/** How often the process would have ended with success, before `runPlugin` returned. */
	successes: number;
}

interface Scene {
	variables?: Record<string, string>;
	stdin?: string;
	about?: string;
	result?: CniResult;
	failure?: unknown;
	ownNetns?: boolean;
	stdinError?: Error;
	stdoutError?: Error;
}

const ADD = { CNI_COMMAND: "ADD", CNI_CONTAINERID: "c1", CNI_NETNS: "/ns", CNI_IFNAME: "net1", CNI_PATH: "/bin" };
const CONFIG = '{"cniVersion":"1.0.0","name":"net","type":"x"}';

function run(scene: Scene): Outcome {
	const outcome: Outcome = { status: -1, stdout: "", stderr: "", calls: [], stdinReads: 0, successes: 0 };
	const record = (verb: string) => (request: Request, valid?: readonly ValidAttachment[]) => {
		outcome.calls.push({ verb, request, valid });
		if (scene.failure && verb === outcome.calls[0]!.verb) throw scene.failure;
	};
	const plugin: Plugin = {
		about: scene.about ?? "",
		add: (request) => {
			record("ADD")(request);
			return scene.result ?? ADDRESS;
		},
		del: record("DEL"),
		check: record("CHECK"),
		gc: record("GC"),
		status: record("STATUS"),
	};
	const variables: Record<string, string> = scene.variables ?? ADD;
	const io: PluginIo = {
		variable: (name) => variables[name],
		calledAs: () => "x",
		readStdin: () => {
			outcome.stdinReads++;
			if (scene.stdinError) throw scene.stdinError;
			return new TextEncoder().encode(scene.stdin ?? CONFIG);
		},
		decodeUtf8: (bytes) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes),
		mayRepeatKeys: () => true,
		formatAnswer: (answer) => JSON.stringify(answer, null, 4),
		writeStdout: (text) => {
			expect(outcome.successes, "nothing follows the end").toBe(0);
			if (scene.stdoutError) throw scene.stdoutError;
			expect(outcome.stdout, "stdout is written once").toBe("");
			outcome.stdout = text;
		},
		writeStderr: (text) => {
			outcome.stderr += text;
		},
		isOwnNetns: () => scene.ownNetns ?? false,
		useLockTimeout: () => {},
		succeed: () => {
			outcome.successes++;
		},
	};
	outcome.status = runPlugin(io, "x", plugin, { x: plugin });
	return outcome;
}

function errorOf(outcome: Outcome): { code: number; msg: string; details?: string } {
	expect(outcome).toMatchObject({ status: 1, successes: 0 });
	return JSON.parse(outcome.stdout);
}

describe("a call", () => {
	it("of ADD prints the result once and exits 0", () => {
		const outcome = run({});
		expect(outcome).toMatchObject({ status: 0, stderr: "", successes: 1 });
		expect(outcome.stdout).toBe(
			'{\n    "cniVersion": "1.0.0",\n    "ips": [\n        {\n            "address": "10.1.2.3/24"\n        }\n    ]\n}',
		);
	});

	it("hands the plugin the variables, stdin and the parsed configuration", () => {
		const { calls } = run({ variables: { ...ADD, CNI_ARGS: "A=B" } });
		expect(calls[0]!.request).toMatchObject({
			verb: "ADD",
			containerId: "c1",
			netns: "/ns",
			ifName: "net1",
			args: "A=B",
			path: "/bin",
			network: "net",
			cniVersion: "1.0.0",
			config: JSON.parse(CONFIG),
			stdin: new TextEncoder().encode(CONFIG),
		});
	});

	it.each(["DEL", "CHECK"])("of %s prints nothing", (verb) => {
		const outcome = run({ variables: { ...ADD, CNI_COMMAND: verb } });
		expect(outcome).toMatchObject({ status: 0, stdout: "" });
		expect(outcome.calls.map((call) => call.verb)).toEqual([verb]);
	});

	it.each(["GC", "STATUS"])("of %s needs only CNI_PATH and a configuration of 1.1.0", (verb) => {
		const variables = { CNI_COMMAND: verb, CNI_PATH: "/bin" };
		const outcome = run({ variables, stdin: '{"cniVersion":"1.1.0","name":"n"}' });
		expect(outcome).toMatchObject({ status: 0, stdout: "" });
		expect(outcome.calls.map((call) => call.verb)).toEqual([verb]);
		expect(errorOf(run({ variables }))).toEqual({ code: 1, msg: `config version does not allow ${verb}` });
	});

	it("of DEL does without CNI_NETNS", () => {
		const { CNI_NETNS: _, ...variables } = ADD;
		expect(run({ variables: { ...variables, CNI_COMMAND: "DEL" } }).status).toBe(0);
	});

	it("of VERSION reads no stdin and calls no plugin", () => {
		const outcome = run({ variables: { CNI_COMMAND: "VERSION" } });
		expect(outcome).toMatchObject({ status: 0, stdinReads: 0, calls: [] });
		expect(outcome.stdout).toBe(
			'{"cniVersion":"1.1.0","supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}\n',
		);
	});
});

describe("without CNI_COMMAND", () => {
	it("a plugin with an about text tells it on stderr and exits 0", () => {
		expect(run({ variables: { CNI_PATH: "x" }, about: "CNI x plugin v1" })).toMatchObject({
			status: 0,
			stdout: "",
			stderr: "CNI x plugin v1\nCNI protocol versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0\n",
			stdinReads: 0,
		});
	});

	it("a plugin without one fails", () => {
		expect(errorOf(run({ variables: { CNI_COMMAND: "" } }))).toEqual({
			code: 4,
			msg: "required env variables [CNI_COMMAND] missing",
		});
	});
});

describe("the order of checks", () => {
	it("a bad variable is told before missing ones, missing ones together, stdin unread", () => {
		const outcome = run({ variables: { CNI_COMMAND: "ADD", CNI_CONTAINERID: "a/b" } });
		expect(errorOf(outcome)).toEqual({ code: 4, msg: "invalid characters in containerID", details: "a/b" });
		expect(outcome.stdinReads).toBe(0);
		expect(errorOf(run({ variables: { CNI_COMMAND: "ADD" } })).msg).toBe(
			"required env variables [CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH] missing",
		);
	});

	it("the configuration is judged before an unknown verb", () => {
		const variables = { ...ADD, CNI_COMMAND: "FOO" };
		expect(errorOf(run({ variables, stdin: "{}" }))).toEqual({ code: 7, msg: "missing network name" });
		expect(errorOf(run({ variables }))).toEqual({ code: 4, msg: "unknown CNI_COMMAND: FOO" });
	});

	it("a verb is no member of every object", () => {
		expect(errorOf(run({ variables: { ...ADD, CNI_COMMAND: "toString" } })).msg).toBe("unknown CNI_COMMAND: toString");
	});

	it("the version is judged before the plugin is loaded", () => {
		const outcome = run({ stdin: '{"cniVersion":"1.2.0","name":"n"}' });
		expect(errorOf(outcome)).toEqual({
			code: 1,
			msg: "incompatible CNI versions",
			details: 'config is "1.2.0", plugin supports ["0.1.0" "0.2.0" "0.3.0" "0.3.1" "0.4.0" "1.0.0" "1.1.0"]',
		});
		expect(outcome.calls).toEqual([]);
	});

	it.each([
		["ADD", "1.0", 1, "incompatible CNI versions"],
		["CHECK", "0.3.1", 1, "config version does not allow CHECK"],
		["CHECK", "2.0.0", 1, "plugin version does not allow CHECK"],
		["CHECK", "1.0.1", 1, "incompatible CNI versions"],
		["CHECK", "x", 6, 'failed to convert major version part "x": strconv.Atoi: parsing "x": invalid syntax'],
	])("%s of version %s fails with code %i", (verb, version, code, msg) => {
		const stdin = JSON.stringify({ cniVersion: version, name: "n" });
		expect(errorOf(run({ variables: { ...ADD, CNI_COMMAND: verb }, stdin }))).toMatchObject({ code, msg });
	});
});

describe("the plugin's own network namespace", () => {
	it("as sandbox is for DEL one that is gone", () => {
		const outcome = run({ variables: { ...ADD, CNI_COMMAND: "DEL" }, ownNetns: true });
		expect(outcome.status).toBe(0);
		expect(outcome.calls.map(({ request }) => request.netns)).toEqual([""]);
	});

	it("as sandbox fails ADD before any work", () => {
		const outcome = run({ variables: ADD, ownNetns: true });
		expect(errorOf(outcome)).toEqual({
			code: 8,
			msg: "plugin's netns and netns from CNI_NETNS should not be the same",
		});
		expect(outcome.calls).toEqual([]);
	});

	it.each(["1", "true", "TRUE", "True"])("is allowed by CNI_NETNS_OVERRIDE=%s", (value) => {
		expect(run({ variables: { ...ADD, CNI_NETNS_OVERRIDE: value }, ownNetns: true }).status).toBe(0);
	});

	it.each(["0", "yes"])("is not allowed by CNI_NETNS_OVERRIDE=%s", (value) => {
		expect(run({ variables: { ...ADD, CNI_NETNS_OVERRIDE: value }, ownNetns: true }).status).toBe(1);
	});
});

describe("stdin", () => {
	it.each([
		["", 6, "error unmarshall network config: unexpected end of JSON input"],
		["null", 7, "missing network name"],
		["[]", 6, "error unmarshall network config: the configuration must be an object, not []"],
		['{"name":5}', 6, "error unmarshall network config: name must be a string, not 5"],
		['{"name":"n","cniVersion":1}', 6, "decoding version from network config: cniVersion must be a string, not 1"],
		['{"name":""}', 7, "missing network name"],
		['{"name":null}', 7, "missing network name"],
	])("%j fails with code %i", (stdin, code, msg) => {
		expect(errorOf(run({ stdin }))).toEqual({ code, msg });
	});

	it("a bad name is quoted in the details", () => {
		expect(errorOf(run({ stdin: '{"name":"a b"}' }))).toEqual({
			code: 7,
			msg: "invalid characters found in network name",
			details: "a b",
		});
	});

	it("keys are read in any case", () => {
		const { calls } = run({ stdin: '{"NAME":"n","CNIVERSION":"0.4.0"}' });
		expect(calls[0]!.request).toMatchObject({ network: "n", cniVersion: "0.4.0" });
	});

	it.each(["{}", '{"cniVersion":""}', '{"cniVersion":null}'])("%s means version 0.1.0", (text) => {
		const { calls } = run({ stdin: JSON.stringify({ ...JSON.parse(text), name: "n" }) });
		expect(calls[0]!.request.cniVersion).toBe("0.1.0");
	});

	it("that cannot be read is code 5", () => {
		expect(errorOf(run({ stdinError: new Error("read: is a directory (EISDIR)") }))).toEqual({
			code: 5,
			msg: "error reading from stdin: read: is a directory (EISDIR)",
		});
	});
});

describe("failures", () => {
	it("a CniError is printed as it is, with 4 spaces and no newline", () => {
		const outcome = run({ failure: new CniError(Code.tryAgain, "busy", "later") });
		expect(outcome.stdout).toBe('{\n    "code": 11,\n    "msg": "busy",\n    "details": "later"\n}');
		expect(outcome.stderr).toBe("");
	});

	it("a failed system call is code 5", () => {
		const failure = Object.assign(new Error("open /x: no such file or directory (ENOENT)"), { errno: 2 });
		expect(errorOf(run({ failure }))).toEqual({ code: 5, msg: "open /x: no such file or directory (ENOENT)" });
	});

	it("anything else is code 999 with its stack on stderr", () => {
		const outcome = run({ failure: new RangeError("bug") });
		expect(errorOf(outcome)).toEqual({ code: 999, msg: "bug" });
		expect(outcome.stderr).toContain("dispatch.test.ts");
		expect(errorOf(run({ failure: "text" }))).toEqual({ code: 999, msg: "text" });
	});

	it("a result that the version cannot hold undoes the ADD and tells the first failure", () => {
		const outcome = run({ stdin: '{"cniVersion":"0.2.0","name":"n"}', result: {} });
		expect(errorOf(outcome)).toMatchObject({ code: 7, msg: "cannot convert: no valid IP addresses" });
		expect(outcome.calls.map((call) => [call.verb, call.request.verb])).toEqual([
			["ADD", "ADD"],
			["DEL", "DEL"],
		]);
	});

	it("an answer that cannot be written is told on stderr, exit 1", () => {
		const outcome = run({ stdoutError: new Error("write: broken pipe (EPIPE)") });
		expect(outcome).toMatchObject({
			status: 1,
			stdout: "",
			stderr: "x: the answer cannot be written to stdout: write: broken pipe (EPIPE)\n",
		});
	});
});

describe("GC", () => {
	const gc = (members: object) =>
		run({
			variables: { CNI_COMMAND: "GC", CNI_PATH: "/bin" },
			stdin: JSON.stringify({ cniVersion: "1.1.0", name: "n", ...members }),
		});
	const one = [{ containerID: "a", ifname: "eth0" }];
	const two = [{ containerID: "b", ifname: "eth0" }];

	it("prefers cni.dev/valid-attachments and falls back to cni.dev/attachments", () => {
		const both = { "cni.dev/attachments": two, "cni.dev/valid-attachments": one };
		expect(gc(both).calls[0]!.valid).toEqual(one);
		expect(gc({ "cni.dev/attachments": two }).calls[0]!.valid).toEqual(two);
	});

	it("tells an empty list from none, and notes none on stderr", () => {
		expect(gc({ "cni.dev/valid-attachments": [] }).calls[0]!.valid).toEqual([]);
		const missing = gc({});
		expect(missing.calls[0]!.valid).toBeUndefined();
		expect(missing.stderr).toBe("x: GC without cni.dev/valid-attachments: nothing is released\n");
	});

	it.each([
		[5, "cni.dev/valid-attachments must be a list, not 5"],
		[
			[...one, { containerID: "a" }],
			'cni.dev/valid-attachments[1] must be an object with containerID and ifname, not {"containerID":"a"}',
		],
	])("refuses %j without calling the plugin", (list, msg) => {
		const outcome = gc({ "cni.dev/valid-attachments": list });
		expect(errorOf(outcome)).toEqual({ code: 6, msg });
		expect(outcome.calls).toEqual([]);
	});
});
