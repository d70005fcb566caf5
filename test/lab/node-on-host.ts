/**
 * A node on this host: network, mounts and processes of its own, for a container runtime and a kubelet.
 *
 * All programs of the host are there under the same paths. What is written below /etc, /opt, /run, /var and
 * `directory` is lost at the end, when all of its processes are killed.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import type { Server } from "node:net";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
	LocalMachine,
	type Machine,
	parseJsonOutput,
	type RunningCommand,
	type RunOptions,
	type RunResult,
} from "./machine.ts";
import { until } from "./until.ts";

/** Mounts are shared, as systemd has them: pods see those of a directory later. The shell reaps orphans. */
const INIT = `set -e
mount -t tmpfs node "$1"
for name in etc opt var; do
	mkdir "$1/$name" "$1/$name.work"
	mount -t overlay -o "lowerdir=/$name,upperdir=$1/$name,workdir=$1/$name.work" node "/$name"
done
mount -t tmpfs node /run
rm -rf /var/lib/cni /etc/cni /opt/cni
mkdir -p /var/lib/cni /etc/cni/net.d /opt/cni/bin
mount --make-rshared /
ip link set lo up
echo ready
sleep infinity &
wait`;

/** Those of containers that were killed with the node: what is left of them is empty, once its processes are gone. */
const REMOVE_CGROUPS = `status=0
for group in /sys/fs/cgroup/k8s.io /sys/fs/cgroup/kubepods /sys/fs/cgroup/*/k8s.io /sys/fs/cgroup/*/kubepods; do
	for try in 1 2 3 4 5 6 7 8 9 10; do
		[ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} + || { sleep 0.5; continue; }
		continue 2
	done
	status=1
done
exit $status`;

/** Listens at an address of the network namespace that it runs in, and hands the socket to its parent. */
const LISTENER = `const [, host, port] = process.argv;
const server = require("node:net").createServer().listen(Number(port), host, () =>
	process.send("listening", server, () => process.exit()));`;

/** `await using node = await NodeOnHost.start()` */
export class NodeOnHost implements Machine {
	readonly name = "a node on this host";
	/** Empty at the start; a short path, fit for sockets. */
	readonly directory = mkdtempSync(join(tmpdir(), "berth-node-"));
	readonly #host = new LocalMachine();
	readonly #unshare: ChildProcess;
	/** Of its first process, as this host sees it. */
	#pid = 0;
	readonly #servers: Server[] = [];

	static async start(): Promise<NodeOnHost> {
		const node = new NodeOnHost();
		try {
			await node.#ready();
		} catch (error) {
			await node.stop();
			throw error;
		}
		return node;
	}

	private constructor() {
		const namespaces = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
		const init = [...namespaces, "sh", "-c", INIT, "sh", this.directory];
		this.#unshare = spawn("setpriv", ["--pdeathsig", "KILL", ...init], { stdio: ["ignore", "pipe", "pipe"] });
	}

	async #ready(): Promise<void> {
		let said = "";
		for (const stream of [this.#unshare.stdout!, this.#unshare.stderr!]) {
			stream.on("data", (bytes) => {
				said += bytes;
			});
		}
		await until("the node", () => {
			if (this.#unshare.exitCode !== null) throw new Error(`the node has ended while it was made: ${said}`);
			return said.includes("ready");
		});
		this.#pid = Number(readFileSync(`/proc/${this.#unshare.pid}/task/${this.#unshare.pid}/children`, "utf8"));
	}

	/** What connects to this address of the node is connected to a port of this host's loopback. */
	async forward(address: string, port: number, hostPort: number): Promise<void> {
		const listener = [process.execPath, "-e", LISTENER, address, String(port)];
		const child = spawn("nsenter", [`--target=${this.#pid}`, "--net", ...listener], {
			stdio: ["ignore", "ignore", "inherit", "ipc"],
		});
		const [, server] = (await once(child, "message")) as [string, Server];
		this.#servers.push(server);
		server.on("connection", (socket) => {
			const other = connect(hostPort, "127.0.0.1");
			for (const [from, to] of [
				[socket, other],
				[other, socket],
			] as const) {
				from.on("error", () => to.destroy());
				from.pipe(to);
			}
		});
	}

	start(argv: readonly string[], options: RunOptions = {}): RunningCommand {
		const enter = ["nsenter", `--target=${this.#pid}`, "--net", "--mount", "--pid"];
		return this.#host.start([...enter, ...argv], { cwd: "/", ...options });
	}

	run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
		return this.start(argv, options).result;
	}

	// biome-ignore lint/suspicious/noExplicitAny: as in Machine.
	async json(argv: readonly string[], options: RunOptions = {}): Promise<any> {
		return parseJsonOutput(argv, (await this.run(argv, options)).stdout);
	}

	readFile(path: string): Promise<string> {
		return readFile(`/proc/${this.#pid}/root${path}`, "utf8");
	}

	writeFile(path: string, data: string | Uint8Array): Promise<void> {
		return writeFile(`/proc/${this.#pid}/root${path}`, data);
	}

	async stop(): Promise<void> {
		for (const server of this.#servers) server.close();
		if (this.#unshare.exitCode === null && this.#unshare.signalCode === null) {
			const ended = once(this.#unshare, "exit");
			// The kernel kills what its first process leaves behind, before that has ended.
			if (this.#pid === 0) this.#unshare.kill("SIGKILL");
			else process.kill(this.#pid, "SIGKILL");
			await ended;
		}
		rmSync(this.directory, { recursive: true, force: true });
		await this.#host.run(["sh", "-c", REMOVE_CGROUPS]);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.stop();
	}
}
