/** `berth validate`: mistakes are found where they are, and what is right is accepted. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Problem } from "../../commands/validate/problem.ts";
import { builtBinaries } from "../lab/executables.ts";

const ROOT = join(import.meta.dirname, "../..");
const FIXTURES = join(ROOT, "test/fixtures/validate");

interface Answer {
	readonly problems: readonly Problem[];
	readonly files: number;
	readonly networks: number;
	readonly unchecked: readonly string[];
}

const berth = (args: readonly string[], input: string | Uint8Array = "") =>
	execa(join(builtBinaries, "berth"), ["validate", ...args], { input, reject: false });

/** The answer as JSON, and the exit status. */
async function validate(
	args: readonly string[],
	input: string | Uint8Array = "",
): Promise<Answer & { status: number }> {
	const { stdout, stderr, exitCode } = await berth(["--json", ...args], input);
	expect(stderr).toBe("");
	return { ...(JSON.parse(stdout) as Answer), status: exitCode ?? -1 };
}

let directory: string;
beforeAll(() => {
	directory = mkdtempSync(join(tmpdir(), "berth-validate-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

describe("one mistake in a file is found, once, where it is", () => {
	const expected = JSON.parse(readFileSync(join(FIXTURES, "expected.json"), "utf8")) as Omit<Problem, "message">[];

	test.each(expected)("$file", async ({ file, ...where }) => {
		const { problems, status } = await validate([join(FIXTURES, "broken", file)]);
		expect(problems.map(({ file: _, message: __, ...found }) => found)).toEqual([where]);
		expect(status).toBe(where.severity === "error" ? 1 : 0);
	});

	test("every file is in the table", () => {
		expect(readdirSync(join(FIXTURES, "broken")).sort()).toEqual(expected.map(({ file }) => file).sort());
	});
});

describe("what is right is accepted without a word", () => {
	/** The blocks of `language` in the pages of the repository that are configurations. */
	const examples = ["README.md", ...readdirSync(join(ROOT, "docs")).map((name) => `docs/${name}`)]
		.filter((name) => name.endsWith(".md"))
		.flatMap((page) => {
			const text = readFileSync(join(ROOT, page), "utf8");
			const blocks = [...text.matchAll(/^ *```(json|yaml)\n([\s\S]*?)^ *```$/gm)].map((match) => match[2]!);
			return blocks.map((block, index) => ({ name: `${page}, block ${index + 1}`, block }));
		});
	const isNetwork = (block: string): boolean => /cniVersion/.test(block) && /"type"|NetworkAttachment/.test(block);

	test.each(examples.filter(({ block }) => isNetwork(block)))("$name", async ({ block }) => {
		expect(await validate(["-"], block)).toMatchObject({ problems: [], networks: 1, status: 0 });
	});

	test("there are examples of every plugin", () => {
		const text = examples.map(({ block }) => block).join("");
		for (const type of ["sriov", "rdma", "host-local", "static", "dhcp", "whereabouts"]) {
			expect(text).toContain(`"type": "${type}"`);
		}
	});

	test("manifests are passed over where they are no networks", async () => {
		// The chart's templates are no YAML.
		const paths = [
			"install-daemonset.yaml",
			"manifests/base",
			"manifests/overlays",
			"manifests/components",
			"examples",
		];
		const found = await validate(paths.map((path) => join(ROOT, path)));
		expect(found).toMatchObject({ problems: [], status: 0 });
	});
});

/**
 * What the SR-IOV network operator renders: each setting absent and with each value that its CRDs allow, also each two
 * of them, with ipam and metaPlugins of every sort.
 */
describe("what the operator renders is accepted without a word", () => {
	const FIELDS: Readonly<Record<string, readonly unknown[]>> = {
		vlan: [0, 1, 4094],
		spoofchk: ["on", "off"],
		trust: ["on", "off"],
		vlanQoS: [0, 7],
		vlanProto: ["802.1q", "802.1Q", "802.1ad", "802.1AD"],
		min_tx_rate: [0, 100],
		max_tx_rate: [0, 1000],
		capabilities: [{ mac: true, ips: true }, { mac: true }],
		link_state: ["auto", "enable", "disable"],
		logLevel: ["panic", "error", "warning", "info", "debug"],
		logFile: ["/var/log/sriov.log"],
	};
	const IPAMS = [
		{},
		{ type: "host-local", subnet: "10.56.217.0/24", rangeStart: "10.56.217.171", rangeEnd: "10.56.217.181" },
		{
			type: "host-local",
			ranges: [[{ subnet: "10.56.0.0/16", gateway: "10.56.0.1" }]],
			routes: [{ dst: "0.0.0.0/0" }],
		},
		{ type: "dhcp" },
		{ type: "static", addresses: [{ address: "10.10.0.1/24", gateway: "10.10.0.254" }] },
		{ type: "whereabouts", range: "10.2.0.0/24", kubernetes: { kubeconfig: "/etc/cni/whereabouts.kubeconfig" } },
		{ type: "nv-ipam", poolName: "pool1" },
	];
	const META_PLUGINS = [
		[],
		[{ type: "rdma" }],
		[{ type: "tuning", sysctl: { "net.core.somaxconn": "500" } }, { type: "rdma" }],
		[{ type: "vrf", vrfname: "red" }],
		[{ type: "sbr" }],
	];
	const types = ["sriov", "ib-sriov", "ovs"];

	/** The template's text around the plugin's members. */
	function render(type: string, members: object, ipam: object, metaPlugins: readonly object[]): string {
		const plugin = { type, ...members, ipam };
		const config =
			metaPlugins.length === 0
				? { cniVersion: "1.0.0", name: "sriov-net", ...plugin }
				: { cniVersion: "1.0.0", name: "sriov-net", plugins: [plugin, ...metaPlugins] };
		return `apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata:
  name: sriov-net
  namespace: default
  annotations:
    k8s.v1.cni.cncf.io/resourceName: openshift.io/sriovnic
spec:
  config: '${JSON.stringify(config)}'
`;
	}

	/** What a NAD of `vlan` and `vlanQoS`, which are always rendered, may be in the operator without being refused. */
	const isAllowed = (vlan: unknown, qos: unknown, proto: unknown): boolean =>
		vlan !== 0 || (qos === 0 && !/ad$/i.test(String(proto ?? "")));

	const documents: string[] = [];
	for (const vlan of FIELDS.vlan!) {
		for (const vlanQoS of FIELDS.vlanQoS!) {
			for (const vlanProto of [undefined, ...FIELDS.vlanProto!]) {
				if (!isAllowed(vlan, vlanQoS, vlanProto)) continue;
				documents.push(render("sriov", { vlan, vlanQoS, ...(vlanProto !== undefined && { vlanProto }) }, {}, []));
			}
		}
	}
	for (const [key, values] of Object.entries(FIELDS)) {
		for (const value of values) {
			const members = { vlan: 10, vlanQoS: 0, [key]: value };
			for (const ipam of IPAMS)
				for (const metaPlugins of META_PLUGINS) documents.push(render("sriov", members, ipam, metaPlugins));
		}
	}
	const settings = Object.entries(FIELDS).flatMap(([key, values]) => values.map((value) => ({ key, value })));
	for (const [index, one] of settings.entries()) {
		for (const other of settings.slice(index + 1)) {
			const members = { vlan: 10, vlanQoS: 0, vlanProto: undefined, [one.key]: one.value, [other.key]: other.value };
			if (one.key === other.key || !isAllowed(members.vlan, members.vlanQoS, members.vlanProto)) continue;
			documents.push(render("sriov", members, {}, [{ type: "rdma" }]));
		}
	}
	for (const type of types.slice(1)) {
		for (const ipam of IPAMS) documents.push(render(type, { link_state: "auto" }, ipam, []));
	}

	test(`${documents.length} NetworkAttachmentDefinitions`, async () => {
		const answer = await validate(["-"], documents.join("---\n"));
		expect(answer.problems).toEqual([]);
		expect(answer).toMatchObject({ networks: documents.length, status: 0 });
		expect(answer.unchecked).toEqual(["ib-sriov", "nv-ipam", "ovs", "sbr", "tuning", "vrf"]);
	});
});

const CONF = { cniVersion: "1.0.0", name: "storage", type: "sriov" };
const HOST_LOCAL = { type: "host-local", subnet: "10.1.0.0/24" };

test("several mistakes are all told of, each at its place", async () => {
	const ipam = {
		...HOST_LOCAL,
		gateway: "10.9.0.1",
		routes: [{ dst: "x" }, { dst: "10.0.0.0/8", gw: "y" }],
		dataDri: "/x",
	};
	const config = { ...CONF, vlan: "5", vlanQoS: 9, trust: "maybe", mac: "02", min_tx_rate: 5, max_tx_rate: 1, ipam };
	const { problems, status } = await validate(["-"], JSON.stringify(config));
	expect(problems.map(({ path }) => path).sort()).toEqual(
		"ipam.dataDri ipam.gateway ipam.routes[0].dst ipam.routes[1].gw mac min_tx_rate trust vlan vlanQoS"
			.split(" ")
			.sort(),
	);
	expect(status).toBe(1);
});

describe("people see lines that lead to the place", () => {
	test("a problem with its hint, and a summary", async () => {
		const file = join(directory, "a.conf");
		writeFileSync(
			file,
			'{ "cniVersion": "1.0.0", "name": "a", "type": "bridge",\n\t"ipam": { "type": "dhcp", "ipv6": "slac" } }',
		);
		const { stdout, exitCode } = await berth([file]);
		expect(stdout).toBe(
			[
				`${file}:2:28: error: ipam.ipv6 must be one of "dhcp", "slaac", not "slac"`,
				'    did you mean "slaac"?',
				"1 network in 1 file: 1 error, 0 warnings; not checked, since not ours: bridge",
			].join("\n"),
		);
		expect(exitCode).toBe(1);
	});

	test("a warning alone is exit status 0, and 1 with --strict", async () => {
		const conf = JSON.stringify({ ...CONF, spoofcheck: "on" });
		expect((await berth(["-"], conf)).exitCode).toBe(0);
		expect((await berth(["--strict", "-"], conf)).exitCode).toBe(1);
	});

	test("a call without a file, or with a flag that is none, is exit status 2", async () => {
		expect((await berth([])).exitCode).toBe(2);
		expect((await berth(["--fast", "x"])).exitCode).toBe(2);
	});

	test("--help says which files of a directory count", async () => {
		const { stdout, exitCode } = await berth(["--help"]);
		expect(stdout).toContain(".conflist");
		expect(exitCode).toBe(0);
	});
});

describe("files of every sort", () => {
	test("a directory is read with what is below it, and a link in a circle is not followed", async () => {
		const tree = join(directory, "tree");
		mkdirSync(join(tree, "below"), { recursive: true });
		symlinkSync(tree, join(tree, "below", "circle"));
		writeFileSync(join(tree, "a.conf"), JSON.stringify(CONF));
		writeFileSync(join(tree, "below", "b.json"), JSON.stringify({ ...CONF, vlan: -1 }));
		writeFileSync(join(tree, "notes.txt"), "{");
		const { problems, files } = await validate([tree]);
		expect(files).toBe(2);
		expect(problems).toMatchObject([{ file: join(tree, "below", "b.json"), path: "vlan" }]);
	});

	test.each([
		["that is not there", () => join(directory, "nothing.yaml"), /no such file/],
		["that is a device without end", () => "/dev/zero", /more than 4 MiB/],
	])("one %s is an error of that file, and the others are read", async (_, path, message) => {
		const good = join(directory, "good.conf");
		writeFileSync(good, JSON.stringify(CONF));
		const { problems, networks, status } = await validate([path(), good]);
		expect(problems).toMatchObject([{ file: path(), line: 0, message: expect.stringMatching(message) }]);
		expect(networks).toBe(1);
		expect(status).toBe(1);
	});

	test("a directory that may not be read is an error, and the others are read", async () => {
		const good = join(directory, "good.conf");
		writeFileSync(good, JSON.stringify(CONF));
		// Root may read all; a name that is too long cannot be read by anybody.
		const long = `/${"x".repeat(300)}`;
		const { problems, networks } = await validate([long, good]);
		expect(problems).toMatchObject([{ file: long, message: expect.stringMatching(/too long/) }]);
		expect(networks).toBe(1);
	});

	const deep = (open: string, close: string, count: number): string => open.repeat(count) + close.repeat(count);
	test.each([
		["bytes that are no text", new Uint8Array([0x7b, 0, 1, 2]), /no text/],
		["10 MB", "x".repeat(10_000_000), /more than 4 MiB/],
		["JSON nested 100,000 deep", deep("[", "]", 100_000), /exceeded max depth|deep/],
		["YAML nested 100,000 deep", `a: ${deep("[", "]", 100_000)}`, /deep/],
		["tabs where YAML has none", "a:\n\t- b: c\n", /not YAML/],
	])("%s: said in one sentence", async (_, input, message) => {
		const { problems, status } = await validate(["-"], input);
		expect(problems).toMatchObject([{ severity: "error", message: expect.stringMatching(message) }]);
		expect(status).toBe(1);
	});

	test("YAML whose aliases would make a million values is refused", async () => {
		const levels = Array.from({ length: 6 }, (_, level) => {
			const item = level === 0 ? "x" : `*a${level - 1}`;
			return `a${level}: &a${level} [${Array.from({ length: 10 }, () => item).join(", ")}]\n`;
		});
		const { problems } = await validate(["-"], `type: bridge\n${levels.join("")}`);
		expect(problems).toMatchObject([{ message: expect.stringMatching(/more than 100000 values/) }]);
	});

	test("an empty file has no network, and nothing wrong", async () => {
		expect(await validate(["-"], "")).toMatchObject({ problems: [], networks: 0, status: 0 });
	});

	test("other objects are passed over", async () => {
		const pod = { apiVersion: "v1", kind: "Pod", spec: { type: "sriov" } };
		expect(await validate(["-"], JSON.stringify(pod))).toMatchObject({ problems: [], networks: 0, status: 0 });
	});
});
