/**
 * What a configuration, the daemon's flags and pods can ask of dhcp, each seen at the server, on the wire or in the
 * result.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, symlinkSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { expect, it } from "vitest";
import { type Background, DhcpLab } from "../lab/dhcp.ts";
import { call, ours } from "../lab/ipam.ts";
import { ip, netnsPath } from "../lab/netns-lab.ts";
import { until } from "../lab/until.ts";

const SHORT = ["--dhcp-option-force=58,3", "--dhcp-option-force=59,60"];
const hex = (text: string): string =>
	[...Buffer.from(text)].map((byte) => byte.toString(16).padStart(2, "0")).join(":");

/** Of dnsmasq's file of leases, by address: host name and client identifier. */
function known(lab: DhcpLab): Map<string, { hostname: string; clientId: string }> {
	const lines = readFileSync(lab.leaseFile, "utf8").trim().split("\n");
	return new Map(
		lines
			.map((line) => line.split(" "))
			.map(([, , address, hostname, clientId]) => [address!, { hostname: hostname!, clientId: clientId! }]),
	);
}

it.concurrent("-hostprefix goes before the sandbox and the socket", async () => {
	await using lab = new DhcpLab();
	await lab.dnsmasq();
	const prefix = join(lab.directory, "host");
	mkdirSync(join(prefix, "run"), { recursive: true });
	symlinkSync("/run/netns", join(prefix, "run/netns"));
	await lab.daemon("-hostprefix", prefix);
	const socket = prefix + lab.socket;
	expect(existsSync(socket)).toBe(true);
	expect(existsSync(lab.socket)).toBe(false);
	const { json } = await lab.call("ADD", lab.pod(), { ipam: { daemonSocketPath: socket } });
	expect(json.ips[0].address).toMatch(/^10\.7\.0\./);
});

it.concurrent("-pidfile holds the daemon's number until its end, and must be an absolute path", async () => {
	await using lab = new DhcpLab();
	const path = join(lab.directory, "pid");
	const daemon = await lab.daemon("-pidfile", path);
	expect(readFileSync(path, "utf8")).toBe(`${daemon.pid}`);
	await daemon.end();
	expect(daemon.process.exitCode).toBe(0);
	expect([existsSync(path), existsSync(lab.socket)]).toEqual([false, false]);
	const refused = spawnSync(ours("dhcp"), ["daemon", "-socketpath", lab.socket, "-pidfile", "pid"], {
		encoding: "utf8",
	});
	expect(refused).toMatchObject({ status: 1 });
	expect(refused.stderr).toContain('Error writing pidfile "pid": path not absolute');
});

it.concurrent("the broadcast flag is set by the daemon's -broadcast or the configuration, and else is not", async () => {
	await using lab = new DhcpLab();
	await lab.dnsmasq();
	const capture = await lab.capture("dhcp.flags");
	const first = await lab.daemon();
	await lab.add(lab.pod());
	await lab.add(lab.pod(), { ipam: { broadcast: true } });
	await first.end();
	await lab.daemon("-broadcast");
	await lab.add(lab.pod());
	const packets = await capture.untilOnce("DISCOVER", 3);
	const flags = packets.filter(([type]) => type === "DISCOVER").map(([, value]) => Number(value));
	expect(flags).toEqual([0, 0x8000, 0x8000]);
});

it.concurrent("-resendtimeout ends an ADD, -resendmax is the longest pause", async () => {
	await using lab = new DhcpLab();
	await lab.daemon("-resendtimeout", "8s", "-resendmax=400ms");
	const capture = await lab.capture();
	const { status, json } = await lab.call("ADD", lab.pod());
	expect({ status, json }).toMatchObject({ status: 1, json: { code: 11 } });
	expect(json.msg).toBe("error calling DHCP.Allocate: no more tries: no DHCP server answered within 8 s");
	// One at once, one after 2 s, then five a second; with the default there were no more than three.
	await capture.until("DISCOVER", 4);
	expect(lab.list().leases).toEqual([]);
});

