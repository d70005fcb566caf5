/**
 * Configurations, damaged ones and such that look valid, for every plugin and verb, through the executable, in
 * namespaces of its own. Whatever comes: exit status 0 or 1, one JSON document or none, no bug (999), no stack trace,
 * no death.
 *
 * The seed is fixed; BERTH_SEED and BERTH_FUZZ_CALLS (number of calls) give others. Five of six configurations are
 * damaged.
 */
import { spawn } from "node:child_process";
import { copyFileSync, linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { JsonSchema } from "../../scripts/build/validators.ts";
import { binaries, plugins } from "../lab/executables.ts";
import { compileC } from "../lab/fixture-executable.ts";
import { SEED } from "../lab/random.ts";
import { Chance, damageText, damageValue } from "./damage.ts";
import { likelyConfig } from "./likely.ts";

const CALLS = Number(process.env.BERTH_FUZZ_CALLS ?? 20_000);
/** So many calls are on their way: Node makes the next ones meanwhile. */
const AHEAD = 64;

const ROOT = join(import.meta.dirname, "../..");
const VERBS = ["ADD", "ADD", "ADD", "ADD", "DEL", "DEL", "DEL", "CHECK", "CHECK", "GC", "STATUS"];

const schemaOf = (name: string): JsonSchema =>
	JSON.parse(readFileSync(join(ROOT, `schemas/${name}.schema.json`), "utf8")) as JsonSchema;
const schemas = Object.fromEntries(plugins.map((name) => [name, schemaOf(name)]));
// A main plugin passes `ipam` on.
schemas.sriov!.properties!.ipam = {
	anyOf: ["host-local", "static"].map((name) => ({ ...schemas[name]!.properties!.ipam!, required: ["type"] })),
};

/**
 * A node, in a directory that no path leads out of: its state goes with the mount namespace. VFs as a virtual machine
 * has them (no PF is to be seen) with a userspace driver, a pod's namespace with an interface in it. What an interface
 * makes of odd addresses and routes is test/protocol/netlink-interface.test.ts.
 */
const NODE = `
root=$1; driver=$2
mount --make-rprivate /; mount -t tmpfs none /run; mkdir /run/netns /run/data
ip link set lo up; ip netns add pod; ip -n pod link add eth0 type veth peer name far; ip -n pod link set eth0 up
ip -n pod link set far up; ip -n pod address add 10.1.2.3/24 dev eth0; ip -n pod route add 10.9.0.0/16 via 10.1.2.1 dev eth0
mount -t tmpfs none /sys/bus/pci/devices
for vf in 0 1 2; do
	device=/sys/bus/pci/devices/0000:3b:02.$vf; mkdir $device; echo 0x020000 >$device/class; ln -s ../drivers/vfio-pci $device/driver
done
mount -t tmpfs none /mnt; mkdir /mnt/bin; mount --bind "$root" /mnt/bin; mount -o remount,bind,ro /mnt/bin; cd /mnt
mkdir dev proc sys run etc; mknod dev/null c 1 3; mknod dev/full c 1 7; mknod dev/zero c 1 5
mount --rbind /proc proc; mount --rbind /sys sys; mount --rbind /run run
echo node >etc/hostname; echo root:x:0:0::/root:/bin/sh >etc/passwd; echo nameserver 10.1.2.1 >etc/resolv.conf
exec "$driver" /mnt`;

const previous = {
	cniVersion: "1.1.0",
	interfaces: [{ name: "eth0", mac: "02:00:00:00:00:01", mtu: 1500, sandbox: "/run/netns/pod" }],
	ips: [{ address: "10.1.2.3/24", gateway: "10.1.2.1", interface: 0 }],
	routes: [{ dst: "10.9.0.0/16", gw: "10.1.2.1" }, { dst: "0.0.0.0/0" }],
	dns: { nameservers: ["10.1.2.1"] },
};
const ipams = [
	{
		type: "host-local",
		dataDir: "/run/data",
		ranges: [[{ subnet: "10.1.2.0/24", exclude: ["10.1.2.8/31"] }], [{ subnet: "2001:db8::/64" }]],
	},
	{
		type: "static",
		addresses: [{ address: "10.1.2.3/24", gateway: "10.1.2.1" }, { address: "2001:db8::3/64" }],
		routes: [{ dst: "10.9.0.0/16", gw: "10.1.2.1", mtu: 1400, priority: 1, table: 100 }, { dst: "2001:db8:1::/64" }],
		dns: { nameservers: ["10.1.2.1"] },
	},
];
const BASE = {
	cniVersion: "1.1.0",
	name: "net",
	type: "x",
	args: { cni: { ips: [] } },
	runtimeConfig: { ips: [], mac: "" },
};
const PLAIN: Record<string, object> = {
	sriov: { mac: "02:00:00:00:00:01", mtu: 1500, logLevel: "debug", spoofchk: "" },
	rdma: { rdmaDeviceName: "r_{ifname}", rdmaQoS: { tos: 1, tc: 2 }, sharedMode: "skip" },
};

interface Call {
	readonly plugin: string;
	readonly variables: Readonly<Record<string, string>>;
	readonly stdin: Uint8Array;
}

function makeCall(chance: Chance, index: number): Call {
	const plugin = chance.of(plugins);
	const verb = chance.of(VERBS);
	const more = {
		...((verb === "CHECK" || plugin === "rdma") && chance.below(8) > 0 && { prevResult: previous }),
		...(verb === "GC" && { "cni.dev/valid-attachments": chance.of([[], [{ containerID: "c1", ifname: "eth0" }]]) }),
	};
	let stdin: Uint8Array;
	if (index % 6 === 0) {
		const text = likelyConfig(chance, schemas[plugin]!);
		const comma = text === "{}" ? "" : ",";
		const result = chance.below(3) === 0 ? damageValue(chance, more) : more;
		const rest = JSON.stringify(result ?? {});
		stdin = Buffer.from(
			text.startsWith("{") && rest.startsWith("{") && rest !== "{}"
				? `${text.slice(0, -1)}${comma}${rest.slice(1)}`
				: text,
		);
	} else {
		const base = chance.below(4) === 0 ? {} : { cniVersion: BASE.cniVersion, name: BASE.name };
		const deviceID = `0000:3b:02.${chance.below(3)}`;
		let config: unknown = { ...BASE, ...PLAIN[plugin], deviceID, ipam: chance.of(ipams), ...more };
		const isText = chance.below(4) === 0;
		for (let times = isText ? 0 : chance.of([1, 1, 2, 3]); times > 0; times--) {
			const damaged = damageValue(chance, config);
			// What follows the name is seldom looked at without one.
			config = typeof damaged === "object" && !Array.isArray(damaged) ? { ...damaged, ...base } : damaged;
		}
		const text = Buffer.from(JSON.stringify(config) ?? "");
		stdin = isText ? damageText(chance, text) : text;
	}
	const variables = {
		CNI_COMMAND: verb,
		CNI_CONTAINERID: `c${chance.below(6)}`,
		CNI_NETNS: chance.of(["/run/netns/pod", "/run/netns/pod", "/run/netns/pod", "/nowhere", "/etc/passwd"]),
		CNI_IFNAME: chance.of(["eth0", "net1", "net1", "net2"]),
		CNI_PATH: chance.below(50) === 0 ? "/bin/copies" : "/bin/links",
		CNI_ARGS:
			chance.below(20) === 0
				? chance.text()
				: chance.of([
						"",
						"",
						"",
						"IgnoreUnknown=1;IP=10.1.2.5",
						"MAC=02:00:00:00:00:09;IgnoreUnknown=1",
						"IP=10.1.2.5/24",
					]),
	};
	return { plugin, variables, stdin };
}

interface Outcome {
	/** wait(2) */
	readonly status: number;
	readonly stdout: string;
	readonly stderr: string;
}

/** Says what is wrong with an outcome; undefined: nothing. */
function complaint({ status, stdout, stderr }: Outcome): string | undefined {
	if (status !== 0 && status !== 0x100) return `wait status 0x${status.toString(16)}`;
	if (/^ {4}at |panicked|uncaught/m.test(stderr)) return "a trace on stderr";
	if (stdout === "") return status === 0 ? undefined : "failed without an error";
	let json: { code?: unknown; msg?: unknown };
	try {
		json = JSON.parse(stdout) as typeof json;
	} catch {
		return "not one document";
	}
	if (status === 0) return json.code === undefined ? undefined : "an error with exit status 0";
	if (typeof json.code !== "number" || typeof json.msg !== "string" || json.msg === "") return "no error document";
	// None is nested deeply: what runs out of stack calls itself.
	return json.code === 999 || json.msg.includes("out of stack") ? "a bug" : undefined;
}

it(
	`${CALLS} calls: exit status 0 or 1, one document or none, no bug`,
	async () => {
		const directory = mkdtempSync(join(tmpdir(), "berth-fuzz-"));
		for (const name of ["links", "copies"]) mkdirSync(join(directory, name));
		const [first = "", ...others] = [...plugins, "cnv-host-local"];
		copyFileSync(join(binaries, "berth"), join(directory, "links", first));
		for (const name of others) linkSync(join(directory, "links", first), join(directory, "links", name));
		for (const name of [first, ...others]) copyFileSync(join(binaries, "berth"), join(directory, "copies", name));
		const driver = spawn(
			"unshare",
			["-m", "-n", "sh", "-ec", NODE, "sh", directory, compileC("test/fixtures/fuzz/driver.c")],
			{
				stdio: ["pipe", "pipe", "inherit"],
			},
		);
		const chance = new Chance(SEED);
		const waiting: Call[] = [];
		const found = new Map<string, string>();
		const counts = { succeeded: 0, failed: 0 };
		let made = 0;
		const send = (): void => {
			while (made < CALLS && waiting.length < AHEAD) {
				const call = makeCall(chance, made++);
				waiting.push(call);
				const texts = [
					Buffer.from(`/bin/links/${call.plugin}`),
					Buffer.from(
						Object.entries(call.variables)
							.map(([name, value]) => `${name}=${value.replaceAll("\0", "")}\0`)
							.join(""),
					),
					call.stdin,
				];
				driver.stdin.write(
					Buffer.concat([Buffer.from(Uint32Array.from(texts.map((text) => text.length)).buffer), ...texts]),
				);
			}
			if (made === CALLS && waiting.length === 0) driver.stdin.end();
		};
		let bytes = Buffer.alloc(0);
		driver.stdout.on("data", (chunk: Buffer) => {
			bytes = Buffer.concat([bytes, chunk]);
			while (bytes.length >= 12) {
				const [out, err] = [bytes.readUInt32LE(4), bytes.readUInt32LE(8)];
				if (bytes.length < 12 + out + err) break;
				const outcome = {
					status: bytes.readInt32LE(0),
					stdout: bytes.toString("utf8", 12, 12 + out),
					stderr: bytes.toString("utf8", 12 + out, 12 + out + err),
				};
				bytes = bytes.subarray(12 + out + err);
				const call = waiting.shift()!;
				counts[outcome.status === 0 ? "succeeded" : "failed"]++;
				const wrong = complaint(outcome);
				if (wrong === undefined) continue;
				const kind = `${wrong}: ${outcome.stdout.replace(/[0-9]+/g, "N").slice(0, 100)}`;
				if (found.has(kind) || found.size >= 10) continue;
				const { stdout, stderr } = outcome;
				found.set(
					kind,
					`${wrong}\n${call.plugin} ${JSON.stringify(call.variables)}\n${Buffer.from(call.stdin).toString("latin1")}\n${stdout}\n${stderr}`,
				);
			}
			send();
		});
		const ended = new Promise((resolve) => driver.on("close", resolve));
		send();
		const status = await ended;
		rmSync(directory, { recursive: true, force: true });
		console.log(`fuzz: seed ${SEED}: ${JSON.stringify(counts)}`);
		expect([...found.values()].join("\n\n")).toBe("");
		expect({ status, calls: counts.succeeded + counts.failed }).toEqual({ status: 0, calls: CALLS });
		expect(Math.min(counts.succeeded, counts.failed)).toBeGreaterThan(CALLS / 20);
	},
	4 * 3600_000,
);
