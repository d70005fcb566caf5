/**
 * A network with a DHCP server, pods on it, and the daemon: all in namespaces of the test's own.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Answer, call, ours } from "./ipam.ts";
import { ip, ipJson, NetnsLab, netnsPath } from "./netns-lab.ts";
import { until } from "./until.ts";

const RANGE = "--dhcp-range=10.7.0.50,10.7.0.250,255.255.255.0,120";

/** dnsmasq syncs its file at each change of a lease: on a busy disk it would not keep up. */
const MEMORY = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

/** dnsmasq on `interfaceName` alone, in the foreground; gives 10.7.0.50 to 10.7.0.250 unless `more` says otherwise. */
export function dnsmasqCommand(interfaceName: string, ...more: readonly string[]): string[] {
	const range = more.some((option) => option.startsWith("--dhcp-range=")) ? [] : [RANGE];
	return [
		"dnsmasq",
		"--keep-in-foreground",
		"--log-facility=-",
		"--log-dhcp",
		"--conf-file=/dev/null",
		"--port=0",
		`--interface=${interfaceName}`,
		"--bind-interfaces",
		"--no-ping",
		"--user=root",
		"--dhcp-authoritative",
		// Else all that start at the same time want the same one.
		"--pid-file",
		...range,
		...more,
	];
}

/** A program that runs beside the test. What it prints is kept. */
export class Background {
	readonly process: ChildProcess;
	output = "";

	constructor(command: readonly string[], env: Record<string, string> = {}) {
		this.process = spawn(command[0]!, command.slice(1), {
			stdio: ["ignore", "pipe", "pipe"],
			env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ...env },
		});
		for (const stream of [this.process.stdout!, this.process.stderr!]) {
			stream.on("data", (data) => {
				this.output += data;
			});
		}
	}

	get pid(): number {
		return this.process.pid!;
	}

	get hasEnded(): boolean {
		return this.process.exitCode !== null || this.process.signalCode !== null;
	}

	/** Once it has printed `text`, or its `count`th time. */
	async says(text: string, count = 1): Promise<void> {
		const explain = (): string => this.output;
		await until(`"${text}" printed ${count} times`, () => this.output.split(text).length > count, explain);
	}

	async end(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
		if (this.hasEnded) return;
		const ended = once(this.process, "exit");
		this.process.kill(signal);
		await ended;
	}
}

/** `using lab = new DhcpLab()`. */
export class DhcpLab {
	readonly netns = new NetnsLab();
	readonly directory = mkdtempSync(join(MEMORY, "berth-dhcp-"));
	/** The namespace of the servers, with the bridge `br0` that all pods are on: 10.7.0.1/24. */
	readonly lan: string;
	readonly socket = join(this.directory, "dhcp.sock");
	readonly leaseFile = join(this.directory, "dnsmasq.leases");
	readonly #background: Background[] = [];
	readonly #captures = new Set<Background>();
	#pods = 0;

	constructor() {
		this.lan = this.netns.add();
		// A bridge without a MAC of its own takes on that of a new port, and servers send from the one they began with.
		ip(this.lan, "link add br0 address 02:00:0a:07:00:01 type bridge forward_delay 0");
		ip(this.lan, "address add 10.7.0.1/24 dev br0");
		ip(this.lan, "link set br0 up");
	}

	start(command: readonly string[], env: Record<string, string> = {}): Background {
		const program = new Background(command, env);
		this.#background.push(program);
		return program;
	}

	/** A program in the namespace of the servers. */
	inLan(command: readonly string[], env: Record<string, string> = {}): Background {
		return this.start(["ip", "netns", "exec", this.lan, ...command], env);
	}

	/**
	 * dnsmasq that gives 10.7.0.50 to 10.7.0.250 for two minutes, its least; `more` are further options, such as short
	 * T1 and T2.
	 */
	async dnsmasq(...more: string[]): Promise<Background> {
		const server = this.inLan(dnsmasqCommand("br0", `--dhcp-leasefile=${this.leaseFile}`, ...more));
		await server.says("DHCP, sockets bound exclusively to interface br0");
		return server;
	}

	/** The same over IPv6 as well: fd00:7::/64, which a router advertises, with addresses from fd00:7::100 on. */
	dnsmasq6(...more: string[]): Promise<Background> {
		ip(this.lan, "address add fd00:7::1/64 dev br0 nodad");
		const range = more.some((option) => option.startsWith("--dhcp-range="))
			? []
			: ["--dhcp-range=fd00:7::100,fd00:7::1ff,64,120"];
		return this.dnsmasq(RANGE, "--enable-ra", ...range, ...more);
	}