it.concurrent("a carrier that comes late is waited for, one that does not come is the reason", async () => {
	await using lab = new DhcpLab();
	await lab.dnsmasq();
	await lab.daemon("-timeout", "30s");
	const pod = lab.pod();
	ip(lab.lan, "link set port0 down");
	const capture = await lab.capture();
	const answer = lab.call("ADD", pod);
	await until("the daemon waits", () => lab.list().leases[0]?.state === "waiting");
	ip(lab.lan, "link set port0 up");
	expect((await answer).json.ips[0].address).toMatch(/^10\.7\.0\./);
	expect((await capture.untilOnce("ACK")).map(([type]) => type)).toEqual(["DISCOVER", "OFFER", "REQUEST", "ACK"]);
});

it.concurrent("-timeout bounds the wait for a carrier", async () => {
	await using lab = new DhcpLab();
	await lab.daemon("-timeout", "500ms", "-resendtimeout", "2s");
	const pod = lab.pod();
	ip(lab.lan, "link set port0 down");
	const { status, json } = await lab.call("ADD", pod);
	expect({ status, json }).toMatchObject({ status: 1, json: { code: 11 } });
	expect(json.msg).toContain('"eth0" has no carrier');
});

it.concurrent("takes the socket of systemd's socket activation, and leaves its file", async () => {
	await using lab = new DhcpLab();
	await lab.dnsmasq();
	const server = createServer().listen(lab.socket);
	await once(server, "listening");
	// biome-ignore lint/suspicious/noExplicitAny: Node says the number nowhere else.
	const { fd } = (server as any)._handle;
	const start = (count: number, third: number | "ignore"): ReturnType<typeof spawn> =>
		spawn(
			"/bin/sh",
			["-c", `LISTEN_PID=$$ LISTEN_FDS=${count} exec ${ours("dhcp")} daemon -socketpath ${lab.socket}`],
			{
				stdio: ["ignore", "ignore", "pipe", third],
			},
		);
	const daemon = start(1, fd);
	let output = "";
	daemon.stderr!.on("data", (data) => {
		output += data;
	});
	await until("it listens", () => output.includes("listening on"));
	// Node takes connections as long as it has the socket, and removes the file when it gives the socket up.
	renameSync(lab.socket, `${lab.socket}.kept`);
	server.close();
	await once(server, "close");
	renameSync(`${lab.socket}.kept`, lab.socket);
	expect((await lab.call("ADD", lab.pod())).json.ips[0].address).toMatch(/^10\.7\.0\./);
	daemon.kill("SIGTERM");
	await once(daemon, "exit");
	expect(existsSync(lab.socket)).toBe(true);
	const refused = start(2, "ignore");
	let words = "";
	refused.stderr!.on("data", (data) => {
		words += data;
	});
	await once(refused, "close");
	expect(refused.exitCode).toBe(1);
	expect(words).toContain("Too many (2) FDs passed through socket activation");
});

it.concurrent("client identifier, host name and provided options arrive at the server", async () => {
	await using lab = new DhcpLab();
	const server = await lab.dnsmasq();
	await lab.daemon();
	const ask = async (ipam: object, mac?: string): Promise<{ hostname: string; clientId: string }> => {
		const { ips } = await lab.add(lab.pod(mac), { ipam, id: "container-1", args: "K8S_POD_NAME=web-0;MY_CLASS=blue" });
		const lease = known(lab).get(ips[0].address.split("/")[0])!;
		await lab.call("DEL", "none", { id: "container-1" });
		return lease;
	};
	expect(await ask({})).toEqual({ hostname: "*", clientId: `00:${hex("container-1/lan/eth0")}` });
	const mac = "02:00:5e:00:00:01";
	expect(await ask({ clientId: "mac", hostname: "pod" }, mac)).toEqual({ hostname: "web-0", clientId: `01:${mac}` });
	expect(await ask({ clientId: "printer", hostname: "own" })).toEqual({
		hostname: "own",
		clientId: `00:${hex("printer")}`,
	});
	expect((await ask({ clientId: "0xff00aa" })).clientId).toBe("ff:00:aa");
	const provide = [
		{ option: "dhcp-client-identifier", value: "by-option" },
		{ option: "60", value: "vendor-7" },
		{ option: "user-class", value: "unused", fromArg: "MY_CLASS" },
		{ option: "12", value: "twelve" },
	];
	expect(await ask({ provide })).toEqual({ hostname: "twelve", clientId: hex("by-option") });
	expect(server.output).toContain("vendor class: vendor-7");
	expect(server.output).toContain("user class: blue");
});

