/**
 * Damaged configurations and stores for host-local and static: whatever they are asked, they exit with 0 or 1, print
 * nothing or one JSON document, and never call it a bug (999). Most inputs go through the plugins' code in this
 * process, a share through the executable.
 *
 * The seed is fixed; BERTH_SEED and BERTH_FUZZ (number of inputs) give others.
 */
import { spawnSync } from "node:child_process";
import {
	chmodSync,
	copyFileSync,
	cpSync,
	existsSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	rmSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { plugin as hostLocal } from "../../ipam/host-local/main.ts";
import { plugin as staticIpam } from "../../ipam/static/main.ts";
import { runPlugin } from "../../lib/cni/dispatch.ts";
import type { Plugin } from "../../lib/cni/types.ts";
import { ours } from "../lab/ipam.ts";
import { SEED } from "../lab/random.ts";
import { Chance, damageText, damageValue } from "./damage.ts";
import { setRoot } from "./native-sys.ts";

const INPUTS = Number(process.env.BERTH_FUZZ ?? 100_000);
/** One of so many inputs goes through the executable: a process costs about 30 times as much. */
const SHARE = 50;

const PLUGINS: Record<string, Plugin> = { "host-local": hostLocal, static: staticIpam };
const BOOT = "8c9a3a1e-0000-4000-8000-000000000001";

let root: string;
beforeAll(() => {
	const shared = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
	root = mkdtempSync(join(shared, "berth-fuzz-"));
	setRoot(root);
	mkdirSync(join(root, "proc/sys/kernel/random"), { recursive: true });
	writeFileSync(join(root, "proc/sys/kernel/random/boot_id"), `${BOOT}\n`);
	mkdirSync(join(root, "etc"));
	writeFileSync(join(root, "etc/resolv.conf"), "nameserver 10.1.2.1\nsearch a b\noptions\n");
	for (const name of Object.keys(PLUGINS)) {
		copyFileSync(ours(name), join(root, name));
		chmodSync(join(root, name), 0o755);
	}
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const previous = {
	cniVersion: "1.1.0",
	ips: [{ address: "10.1.2.2/24", gateway: "10.1.2.1" }],
	routes: [{ dst: "0.0.0.0/0" }],
};
const attachments = [{ containerID: "c1", ifname: "eth0" }];
const CONFIGS: Record<string, object[]> = {
	"host-local": [
		{
			type: "host-local",
			dataDir: "/data",
			ranges: [
				[{ subnet: "10.1.2.0/28", rangeStart: "10.1.2.2", gateway: "10.1.2.1", exclude: ["10.1.2.8/31"] }],
				[{ subnet: "2001:db8::/64" }],
			],
		},
		{ dataDir: "/data", subnet: "10.1.2.0/29", rangeEnd: "10.1.2.6", exclude: ["10.1.2.4"], reuseDelaySeconds: 60 },
		{
			dataDir: "/data",
			ranges: [[{ subnet: "10.1.3.0/31" }, { subnet: "10.1.3.4/32" }]],
			reclaimAfterReboot: true,
			resolvConf: "/etc/resolv.conf",
		},
	],
	static: [
		{
			type: "static",
			addresses: [{ address: "10.1.2.3/24", gateway: "10.1.2.1" }, { address: "2001:db8::3/64" }],
			routes: [{ dst: "10.0.0.0/8", gw: "10.1.2.1", mtu: 1400, priority: 1 }],
			dns: { nameservers: ["10.1.2.1"] },
		},
	],
};
const VERBS = ["ADD", "ADD", "ADD", "DEL", "DEL", "CHECK", "GC", "STATUS"];
const ARGS = [
	"",
	"",
	"",
	"IP=10.1.2.5",
	"IP=10.1.2.5/24,10.1.2.6/24;GATEWAY=10.1.2.1",
	"IgnoreUnknown=1;K8S_POD_NAME=p;IP=2001:db8::7",
];

interface Input {
	readonly plugin: string;
	readonly variables: Record<string, string>;
	readonly stdin: Uint8Array;
}

function makeInput(chance: Chance): Input {
	const plugin = chance.below(5) === 0 ? "static" : "host-local";
	const verb = chance.of(VERBS);
	let config: unknown = {
		cniVersion: chance.of(["1.1.0", "1.1.0", "1.0.0", "0.4.0", "0.3.1", "0.2.0"]),
		name: "net",
		type: "sriov",
		ipam: chance.of(CONFIGS[plugin]!),
		args: { cni: { ips: chance.of([[], [], ["10.1.2.9/24"]]) } },
		runtimeConfig: { ips: chance.of([[], [], ["10.1.2.10/28"]]) },
		...(verb === "CHECK" && { prevResult: previous }),
		...(verb === "GC" && { "cni.dev/valid-attachments": attachments }),
	};
	// A third is in order, so that stores fill; a third is damaged as a tree, a third as a text.
	const kind = chance.below(3);
	if (kind === 1) for (let i = chance.below(3); i >= 0; i--) config = damageValue(chance, config);
	const text = Buffer.from(JSON.stringify(config));
	const variables = {
		CNI_COMMAND: verb,
		CNI_CONTAINERID: `c${chance.below(12)}`,
		CNI_NETNS: "/nowhere",
		CNI_IFNAME: chance.of(["eth0", "eth0", "net1"]),
		CNI_PATH: "/bin",
		CNI_ARGS: chance.below(30) === 0 ? chance.text() : chance.of(ARGS),
	};
	return { plugin, variables, stdin: kind === 2 ? damageText(chance, text) : text };
}

/** Puts something into the store, or its index, that nobody wrote. */
function damageStore(chance: Chance): void {
	const store = join(root, "data/net");
	const beside = join(root, "data/.berth/net");
	const names = [
		"10.1.2.3",
		"10.1.2.9",
		"2001:db8::2",
		"last_reserved_ip.0",
		".berth.tmp",
		"10.1.2.999",
		"x:y",
		"note",
	];
	const contents = [
		"",
		"c1\r\neth0",
		"c2",
		" c3\r\n",
		"\0\0\0",
		"10.1.2.5",
		`${"c".repeat(5000)}\r\neth0`,
		chance.text(),
	];
	mkdirSync(store, { recursive: true });
	const path = join(store, chance.of(names));
	if (chance.below(12) === 0) {
		rmSync(path, { recursive: true, force: true });
		mkdirSync(path);
	} else if (!existsSync(path)) {
		writeFileSync(path, chance.of(contents));
	}
	if (chance.below(3) > 0) return;
	const index = join(beside, BOOT);
	mkdirSync(index, { recursive: true });
	const files = [...readdirSync(index), "earlier", "token", "c7"].map((name) => join(index, name));
	const target = chance.of([...files, join(beside, "released")]);
	const lines = [
		"10.1.2.2 c1 eth0\n",
		" c1 \n",
		"x c1 \n10.1.2.3 c1\n",
		`${Date.now()} 10.1.2.4\n`,
		"1e400 10.1.2.5\n-5 x\nNaN 10.1.2.6\n",
		chance.text(),
	];
	rmSync(target, { recursive: true, force: true });
	writeFileSync(target, chance.of(lines));
	// Another boot's, of the same content.
	if (chance.below(4) === 0)
		cpSync(index, join(beside, BOOT.replace("1", "2").replace(/.$/, "2")), { recursive: true });
}

interface Answer {
	readonly status: number | null;
	readonly stdout: string;
}

function runHere({ plugin, variables, stdin }: Input): Answer {
	let stdout = "";
	const status = runPlugin(
		{
			variable: (name) => variables[name],
			calledAs: () => "x",
			readStdin: () => stdin,
			decodeUtf8: (bytes) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes),
			mayRepeatKeys: () => true,
			formatAnswer: (answer) => JSON.stringify(answer, null, 4),
			writeStdout: (text) => {
				stdout += text;
			},
			writeStderr: () => {},
			isOwnNetns: () => false,
			useLockTimeout: () => {},
			succeed: () => {},
		},
		plugin,
		PLUGINS[plugin]!,
		PLUGINS,
	);
	return { status, stdout };
}

function runExecutable({ plugin, variables, stdin }: Input): Answer {
	const env = Object.fromEntries(Object.entries(variables).map(([name, value]) => [name, value.replaceAll("\0", "")]));
	const { status, stdout } = spawnSync("/usr/sbin/chroot", [root, `/${plugin}`], {
		input: stdin,
		env,
		encoding: "utf8",
		timeout: 20_000,
	});
	return { status, stdout };
}

it(`${INPUTS} damaged configurations and stores: exit status 0 or 1, one JSON document or none, no bug`, () => {
	const chance = new Chance(SEED);
	const counts = { here: 0, executable: 0, succeeded: 0, failed: 0 };
	for (let i = 0; i < INPUTS; i++) {
		// Now and then a new start: a store that is full or broken answers the same again and again.
		if (i % 100 === 0) rmSync(join(root, "data"), { recursive: true, force: true });
		const input = makeInput(chance);
		if (chance.below(4) === 0) damageStore(chance);
		const inExecutable = i % SHARE === 0;
		const { status, stdout } = inExecutable ? runExecutable(input) : runHere(input);
		counts[inExecutable ? "executable" : "here"]++;
		counts[status === 0 ? "succeeded" : "failed"]++;
		const told = () =>
			`input ${i}: ${JSON.stringify(input.variables)} ${Buffer.from(input.stdin).toString("latin1")}\n${status} ${stdout}`;
		if (status !== 0 && status !== 1) expect.unreachable(told());
		if (status === 0 && stdout === "") continue;
		let json: { code?: unknown } | undefined;
		try {
			json = JSON.parse(stdout);
		} catch {
			expect.unreachable(told());
		}
		const isError = typeof json?.code === "number" && json.code !== 999;
		if (status === 1 ? !isError : json?.code !== undefined) expect.unreachable(told());
	}
	console.log(`fuzz: seed ${SEED}: ${JSON.stringify(counts)}`);
	expect(Math.min(counts.succeeded, counts.failed)).toBeGreaterThan(INPUTS / 10);
}, 1_800_000);