	/** The daemon, started by another program: its command goes behind that of `wrapper`. Does not wait for it. */
	daemonUnder(wrapper: readonly string[], ...flags: string[]): Background {
		return this.start([...wrapper, ours("dhcp"), "daemon", "-socketpath", this.socket, ...flags]);
	}

	async daemon(...flags: string[]): Promise<Background> {
		const daemon = this.daemonUnder([], ...flags);
		await daemon.says("listening on");
		return daemon;
	}

	/**
	 * tshark on the bridge: each DHCP packet as the values of these fields, in order. Not promiscuous, or servers would
	 * hear what is not for them.
	 */
	capture(...fields: readonly string[]): Promise<Capture> {
		return this.#capture("udp port 67 or udp port 68", ["dhcp.option.dhcp", ...fields], TYPES, "dhcp.id");
	}

	/** The same of DHCPv6. */
	capture6(...fields: readonly string[]): Promise<Capture> {
		return this.#capture("udp port 546 or udp port 547", ["dhcpv6.msgtype", ...fields], TYPES6, "dhcpv6.xid");
	}

	async #capture(
		filter: string,
		fields: readonly string[],
		types: readonly string[],
		transaction: string,
	): Promise<Capture> {
		const columns = [...fields, "_ws.malformed", transaction, "frame.time_epoch"].flatMap((field) => ["-e", field]);
		const program = this.inLan(["tshark", "-n", "-p", "-l", "-i", "br0", "-f", filter, "-T", "fields", ...columns]);
		// On SIGTERM it ends dumpcap, too, which it has started and which else keeps the namespace for good.
		this.#captures.add(program);
		await program.says("Capture started");
		return new Capture(program, types);
	}

	/** A pod whose `eth0` (down) is on the bridge. Returns the name of its namespace. */
	pod(mac?: string): string {
		const name = this.netns.add();
		const port = `port${this.#pods++}`;
		ip(this.lan, `link add ${port} type veth peer name eth0 netns ${name}`);
		ip(this.lan, `link set ${port} master br0 up`);
		if (mac !== undefined) ip(name, `link set eth0 address ${mac}`);
		return name;
	}

	/** What the pod sends to 10.7.0.1 alone is lost from now on. `port`: the pod's, in the order of their making. */
	loseUnicast(pod: string, port = 0): void {
		const mac = "02:00:00:00:00:99";
		// A bridge sends nothing back where it came from.
		execFileSync("bridge", ["-n", this.lan, "fdb", "add", mac, "dev", `port${port}`, "master", "static"]);
		ip(pod, `neigh replace 10.7.0.1 lladdr ${mac} dev eth0 nud permanent`);
	}

	/** The pod's namespace goes. */
	end(pod: string): void {
		execFileSync("ip", ["netns", "del", pod]);
		this.netns.forget(pod);
	}

	config(ipam: object = {}): Record<string, unknown> {
		return {
			cniVersion: "1.1.0",
			name: "lan",
			type: "sriov",
			ipam: { type: "dhcp", daemonSocketPath: this.socket, ...ipam },
		};
	}

	call(
		verb: string,
		pod: string,
		options: { ipam?: object; id?: string; args?: string; more?: object } = {},
	): Promise<Answer> {
		const { ipam = {}, id = pod, args = "", more = {} } = options;
		return call(ours("dhcp"), verb, { config: { ...this.config(ipam), ...more }, id, netns: netnsPath(pod), args });
	}

	/** ADD, and then what a main plugin does: the address goes on the interface. Returns the result. */
	// biome-ignore lint/suspicious/noExplicitAny: a result.
	async add(pod: string, options: { ipam?: object; id?: string; args?: string } = {}): Promise<any> {
		const answer = await this.call("ADD", pod, options);
		if (answer.status !== 0) throw new Error(`ADD: ${answer.stdout}${answer.stderr}`);
		ip(pod, `address replace ${answer.json.ips[0].address} dev eth0`);
		return answer.json;
	}

	/** IPv4 addresses of `eth0` (or, 6, those of IPv6 but the link's own), with their prefixes. */
	addresses(pod: string, family: 4 | 6 = 4): string[] {
		return ipJson(pod, `-${family} address show dev eth0`).flatMap(({ addr_info }) =>
			addr_info
				.filter(({ scope }: { scope: string }) => scope === "global")
				.map(({ local, prefixlen }: { local: string; prefixlen: number }) => `${local}/${prefixlen}`),
		);
	}

	/** Addresses that dnsmasq has given. */
	given(): string[] {
		if (!existsSync(this.leaseFile)) return [];
		const lines = readFileSync(this.leaseFile, "utf8").trim().split("\n");
		return lines.filter(Boolean).map((line) => line.split(" ")[2]!);
	}

	// biome-ignore lint/suspicious/noExplicitAny: what `dhcp list -json` prints.
	list(): any {
		return JSON.parse(execFileSync(ours("dhcp"), ["list", "-json", "-socketpath", this.socket], { encoding: "utf8" }));
	}

	write(name: string, text: string): string {
		const path = join(this.directory, name);
		writeFileSync(path, text);
		return path;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		for (const program of this.#background.reverse())
			await program.end(this.#captures.has(program) ? "SIGTERM" : "SIGKILL");
		this.netns[Symbol.dispose]();
		rmSync(this.directory, { recursive: true, force: true });
	}
}

/** Names of the numbers of option 53. */
const TYPES = ["", "DISCOVER", "OFFER", "REQUEST", "DECLINE", "ACK", "NAK", "RELEASE"];

/** Of DHCPv6 (RFC 8415, section 7.3). */
const TYPES6 = ["", "SOLICIT", "ADVERTISE", "REQUEST", "CONFIRM", "RENEW", "REBIND", "REPLY", "RELEASE", "DECLINE"];

const ANSWERS = ["OFFER", "ACK", "NAK", "ADVERTISE", "REPLY"];

/** Ours repeats a question after two seconds, give or take a tenth (ipam/dhcp/daemon/asking-lease.ts). */
const SOONEST_REPETITION_S = 1.5;

interface Packet {
	/** Type and fields. */
	readonly values: string[];
	/** Its number. */
	readonly transaction: string;
	readonly isMalformed: boolean;
	/** Seconds since 1970. */
	readonly at: number;
}

const isAnswer = ({ values }: Packet): boolean => ANSWERS.includes(values[0]!);

export class Capture {
	readonly #program: Background;
	readonly #types: readonly string[];

	/** `types`: names of the numbers that each line begins with. */
	constructor(program: Background, types: readonly string[]) {
		this.#program = program;
		this.#types = types;
	}

	/**
	 * What has been seen once `count` packets of `type` are there: type and fields. Throws for a packet that tshark
	 * calls malformed.
	 */
	until(type: string, count = 1): Promise<string[][]> {
		return this.#until(type, count, () => this.#seen());
	}

	/** The same, without what a client has sent once more because it had no answer, and a second answer to that. */
	untilOnce(type: string, count = 1): Promise<string[][]> {
		return this.#until(type, count, () => {
			const kept: Packet[] = [];
			const repeated = new Set<string>();
			for (const packet of this.#seen()) {
				const { values, transaction, at } = packet;
				const first = kept.findIndex((one) => one.transaction === transaction && one.values[0] === values[0]);
				const since = kept.slice(first + 1).filter((one) => one.transaction === transaction);
				const isUnanswered = (): boolean => at - kept[first]!.at > SOONEST_REPETITION_S && !since.some(isAnswer);
				if (first < 0 || !(isAnswer(packet) ? repeated.has(transaction) : isUnanswered())) kept.push(packet);
				else repeated.add(transaction);
			}
			return kept;
		});
	}

	async #until(type: string, count: number, seen: () => Packet[]): Promise<string[][]> {
		const found = (): boolean => seen().filter(({ values }) => values[0] === type).length >= count;
		await until(`${count} packets ${type}`, found, () => this.#program.output);
		const malformed = seen().filter(({ isMalformed }) => isMalformed);
		if (malformed.length > 0) throw new Error(`malformed packets: ${JSON.stringify(malformed)}`);
		return seen().map(({ values }) => values);
	}

	#seen(): Packet[] {
		return this.#program.output
			.split("\n")
			.filter((line) => /^[0-9]+\t/.test(line))
			.map((line) => line.split("\t"))
			.map(([number, ...fields]) => {
				const [malformed = "", transaction = "", at] = fields.splice(-3);
				return {
					values: [this.#types[Number(number)]!, ...fields],
					transaction,
					isMalformed: malformed !== "",
					at: Number(at),
				};
			});
	}
}