it.concurrent("asks for what `request` names, by name or number, before or in place of the usual options", async () => {
	await using lab = new DhcpLab();
	const server = await lab.dnsmasq();
	await lab.daemon();
	const asked = async (request: object[]): Promise<number[]> => {
		const before = server.output.length;
		await lab.add(lab.pod(), { ipam: { request } });
		const lines = server.output
			.slice(before)
			.split("DHCPREQUEST")[0]!
			.matchAll(/requested options: (.*)/g);
		return [...lines].flatMap(([, list]) => [...list!.matchAll(/(?<![A-Za-z\d])\d+/g)].map(Number));
	};
	const exactly = [
		{ skipDefault: true, option: "subnet-mask" },
		{ option: "42" },
		{ option: "classless-static-routes" },
	];
	expect(await asked(exactly)).toEqual([1, 42, 121]);
	const more = await asked([{ option: "ntp-servers" }, { option: "150" }]);
	expect(more.slice(0, 4)).toEqual([42, 150, 121, 249]);
	expect(new Set(more)).toEqual(new Set([42, 150, 121, 249, 1, 3, 6, 15, 26, 28, 33, 51, 54, 58, 59, 119]));
});

it.concurrent.each([
	[
		"33 and the router",
		["33,10.8.0.0,10.7.0.2,192.0.2.0,10.7.0.3"],
		[
			{ dst: "10.0.0.0/8", gw: "10.7.0.2", mtu: 1400 },
			{ dst: "192.0.2.0/24", gw: "10.7.0.3", mtu: 1400 },
			{ dst: "0.0.0.0/0", gw: "10.7.0.1", mtu: 1400 },
		],
	],
	[
		"121 alone",
		["33,10.8.0.0,10.7.0.2", "121,10.9.0.0/16,10.7.0.4"],
		[{ dst: "10.9.0.0/16", gw: "10.7.0.4", mtu: 1400 }],
	],
	[
		"249 alone",
		["33,10.8.0.0,10.7.0.2", "249,0a:0a:40:0a:07:00:05"],
		[{ dst: "10.64.0.0/10", gw: "10.7.0.5", mtu: 1400 }],
	],
])("the options of a lease are in the result: routes of %s, MTU and DNS", async (_, options, routes) => {
	await using lab = new DhcpLab();
	const more = [
		"6,10.7.0.53,10.7.0.54",
		"15,lan.example",
		"26,1400",
		"42,10.7.0.9",
		"119,a.example,b.example",
		"3,10.7.0.1",
	];
	await lab.dnsmasq(...[...more, ...options].map((option) => `--dhcp-option=${option}`));
	await lab.daemon();
	const result = await lab.add(lab.pod());
	expect(result).toMatchObject({
		routes,
		ips: [{ gateway: "10.7.0.1" }],
		dns: { nameservers: ["10.7.0.53", "10.7.0.54"], domain: "lan.example", search: ["a.example", "b.example"] },
	});
});

it.concurrent("two pods with equal MACs get an address each, and each renews its own", async () => {
	await using lab = new DhcpLab();
	await lab.dnsmasq(...SHORT);
	const daemon = await lab.daemon();
	const [first, second] = [lab.pod("02:00:5e:00:00:07"), lab.pod("02:00:5e:00:00:07")];
	const results = [await lab.add(first), await lab.add(second)];
	expect(new Set(results.map(({ ips }) => ips[0].address)).size).toBe(2);
	for (const pod of [first, second]) {
		await until(`${pod} is renewed`, () => daemon.output.includes(`msg="renewed" cniName="dhcp" containerID="${pod}"`));
	}
	expect(lab.given().length).toBe(2);
	expect([lab.addresses(first), lab.addresses(second)]).toEqual(results.map(({ ips }) => [ips[0].address]));
});

it.concurrent("an interface that the pod has renamed goes on, and is released", async () => {
	await using lab = new DhcpLab();
	await lab.dnsmasq(...SHORT);
	const daemon = await lab.daemon();
	const pod = lab.pod();
	await lab.add(pod);
	ip(pod, "link set eth0 down");
	ip(pod, "link set eth0 name other0");
	ip(pod, "link set other0 up");
	await daemon.says("renewed", 2);
	expect(await lab.call("DEL", pod)).toMatchObject({ status: 0, stderr: "" });
	await until("the address is given back", () => lab.given().length === 0);
});

it.concurrent("a namespace without its path goes on as long as a process is in it", async () => {
	await using lab = new DhcpLab();
	await lab.dnsmasq(...SHORT);
	const daemon = await lab.daemon();
	const pod = lab.pod();
	await lab.add(pod);
	const process = lab.start(["ip", "netns", "exec", pod, "cat", "/dev/zero"]);
	process.process.stdout!.pause();
	const own = execFileSync("stat", ["-Lc", "%i", netnsPath(pod)], { encoding: "utf8" });
	await until(
		"the process is there",
		() => spawnSync("stat", ["-Lc", "%i", `/proc/${process.pid}/ns/net`], { encoding: "utf8" }).stdout === own,
	);
	lab.end(pod);
	await daemon.says("renewed", 2);
	expect(lab.list().leases).toMatchObject([{ containerId: pod, state: "bound" }]);
	expect(lab.given().length).toBe(1);
	await process.end("SIGKILL");
	await daemon.says("ended: the interface is gone");
});

it.concurrent("refuses who is not root, whatever the modes of its files say", async () => {
	await using lab = new DhcpLab();
	await lab.daemon();
	chmodSync(lab.directory, 0o755);
	chmodSync(lab.socket, 0o666);
	copyFileSync(ours("dhcp"), join(lab.directory, "dhcp"));
	const { status, stdout } = spawnSync(join(lab.directory, "dhcp"), [], {
		uid: 65534,
		gid: 65534,
		input: JSON.stringify(lab.config()),
		env: { CNI_COMMAND: "STATUS", CNI_PATH: lab.directory },
		encoding: "utf8",
	});
	expect(status).toBe(1);
	expect(JSON.parse(stdout)).toMatchObject({ code: 4, msg: "only root may ask the DHCP daemon, not user 65534" });
});

it.concurrent("does not hang with a daemon that does not answer: STATUS says 50, CHECK 11, DEL succeeds", async () => {
	await using lab = new DhcpLab();
	await lab.dnsmasq();
	const daemon: Background = await lab.daemon();
	const pod = lab.pod();
	const { ips } = await lab.add(pod);
	daemon.process.kill("SIGSTOP");
	expect(await lab.call("STATUS", pod)).toMatchObject({ status: 1, json: { code: 50 } });
	const prevResult = { cniVersion: "1.1.0", ips };
	expect(await lab.call("CHECK", pod, { more: { prevResult } })).toMatchObject({ status: 1, json: { code: 11 } });
	expect(await lab.call("DEL", pod)).toMatchObject({ status: 0, stdout: "" });
	daemon.process.kill("SIGCONT");
	await until("the address is given back", () => lab.given().length === 0);
});

it.concurrent("says that a Go daemon has the socket, and DEL succeeds all the same", async () => {
	await using lab = new DhcpLab();
	// What Go's net/http says to a line that is no HTTP.
	const server = createServer((socket) => {
		socket.on("data", () => socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n400 Bad Request"));
	}).listen(lab.socket);
	await once(server, "listening");
	const pod = lab.pod();
	const options = { config: lab.config(), id: pod, netns: netnsPath(pod) };
	const add = await call(ours("dhcp"), "ADD", options);
	expect(add).toMatchObject({ status: 1, json: { code: 1 } });
	expect(add.json.msg).toContain("is the Go plugin's");
	const del = await call(ours("dhcp"), "DEL", options);
	expect(del).toMatchObject({ status: 0, stdout: "" });
	expect(del.stderr).toContain("is the Go plugin's");
	server.close();
});
